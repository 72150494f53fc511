# SPDX-License-Identifier: Apache-2.0
"""e4go as a port: it deviates where it is listed to, and nowhere else. Skipped without its sources, as in ``.ci/run``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from e4conformance import kit
from e4conformance.kit import Verdict
from e4conformance.ports import PORTS, subject
from e4conformance.ports.client import Port
from e4conformance.ports.links import opener
from tests.examples.e4go import EXAMPLE, built

DEVIATIONS: dict[str, str] = tomllib.loads((EXAMPLE / "deviations.toml").read_text())["deviations"]
DEVIATING = {Verdict.FAILED, Verdict.WARNED, Verdict.NOT_EXERCISED}
NO_REQUESTS = (
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b'{"id": 1.0, "do": "about"}',
    b'{"id": 1}',
    b'{"ID": 1, "do": "about"}',
    b"\xff",
)


def test_every_listed_deviation_is_one_from_a_requirement_and_has_a_reason() -> None:
    assert all(DEVIATIONS[number] and PORTS[number] for number in DEVIATIONS)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("e4go"))


def test_e4go_deviates_as_it_is_listed_to_and_not_otherwise(program: Path) -> None:
    with subject(str(program), seed=1) as port:
        assert {"clock", "format-1", "public-key"} <= port.declared
        outcomes = list(kit.run(port, PORTS))
    deviates = {each.requirement.id: each.detail for each in outcomes if each.verdict in DEVIATING}
    assert not {number: deviates[number] for number in deviates.keys() - DEVIATIONS.keys()}, "not listed"
    assert not DEVIATIONS.keys() - deviates.keys(), "listed, and no deviation"


def test_what_is_no_request_is_answered_and_survived(program: Path) -> None:
    port = Port(opener(str(program)))
    try:
        for line in NO_REQUESTS:
            answer = port.exchange(line)
            assert answer["error"]["kind"] == "bad_request", line
        assert port.exchange(b"x" * (1 << 20))["id"] is None
        assert port.ask("about")["protocol"] == 1
    finally:
        port.close()
