# SPDX-License-Identifier: Apache-2.0
"""``e4 events`` and ``e4 webhook`` against a C2 at work."""

from __future__ import annotations

import json
import signal
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.c2.receiver import is_signed, receiving
from tests.cli.c2_server import C2, Asked, send, server
from tests.cli.command import refused, running


def test_what_has_happened_is_listed_for_people_and_for_scripts(sk: C2) -> None:
    start = sk.answer("events")[-1]["id"]
    sk.served.topic("told", sk.served.client("told", suite=sk.suite))
    others = [f"--kind={kind}" for kind in ("client.enrolled", "topic.created", "member.joined")]
    listed = sk.answer("events", f"--after={start}", *others)
    assert [each["kind"] for each in listed] == ["client.enrolled", "topic.created", "member.joined"]
    assert sk.answer("events", f"--after={start}", "--kind", "topic.created", "--kind", "topic.removed") == [listed[1]]
    lines = sk.run("events", f"--after={start}", *others).stdout.splitlines()
    assert len(lines) == 3 and lines[1].split()[2:] == [str(listed[1]["id"]), "topic.created", "told"]


def test_what_was_never_here_is_not_found(sk: C2) -> None:
    assert sk.run("events", f"--after={10**17}").code == 8
    assert sk.run("events", "--kind", "nonsense").code == 3


def test_what_happens_is_followed_until_ctrl_c(sk: C2) -> None:
    start = sk.answer("events")[-1]["id"]
    sk.served.topic("before")
    with running("events", "--follow", f"--after={start}", "--kind=topic.created", env=sk.env) as process:
        assert json.loads(process.line())["topic"] == "before"
        sk.served.topic("during")
        assert json.loads(process.line())["topic"] == "during"
        assert process.end(signal.SIGINT) == 130


def test_who_follows_goes_on_after_a_connection_that_ended() -> None:
    """Each connection brings two events, of which the C2 would not send the first again, and ends in the midst of another."""

    def two(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        after = int(parse_qs(urlsplit(asked.path).query)["after"][0])
        told = "".join(f"id: {n}\ndata: {json.dumps(event(n))}\n\n" for n in (after + 1, after + 2))
        send(handler, 200, "text/event-stream", f":\n\n{told}id: {after + 9}\n\nid: 99\ndata: ".encode())

    def event(n: int) -> dict[str, object]:
        return {"id": n, "kind": "topic.created", "created": 1, "client": None, "topic": "x", "data": {}}

    with (
        server(two) as (url, _),
        running("events", "--follow", "--after=5", env={"E4_URL": url, "E4_TOKEN": "e4_x"}) as process,
    ):
        assert [json.loads(process.line())["id"] for _ in range(4)] == [6, 7, 15, 16]


def test_what_is_no_stream_of_events_is_told_once() -> None:
    def other(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        send(handler, 200, "application/json", b"{}")

    with server(other) as (url, _):
        assert "is no C2" in refused(17, "events", "--follow", env={"E4_URL": url, "E4_TOKEN": "e4_x"})


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
    changed = sk.answer("webhook", "change", "siem", "http://127.0.0.1:9/x", "--kind", "topic.rotated")
    assert (changed["url"], changed["kinds"]) == ("http://127.0.0.1:9/x", ["topic.rotated"])
    changed = sk.answer("webhook", "change", "siem", "--all-kinds")
    assert (changed["url"], changed["kinds"]) == ("http://127.0.0.1:9/x", [])
    assert sk.run("webhook", "change", "siem", "--all-kinds", "--kind", "topic.rotated").code == 2
    assert sk.answer("webhook", "remove", "siem") == {"removed": "siem"}
    assert sk.run("webhook", "show", "siem").code == 8
    assert not any(secret in told for told in sk.told)
