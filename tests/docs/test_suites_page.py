# SPDX-License-Identifier: Apache-2.0
"""The page that helps to choose a suite says of each what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from e4core.formats import overheads
from tests.suites import EVERY, installed

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "choose-a-suite.md"
ROWS = dict(re.findall(r"^\| `([a-z-]+)` \| (.*?) \| [^|]* \|$", PAGE.read_text(), re.M))


def test_it_names_all_suites_of_this_project() -> None:
    assert sorted(ROWS) == sorted(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_what_it_says_of_a_suite_is_so(name: str) -> None:
    suite = installed(name)
    keys = "symmetric" if suite.is_symmetric else "public"
    assert ROWS[name] == f"{suite.format} | {keys} | {overheads(suite)[0]:,}"
