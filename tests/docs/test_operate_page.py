# SPDX-License-Identifier: Apache-2.0
"""What devices print is explained field by field."""

from __future__ import annotations

import re
from pathlib import Path

from e4cli.messages import fields
from e4core.message import Message
from tests.cli.command import answer
from tests.docs.session import ROOT

SECTION = (ROOT / "docs" / "guides" / "operate.md").read_text().partition("\n## What devices print\n")[2]


def listed(of: str) -> set[str]:
    table = SECTION.partition(of)[2].partition("| field | meaning |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.M)
    return {name for row in rows for name in re.findall(r"\w+", row)}


def test_every_field_of_a_message_is_explained() -> None:
    assert listed("`e4 device run`") == set(fields("t", Message(b"", None, False, 0, 0)))


def test_every_field_of_a_state_is_explained(tmp_path: Path) -> None:
    key, state = tmp_path / "key", tmp_path / "state"
    key.write_bytes(bytes(31) + b"\x01")
    key.chmod(0o600)
    shown = answer("device", "init", "lamp", "--suite", "fips-sk", "--key", key, "--state", state)
    assert shown.keys() <= answer("device", "show", "--state", state).keys() == listed("`e4 device show`")
