# SPDX-License-Identifier: Apache-2.0
"""The alerts and the dashboard that are shipped ask for nothing that a C2 does not show."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e4c2.api import monitoring
from e4core.keys import ClientId, report_topic
from e4core.plugins import load_transport
from tests.c2.served import PATIENCE_S, Served, serving, settings_in
from tests.c2.test_app_listening import wait_for_status
from tests.servers import Mosquitto, free_port, tool

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "monitoring"
_SERIES = re.compile(r"\b(?:e4|process)_\w+")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Of a C2 that has sent a command and refused a report, and whose next command waits for the broker."""
    folder = tmp_path_factory.mktemp("c2")
    broker = Mosquitto(tool("mosquitto", "mosquitto"), folder, free_port())
    broker.start()
    try:
        with pytest.MonkeyPatch.context() as patch, serving(settings_in(folder, broker=broker.uri)) as c2:
            patch.setattr(monitoring, "KEPT_S", 0.0)
            noisy = c2.client("noisy")
            c2.topic("hall", noisy)
            asyncio.run(make_noise(broker.uri, noisy))
            deadline = time.monotonic() + PATIENCE_S
            while not {"e4_publications_total", "e4_reports_refused_total"} <= shown(c2):
                assert time.monotonic() < deadline
            broker.kill()
            wait_for_status(c2.http, "/readyz", 503)
            c2.topic("room", c2.client("lamp"))
            return shown(c2)
    finally:
        broker.kill()


async def make_noise(broker: str, client: str) -> None:
    async with load_transport(broker, "") as link:
        await link.publish(report_topic(ClientId.fromhex(client)), b"no report")


def shown(c2: Served) -> set[str]:
    families = text_string_to_metric_families(c2.http.get("/metrics").text)
    return {sample.name for family in families for sample in family.samples}


def asked(text: str) -> set[str]:
    return set(_SERIES.findall(text))


def test_alerts_ask_for_series_that_there_are(names: set[str]) -> None:
    rules = re.findall(r"^ +expr: (.*)$", (EXAMPLES / "alerts.yml").read_text(), re.M)
    assert len(rules) > 5
    assert set().union(*map(asked, rules)) - names == set()


def test_the_dashboard_asks_for_series_that_there_are(names: set[str]) -> None:
    panels = json.loads((EXAMPLES / "dashboard.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(expressions) == len(panels) > 10
    assert set().union(*map(asked, expressions)) - names == set()


def test_the_guide_names_every_series(names: set[str]) -> None:
    guide = asked((ROOT / "docs" / "guides" / "monitor.md").read_text())
    own = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in names if name.startswith("e4_")}
    assert {name for name in own if name not in guide and f"{name}_total" not in guide} == set()
