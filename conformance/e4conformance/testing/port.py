# SPDX-License-Identifier: Apache-2.0
"""All tests of a port: ``from e4conformance.testing.port import *``, and ``e4_port`` in the settings of pytest."""

from __future__ import annotations

from typing import Any

import pytest

from e4conformance.requirement import Requirement
from e4conformance.testing.requirements import Examined, check, e4_subject

__all__ = ["e4_subject", "test_port"]


def test_port(request: pytest.FixtureRequest, e4_subject: Examined, e4_requirement: Requirement[Any]) -> None:
    check(request.node, e4_subject, e4_requirement)


test_port.e4_kind = "port"  # type: ignore[attr-defined]
