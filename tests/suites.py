# SPDX-License-Identifier: Apache-2.0
"""Every suite of this project; one that needs liboqs fails in CI where it is missing, and elsewhere is left out, loudly."""

from __future__ import annotations

from e4core.errors import PluginError
from e4core.plugins import load_suite
from e4core.suite import Suite
from tests.backends.oqs_here import missing

EVERY = ("sk", "pk", "fips-sk", "fips-pk", "fast-sk", "pq", "pq-pyca", "pq-hybrid", "pq-falcon", "pq-slh")


def installed(name: str) -> Suite:
    try:
        return load_suite(name)
    except PluginError as error:
        missing(str(error))
