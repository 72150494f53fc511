# SPDX-License-Identifier: Apache-2.0
"""The sections of the vectors that tell stories, and which of them are told for a port."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache

from e4conformance import vectorfile
from e4conformance.vectorfile import Entry, VectorFile

KINDS = ("strict", "format2")
_NO_PORTS = ("meta", "refused_states")
"""States in a file are this project's own."""


@cache
def files() -> Mapping[str, VectorFile]:
    """The files of this package by their kind."""
    return {file.kind: file for file in map(vectorfile.read, vectorfile.own_files())}


def name_of(kind: str, section: str) -> str:
    """What a port is said to have if stories of a section are told for it."""
    return f"stories:{kind}/{section}"


def told_for(wire_names: Collection[str], capabilities: Collection[str]) -> frozenset[str]:
    """Of all sections the `name_of` those with a story for one of these suites that needs no other capability."""
    return frozenset(
        name_of(kind, section)
        for kind, section, entry in _all()
        if entry["suite"] in wire_names and needed(section, entry) <= set(capabilities)
    )


def needed(section: str, entry: Entry) -> set[str]:
    """The capabilities without which a port cannot play a story."""
    operations = {step["op"] for step in entry["steps"]}
    needs = {
        "clock": True,
        "reports": section == "reports" or bool(operations & {"hello", "sync", "to_offered"}),
        "clockless": not entry.get("clock", True),
        "repeats": bool(entry.get("repeats")),
        "memory": section == "restarts" and "close" in operations,
    }
    return {name for name, is_needed in needs.items() if is_needed}


def _all() -> Iterator[tuple[str, str, Entry]]:
    for kind in KINDS:
        for section, entries in files()[kind].sections.items():
            if section not in _NO_PORTS:
                yield from ((kind, section, entry) for entry in entries if "steps" in entry)
