# SPDX-License-Identifier: Apache-2.0
"""Each requirement has a negative control: something that is wrong, and fails for it. Where there can be none it says why."""

from __future__ import annotations

import pytest

from e4conformance.kinds import KINDS
from tests.conformance.kms import broken as kms
from tests.conformance.kms import broken_further as further_kms
from tests.conformance.kms.test_further_controls import HAPPENINGS
from tests.conformance.ports import test_broken_ports as ports
from tests.conformance.ports.broken_further import FURTHER as FURTHER_PORTS
from tests.conformance.suites import broken as suites
from tests.conformance.transports import broken as transports
from tests.conformance.transports import broken_further as further_transports

CONTROLLED: dict[str, set[str]] = {
    "suite": {number for _, number in suites.CONTROLS} | {number for _, _, number in suites.DIFFERENT.values()},
    "kms": {*kms.BROKEN.values(), *further_kms.FURTHER.values(), *further_kms.LOADS.values(), *HAPPENINGS},
    "transport": {*transports.BROKEN.values(), *further_transports.FURTHER.values()},
    "port": {
        *(number for _, _, number, _ in ports.WRONG_DEVICES),
        *(number for _, number, _ in (*ports.WRONG_PORTS, *ports.WRONG_PROCESSES)),
        *FURTHER_PORTS,
    },
}
WITHOUT = {
    "E4-MSG-110": "what the core alone can do wrong",
    "E4-KSEC-004": "it asks for a hook: without that it is not exercised, and no driver can fail it",
    "E4-KLIF-007": "a driver that waits for ever takes the whole 15 s; the kit's own drivers are asked",
}
"""Those without a control, and why."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_requirement_has_a_control_or_says_why_not(kind: str) -> None:
    ids = {each.id for each in KINDS[kind].book}
    assert ids - CONTROLLED[kind] == ids & WITHOUT.keys()
    assert CONTROLLED[kind] <= ids


def test_what_says_why_it_has_none_is_a_requirement() -> None:
    assert WITHOUT.keys() <= {each.id for kind in KINDS.values() for each in kind.book}
