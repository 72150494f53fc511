# SPDX-License-Identifier: Apache-2.0
"""Which suite it is decides nothing: the core names none, and nobody compares the name of one with a word of the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.suites import EVERY

ROOT = Path(__file__).parents[2]
ROOMS = ("e4core", "backends", "kms", "transports", "conformance", "device", "c2", "cli", "fuzz", "scripts")
"""Not the benchmarks: they measure one suite against another."""
NAMES = frozenset(EVERY)
QUOTED = re.compile("|".join(f"[\"']{name}[\"']" for name in NAMES))


def trees(room: str) -> Iterator[tuple[Path, ast.Module]]:
    """Of the sources in which a name stands."""
    for path in sorted((ROOT / room).rglob("*.py")):
        if QUOTED.search(text := path.read_text()):
            yield path, ast.parse(text)


def words(node: ast.AST) -> set[object]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}


def docstrings(tree: ast.AST) -> set[ast.AST]:
    """And whatever else is written down and used for nothing."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def comparisons(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            yield node
        elif isinstance(node, ast.match_case):
            yield node.pattern


@pytest.mark.parametrize(
    "source", ['if suite.name == "pk": pass', 'x = a in ("fips-sk", b)', 'match s:\n    case "sk" | 1: pass']
)
def test_a_comparison_is_seen(source: str) -> None:
    assert any(words(each) & NAMES for each in comparisons(ast.parse(source)))


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_depends_on_the_name_of_a_suite(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in trees(room)
        for node in comparisons(tree)
        if words(node) & NAMES and isinstance(node, ast.expr | ast.pattern)
    ]
    assert found == []


def test_the_core_names_no_suite() -> None:
    found = []
    for path, tree in trees("e4core"):
        unused = docstrings(tree)
        named = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in NAMES)
        found += [f"{path.name}:{node.lineno}" for node in named if node not in unused]
    assert found == []
