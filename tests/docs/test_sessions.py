# SPDX-License-Identifier: Apache-2.0
"""Console sessions of README and documentation are as shown.

Pages whose sessions need several terminals say so in comments; they have tests of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.session import ROOT, Session, check_requirements, steps
from tests.servers import free_port, tool

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in page.parts and "\n```console\n" in page.read_text() and "<!-- terminal:" not in page.read_text()
]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    for program in ("bash", "curl", "make"):
        tool(program, program)
    with Session(tmp_path, free_port(), free_port()) as session:
        yield session


def play(session: Session, page: str) -> None:
    for step in steps(page):
        session.run(step)
    session.end()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_happens(session: Session, page: Path) -> None:
    play(session, page.read_text())


def test_the_readme_has_a_session() -> None:
    assert [step.command for step in steps((ROOT / "README.md").read_text())][:2] == ["make demo", "e4 serve"]


@pytest.mark.parametrize(
    "block",
    [
        "$ echo a\na",
        "$ echo a; echo b; echo c\n...\nb\n...",
        "$ name=a\n$ echo $name\na",
        "$ cd /\n$ pwd\n/",
        "$ echo 'e4: no' >&2; false\ne4: no",
        "$ echo 1795242747.25 2026-11-21 06:32:26Z\n1700000000.5 2026-01-01 12:00:00Z",
        f"$ echo {'a' * 32} {'b' * 32} {'a' * 32}\n{'1' * 32} {'2' * 32} {'1' * 32}\n$ echo {'1' * 32}\n{'1' * 32}",
    ],
)
def test_what_may_differ_does_not_disturb(session: Session, block: str) -> None:
    play(session, f"```console\n{block}\n```\n")


@pytest.mark.parametrize(
    "block",
    [
        "$ echo a\nb",
        "$ echo a\na\nb",
        "$ echo a; echo b\na",
        "$ echo a; echo b\n...\na",
        "$ false",
        "$ true\ne4: no",
        "$ echo a b\na  b",
        f"$ echo {'a' * 32} {'a' * 32}\n{'1' * 32} {'2' * 32}",
        f"$ echo {'a' * 32} {'b' * 32}\n{'1' * 32} {'1' * 32}",
        f"$ echo {'a' * 32}\n{'1' * 32}\n$ echo {'b' * 32}\n{'1' * 32}",
        "$ echo 2026-11-21\n2026-11-22",
        "$ make no-such-target",
        "$ pip install 'e4core[no-such-extra]'",
    ],
)
def test_a_page_that_lies_is_found_out(session: Session, block: str) -> None:
    with pytest.raises(AssertionError):
        play(session, f"```console\n{block}\n```\n")


def test_a_command_that_should_go_on_and_does_not_is_found_out(session: Session) -> None:
    with pytest.raises(AssertionError):
        play(session, "```console\n$ e4 serve --no-such-option\n```\n")


def test_what_is_installed_exists() -> None:
    check_requirements("pip install 'e4core[server]'  # everything")
