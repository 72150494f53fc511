# SPDX-License-Identifier: Apache-2.0
"""The kit passes a transport that is right, and fails each that is wrong in one way for the requirement that says so."""

from __future__ import annotations

import pytest

from e4conformance import kit
from e4conformance.transports import TRANSPORTS, TransportHooks, subject
from tests.conformance.transports.broken import BROKEN, MAX_PAYLOAD_LEN, Right, link_of, load


def _outcomes(kind: type[Right], *only: str) -> list[kit.Outcome]:
    name = kind.__name__
    hooks = TransportHooks(link=link_of(name), max_payload_len=MAX_PAYLOAD_LEN)
    with subject(f"broken:{name}", hooks, load=load) as examined:
        examined.budget_s, examined.patience_s = 0.1, 1.0 if only else 30.0
        return list(kit.run(examined, TRANSPORTS, only))


def test_the_right_transport_conforms() -> None:
    assert [(each.requirement.id, each.detail) for each in _outcomes(Right) if each.is_in_the_way] == []


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_what_is_wrong_is_found(kind: type[Right]) -> None:
    (outcome,) = _outcomes(kind, BROKEN[kind])
    assert outcome.verdict is kit.Verdict.FAILED
    assert "raised" not in outcome.detail.partition(" ")[0], "by an accident of the check"


def test_what_has_no_hook_is_not_exercised_and_says_which() -> None:
    with subject("broken:Right", load=load) as examined:
        (outcome,) = kit.run(examined, TRANSPORTS, ["E4-TLNK-001"])
    assert (outcome.verdict, outcome.is_in_the_way) == (kit.Verdict.NOT_EXERCISED, True)
    assert "the hook link is missing" in outcome.detail
