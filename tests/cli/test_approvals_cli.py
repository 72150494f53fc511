# SPDX-License-Identifier: Apache-2.0
"""``e4 approvals``, and ``--approval`` of what needs one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.c2.served import ADMIN, created, serving, settings_in
from tests.cli.c2_server import C2

PRUNE = ("audit", "prune", "--before", "2020-01-01", "--yes")


def test_two_people_and_a_command(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings) as served:
        second = created(served.http.post("/v1/tokens", json={"name": "second", "grants": ADMIN}))["token"]
    (tmp_path / "second").write_text(f"{second}\n")
    (tmp_path / "second").chmod(0o600)
    with serving(settings.model_copy(update={"four_eyes": True})) as served:
        c2 = C2(served, tmp_path)
        asked = c2.run(*PRUNE)
        assert asked.code == 20
        (identity,) = set(re.findall("[0-9a-f]{32}", asked.stderr))
        assert c2.run("approvals", "approve", identity).code == 10, "of one's own"
        listed = json.loads(c2.run("approvals", "list", "--token-file", "second", "-o", "json").stdout)
        assert [(each["id"], each["state"]) for each in listed] == [(identity, "waiting")]
        shown = json.loads(c2.run("approvals", "show", identity, "-o", "json").stdout)
        assert (shown["path"], shown["requested_by_name"]) == ("/v1/audit/prune", "admin")
        assert c2.run(*PRUNE, "--approval", identity).code == 20, "it still waits"
        assert c2.run("approvals", "approve", identity, "--token-file", "second").code == 0
        assert c2.run(*PRUNE, "--approval", "none").code == 3
        done = c2.run(*PRUNE, "--approval", identity)
        assert done.code == 9, "no checkpoint is that old, which is for the C2 to say, and the approval stays"
        assert json.loads(c2.run("approvals", "show", identity, "-o", "json").stdout)["state"] == "approved"
        again = c2.run("approvals", "refuse", identity, "--token-file", "second")
        assert again.code == 9
