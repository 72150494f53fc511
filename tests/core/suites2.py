# SPDX-License-Identifier: Apache-2.0
"""Suites of Format 2 for tests: every shape that a suite can have, of parts that are installed everywhere and quick."""

from __future__ import annotations

from e4backends.hybrid import Ed25519
from e4backends.pairs import paired_suite
from e4backends.pq_pyca import MlKem768
from e4backends.pyca import Gcm, Siv
from e4backends.sk import symmetric_suite
from e4core.suite import Suite

SIV_SK = symmetric_suite("t-siv-sk", "t-siv-sk", Siv())
GCM_SK = symmetric_suite("t-gcm-sk", "t-gcm-sk", Gcm())
SIV_PK = paired_suite("t-siv-pk", "t-siv-pk", Siv(), Ed25519(), MlKem768())
GCM_PK = paired_suite("t-gcm-pk", "t-gcm-pk", Gcm(), Ed25519(), MlKem768())

SUITES = {suite.name: suite for suite in (SIV_SK, GCM_SK, SIV_PK, GCM_PK)}


def suite_named(name: str) -> Suite:
    """Stands for `e4core.plugins.load_suite`."""
    return SUITES[name]
