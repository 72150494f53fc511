# SPDX-License-Identifier: Apache-2.0
"""Writes ``docs/reports``: ``make reports``. Not of the tests, which run the kit on the same subjects, with smaller samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from e4conformance.border import Subject
from e4conformance.examination import examined
from e4conformance.kinds import KINDS
from e4conformance.kms import subject as kms_subject
from e4conformance.report import Report, save
from e4conformance.transports import subject as transport_subject
from tests.conformance.ports.reach import REFERENCE
from tests.docs.session import ROOT
from tests.examples.port_c import built
from tests.kms.conftest import AnyToken, any_token
from tests.kms.drivers import DRIVERS
from tests.kms.sites import Site
from tests.servers import StartMosquitto
from tests.suites import EVERY
from tests.transports.test_transports import embedded, memory, mqtt_3, mqtt_5

__all__ = ["any_token"]

FOLDER = ROOT / "docs" / "reports"
SEED = 1
SLOW = ("pq-slh",)
"""Suites in which a port takes minutes; they are examined as suites."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, any_token: AnyToken) -> Iterator[Site]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as environment:
        yield Site(tmp_path_factory.mktemp("drivers"), stack, any_token, environment, DRIVERS)


def publish(kind: str, name: str, subject: Subject) -> None:
    """Raises: AssertionError: it does not conform."""
    report = examined(KINDS[kind], name, subject, SEED)
    for suffix, form in {"json": Report.json, "html": Report.html}.items():
        save(FOLDER / f"{kind}-{name}.{suffix}", form(report))
    assert report.conforms, [each for each in report.outcomes if each.is_in_the_way]


@pytest.mark.parametrize("name", EVERY)
def test_suite(name: str) -> None:
    with KINDS["suite"].subject(name, SEED) as subject:
        publish("suite", name, subject)


@pytest.mark.parametrize("name", DRIVERS)
def test_kms(name: str, site: Site) -> None:
    driver = site.ready(name)
    with kms_subject(driver.uri, driver.hooks, seed=SEED) as subject:
        publish("kms", name, subject)


@pytest.mark.parametrize("place", [memory, mqtt_3, mqtt_5, embedded])
def test_transport(place: Any, start_mosquitto: StartMosquitto, tmp_path: Path) -> None:
    with place(start_mosquitto, tmp_path) as (uri, hooks, _), transport_subject(uri, hooks, seed=SEED) as subject:
        publish("transport", place.__name__.replace("_", "-"), subject)


def test_port_in_c(tmp_path_factory: pytest.TempPathFactory) -> None:
    with KINDS["port"].subject(str(built(tmp_path_factory.getbasetemp(), "all") / "e4-port"), SEED) as subject:
        publish("port", "c", subject)


def test_port() -> None:
    suites = " ".join(f"--suite {name}" for name in EVERY if name not in SLOW)
    with KINDS["port"].subject(f"{REFERENCE} {suites}", SEED) as subject:
        publish("port", "reference", subject)
