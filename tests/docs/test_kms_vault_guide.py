# SPDX-License-Identifier: Apache-2.0
"""The guide about Vault works as it is typed, with a real server at another port than the one it names."""

from __future__ import annotations

from dataclasses import replace

from e4kms.vault.address import OPTIONS
from tests.docs.desk import GUIDES, desk, steps_of
from tests.kms.vault.server import bao_program, two_free_ports

PAGE = "kms-vault"


def test_the_guide_works_as_it_is_typed() -> None:
    bao_program()
    address = f"127.0.0.1:{two_free_ports()}"
    steps = list(steps_of(PAGE))
    assert {step.terminal for step in steps} == {"", "operator", "bao", "c2"}
    with desk() as reader:
        for step in steps:
            reader.do(replace(step, text=step.text.replace("127.0.0.1:8200", address)))


def test_the_guide_names_every_option() -> None:
    text = (GUIDES / f"{PAGE}.md").read_text()
    for option in OPTIONS:
        assert f"`{option}`" in text or f"`{option}=" in text
