# SPDX-License-Identifier: Apache-2.0
"""Suites of Format 2 for commands that run in processes of their own: a plugin that is found there as an installed one is."""

from __future__ import annotations

import os
from pathlib import Path

from tests.core.suites2 import SUITES

ROOT = Path(__file__).parents[2]


def installed(folder: Path) -> dict[str, str]:
    """The environment in which the suites of `tests.core.suites2` are installed. Args: folder: for their metadata."""
    distribution = folder / "e4_test_suites-0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: e4-test-suites\nVersion: 0\n")
    points = [f"{suite.name} = tests.cli.suites2:{_attribute(suite.name)}" for suite in SUITES.values()]
    (distribution / "entry_points.txt").write_text("\n".join(["[e4.suites]", *points]) + "\n")
    path = [str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}


def _attribute(name: str) -> str:
    return name.replace("-", "_").upper()


globals().update({_attribute(suite.name): suite for suite in SUITES.values()})
