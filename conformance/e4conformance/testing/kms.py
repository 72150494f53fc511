# SPDX-License-Identifier: Apache-2.0
"""All tests of a KMS driver: ``from e4conformance.testing.kms import *``, and ``e4_kms`` in the settings of pytest."""

from __future__ import annotations

from typing import Any

import pytest

from e4conformance.requirement import Requirement
from e4conformance.testing.requirements import Examined, check, e4_subject

__all__ = ["e4_subject", "test_kms"]


def test_kms(request: pytest.FixtureRequest, e4_subject: Examined, e4_requirement: Requirement[Any]) -> None:
    check(request.node, e4_subject, e4_requirement)


test_kms.e4_kind = "kms"  # type: ignore[attr-defined]
