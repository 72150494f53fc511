# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is so: its examples run, its links lead somewhere."""

from __future__ import annotations

import doctest
import re
from functools import cache
from pathlib import Path

import pytest

from e4cli.exits import TABLE
from e4core import errors

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)


@pytest.mark.parametrize("page", [p for p in PAGES if ">>>" in p.read_text()], ids=lambda page: page.stem)
def test_examples_run(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("page", [*PAGES, DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [each for each in targets if "://" not in each and not (page.parent / each).exists()]
    assert missing == []


@pytest.mark.parametrize("page", [*PAGES, DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_links_into_pages_lead_to_a_heading(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text())
    missing = [(file, name) for file, name in targets if name not in headings(page.parent / file if file else page)]
    assert missing == []


@cache
def headings(page: Path) -> frozenset[str]:
    """Names of the headings of a page, as links have them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M), re.M)
    return frozenset(re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles)


def test_every_class_of_error_is_explained_and_has_an_exit_status() -> None:
    text = (DOCS / "reference" / "errors.md").read_text()
    classes = {
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.E4Error)
    } - {errors.E4Error}
    assert [each.__name__ for each in classes if f"`{each.__name__}`" not in text] == []
    assert TABLE
