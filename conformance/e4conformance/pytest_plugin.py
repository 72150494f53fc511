# SPDX-License-Identifier: Apache-2.0
"""The plugin of pytest: its options. Every pytest beside which this is installed loads it, so it loads nothing of the kit.

A test file that proves a suite is one line, ``from e4conformance.testing.suite import *``, and ``e4_suite`` in the settings of
pytest names the suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SUBJECTS = {
    "e4_suite": "Suites to examine, by name.",
    "e4_kms": "KMSes to examine, by URI.",
    "e4_transport": "Transports to examine, by URI.",
    "e4_port": "Ports to examine: commands in quotes, tcp://HOST:PORT or serial:/dev/...",
}
HOOKS = {
    "e4_kms_hooks": "MODULE:NAME of what makes the faults of the KMSes.",
    "e4_transport_hooks": "MODULE:NAME of what makes the faults of the transports.",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("e4", "E4 conformance")
    for name, text in SUBJECTS.items():
        group.addoption(_option(name), action="append", metavar="NAME", help=text)
        parser.addini(name, text, type="args")
    for name, text in HOOKS.items():
        group.addoption(_option(name), metavar="MODULE:NAME", help=text)
        parser.addini(name, text, default="")
    group.addoption("--e4-seed", type=int, metavar="N", help="Check the same samples again; without it, others.")
    text = "Write what was found: .json, .xml (JUnit) or .html; a file each where there are several subjects."
    group.addoption("--e4-report", metavar="FILE", help=text)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("e4_report"):
        from e4conformance.testing.reporting import Reporting

        config.pluginmanager.register(Reporting(config.getoption("e4_report")), "e4-report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if kind := getattr(metafunc.function, "e4_kind", ""):
        from e4conformance.testing.requirements import parametrize

        parametrize(metafunc, kind)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
