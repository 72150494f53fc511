# SPDX-License-Identifier: Apache-2.0
"""``e4 topics protect`` and ``unprotect``: payloads by files and pipes, as of ``e4 device``."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

from tests.c2.served import serving, settings_in
from tests.cli.c2_server import C2

PAYLOAD = b"\x00 21.5 \xff"


def test_payloads_go_through_the_c2(tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(PAYLOAD)
    with serving(settings_in(tmp_path, suite="sk", protect=True, unprotect=True)) as served:
        c2 = C2(served, tmp_path)
        c2.ok("topics", "create", "t")
        assert c2.ok("topics", "protect", "t", "--in", "payload", "--out", "message") == ""
        c2.ok("topics", "protect", "t", "--in", "payload", "--out", "text", "--base64")
        assert b64decode((tmp_path / "text").read_bytes())[24:] != PAYLOAD
        c2.ok("topics", "unprotect", "t", "--in", "message", "--out", "opened")
        assert (tmp_path / "opened").read_bytes() == PAYLOAD
        told = json.loads(c2.ok("topics", "unprotect", "t", "--in", "text", "--base64", "-o", "json"))
        assert b64decode(told["payload"]) == PAYLOAD
        assert (told["authenticated"], told["sender"]) == (False, None)
        again = c2.run("topics", "unprotect", "t", "--in", "message")
        assert again.code != 0
        assert "before" in again.stderr
        assert c2.run("topics", "unprotect", "t", "--in", "payload", "--base64").code == 3


def test_what_is_switched_off_says_so(tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(PAYLOAD)
    with serving(settings_in(tmp_path, suite="sk")) as served:
        c2 = C2(served, tmp_path)
        c2.ok("topics", "create", "t")
        done = c2.run("topics", "protect", "t", "--in", "payload")
        assert done.code == 10
        assert "its setting protect is false" in done.stderr
