# SPDX-License-Identifier: Apache-2.0
"""``e4 events`` and ``e4 webhook`` against a C2 at work."""

from __future__ import annotations

import json
import signal

from tests.c2.receiver import is_signed, receiving
from tests.cli.c2_server import C2
from tests.cli.command import running


def test_what_has_happened_is_listed_for_people_and_for_scripts(sk: C2) -> None:
    start = sk.answer("events")[-1]["id"]
    sk.served.topic("told", sk.served.client("told", suite=sk.suite))
    listed = sk.answer("events", f"--after={start}")
    assert [each["kind"] for each in listed] == ["client.enrolled", "topic.created", "member.joined"]
    assert sk.answer("events", f"--after={start}", "--kind", "topic.created", "--kind", "topic.removed") == [listed[1]]
    lines = sk.run("events", f"--after={start}").stdout.splitlines()
    assert len(lines) == 3 and lines[1].split()[2:] == [str(listed[1]["id"]), "topic.created", "told"]


def test_what_was_never_here_is_not_found(sk: C2) -> None:
    assert sk.run("events", f"--after={10**17}").code == 8
    assert sk.run("events", "--kind", "nonsense").code == 3


def test_what_happens_is_followed_until_ctrl_c(sk: C2) -> None:
    start = sk.answer("events")[-1]["id"]
    sk.served.topic("before")
    with running("events", "--follow", f"--after={start}", env=sk.env) as process:
        assert json.loads(process.line())["topic"] == "before"
        sk.served.topic("during")
        assert json.loads(process.line())["topic"] == "during"
        assert process.end(signal.SIGINT) == 130


def test_a_webhook_from_making_it_to_forgetting_it(sk: C2) -> None:
    with receiving() as receiver:
        assert sk.run("webhook", "create", "siem", receiver.url).code == 3
        made = sk.answer("webhook", "create", "siem", receiver.url, "--kind", "topic.created", "--out", "secret")
        secret = (sk.folder / "secret").read_text().strip()
        assert secret.startswith("whsec_") and "secret" not in made
        assert sk.answer("webhook", "test", "siem") == {"status": 204}
        assert is_signed(secret, *receiver.got[0])
    assert sk.run("webhook", "test", "siem").code == 17
    assert sk.answer("webhook", "list") == [sk.answer("webhook", "show", "siem")]
    assert sk.answer("webhook", "resume", "siem")["state"] == "active"
    assert sk.answer("webhook", "remove", "siem") == {"removed": "siem"}
    assert sk.run("webhook", "show", "siem").code == 8
    assert not any(secret in told for told in sk.told)
