# SPDX-License-Identifier: Apache-2.0
"""The guide about the key of a device in a token works as it is typed, on SoftHSM."""

from __future__ import annotations

from tests.docs.desk import desk, steps_of
from tests.servers import tool


def test_the_guide_works_as_it_is_typed() -> None:
    for program, package in (("softhsm2-util", "softhsm2"), ("openssl", "openssl")):
        tool(program, package)
    steps = list(steps_of("device-key-in-a-token"))
    assert {step.terminal for step in steps} == {"operator", "c2", "gateway", "beside"}
    with desk() as reader:
        for step in steps:
            reader.do(step)
