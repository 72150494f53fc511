# SPDX-License-Identifier: Apache-2.0
"""The alerts and the dashboard that are shipped ask for nothing that a C2 does not show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.c2.served import serving, settings_in

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "monitoring"
_SERIES = re.compile(r"\b(?:e4|process)_\w+")
_LATER = {"e4_commands_oldest_seconds", "e4_command_confirmed_seconds_bucket", "e4_reports_refused_total"}
"""There once there is something to tell."""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"))) as c2:
        c2.topic("room", c2.client("lamp"))
        text = c2.http.get("/metrics").text
    families = list(text_string_to_metric_families(text))
    return {sample.name for family in families for sample in family.samples} | _LATER


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
