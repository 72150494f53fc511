# SPDX-License-Identifier: Apache-2.0
"""The kit passes a transport that is right, and fails each that is wrong in one way for the requirement that says so."""

from __future__ import annotations

import pytest

from e4conformance import examination, kit
from e4conformance.kinds import KINDS
from e4conformance.transports import TRANSPORTS, TransportHooks, subject
from e4core.errors import E4Error, PluginError, TransportError
from tests.conformance.transports.broken import BROKEN, MAX_PAYLOAD_LEN, NeverConnects, Right, link_of, load
from tests.conformance.transports.broken_further import FURTHER, ShowsPassword
from tests.conformance.transports.broken_further import load as load_further


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


@pytest.mark.parametrize("kind", FURTHER, ids=lambda kind: kind.__name__)
def test_what_is_wrong_elsewhere_is_found_too(kind: type[Right]) -> None:
    name = kind.__name__
    hooks = TransportHooks(link=link_of(name), max_payload_len=MAX_PAYLOAD_LEN)
    with subject(
        f"broken:{name}{'?password=swordfish' * (kind is ShowsPassword)}", hooks, load=load_further
    ) as examined:
        examined.budget_s, examined.patience_s = 0.1, 1.0
        (outcome,) = kit.run(examined, TRANSPORTS, [FURTHER[kind]])
    assert outcome.verdict is kit.Verdict.FAILED, outcome.detail


@pytest.mark.parametrize(
    ("way", "error", "text"),
    [
        ("NeverConnects", TransportError, "it did not connect, or not close, within 0.1 s"),
        ("RaisesWhenOpened", PluginError, "the subject does not tell what it can do: raised RuntimeError: no way"),
    ],
)
def test_what_never_opens_is_one_error(way: str, error: type[E4Error], text: str) -> None:
    NeverConnects.attempts = 0
    with subject(f"broken:{way}", load=load) as examined, pytest.raises(error, match=text):
        examined.patience_s = 0.1
        examination.examined(KINDS["transport"], way, examined, 1)
    assert NeverConnects.attempts <= 1, "who never connects is waited for again and again"


def test_what_has_no_hook_is_not_exercised_and_says_which() -> None:
    with subject("broken:Right", load=load) as examined:
        (outcome,) = kit.run(examined, TRANSPORTS, ["E4-TLNK-001"])
    assert (outcome.verdict, outcome.is_in_the_way) == (kit.Verdict.NOT_EXERCISED, True)
    assert "the hook link is missing" in outcome.detail
