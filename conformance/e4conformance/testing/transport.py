# SPDX-License-Identifier: Apache-2.0
"""All tests of a transport: ``from e4conformance.testing.transport import *``, and ``e4_transport`` in the settings of pytest."""

from __future__ import annotations

from typing import Any

import pytest

from e4conformance.requirement import Requirement
from e4conformance.testing.requirements import Examined, check, e4_subject

__all__ = ["e4_subject", "test_transport"]


def test_transport(request: pytest.FixtureRequest, e4_subject: Examined, e4_requirement: Requirement[Any]) -> None:
    check(request.node, e4_subject, e4_requirement)


test_transport.e4_kind = "transport"  # type: ignore[attr-defined]
