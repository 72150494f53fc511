# SPDX-License-Identifier: Apache-2.0
"""All tests of a suite: ``from e4conformance.testing.suite import *``, and ``e4_suite`` in the settings of pytest."""

from __future__ import annotations

from typing import Any

import pytest

from e4conformance.requirement import Requirement
from e4conformance.testing.requirements import Examined, check, e4_subject

__all__ = ["e4_subject", "test_suite"]


def test_suite(request: pytest.FixtureRequest, e4_subject: Examined, e4_requirement: Requirement[Any]) -> None:
    check(request.node, e4_subject, e4_requirement)


test_suite.e4_kind = "suite"  # type: ignore[attr-defined]
