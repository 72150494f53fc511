# SPDX-License-Identifier: Apache-2.0
"""Every law of the core is tried with both suites of Format 1."""

from __future__ import annotations

import pytest

from e4backends import pk as pk_suite
from e4backends import sk as sk_suite
from e4core.suite import Suite
from tests.core.fleet import Device


@pytest.fixture(scope="session", params=[sk_suite.SUITE, pk_suite.SUITE], ids=["sk", "pk"])
def suite(request: pytest.FixtureRequest) -> Suite:
    chosen: Suite = request.param
    return chosen


@pytest.fixture(scope="session")
def pk() -> Suite:
    return pk_suite.SUITE


@pytest.fixture(scope="session")
def sk() -> Suite:
    return sk_suite.SUITE


@pytest.fixture
def device(suite: Suite) -> Device:
    return Device(suite)
