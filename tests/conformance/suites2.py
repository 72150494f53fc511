# SPDX-License-Identifier: Apache-2.0
"""Suites of Format 2 by wire name; of those with one wire name, one that is installed everywhere."""

from __future__ import annotations

from functools import cache

from e4core.plugins import load_suite
from e4core.suite import Suite
from tests.backends import oqs_here

assert oqs_here.MODULES  # with it comes where liboqs is
NAMES = {"pq": "pq-pyca"}


@cache
def suite_of(wire_name: str) -> Suite:
    return load_suite(NAMES.get(wire_name, wire_name))
