# SPDX-License-Identifier: Apache-2.0
"""The guide about PKCS#11 works as it is typed, on SoftHSM, and names all that a URI may hold."""

from __future__ import annotations

import pytest

from e4kms.pkcs11.address import _PATH, _QUERY
from e4kms.pkcs11.ladder import RUNGS
from tests.docs.desk import GUIDES, desk, steps_of
from tests.kms.pkcs11.tokens import TOKENS
from tests.servers import tool

PAGE = "kms-pkcs11"
TEXT = (GUIDES / f"{PAGE}.md").read_text()


def test_the_guide_works_as_it_is_typed() -> None:
    for program, package in (("softhsm2-util", "softhsm2"), ("openssl", "openssl")):
        tool(program, package)
    steps = list(steps_of(PAGE))
    assert {step.terminal for step in steps} == {"operator", "c2"}
    with desk() as reader:
        for step in steps:
            reader.do(step)
        assert not (reader.folder / "e4-data" / "kek.json").exists()


@pytest.mark.parametrize("attribute", [*_PATH, *_QUERY])
def test_the_guide_names_every_attribute(attribute: str) -> None:
    section = TEXT.partition("## The URI")[2].partition("## What it says")[0]
    assert f"`{attribute}`" in section


def test_the_guide_knows_no_mechanism_that_there_is_not() -> None:
    table = TEXT.partition("| key made by e4 ")[2].partition("\n\n")[0]
    named = {word.strip("`") for word in table.split() if word.startswith(("`aes-", "`rsa-"))}
    assert named and named <= RUNGS.keys()
    assert len(TOKENS) == 3
