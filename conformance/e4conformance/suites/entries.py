# SPDX-License-Identifier: Apache-2.0
"""Which entries of the vectors of this package speak of a wire name, in four groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from e4conformance.vectorfile import VectorFile, own_files, read

_NEEDED = ("meta", "receiver_bob_state", "key_pairs")
"""Sections that others look into."""
GROUPS = {
    "primitives": (
        "aead",
        "aead_key_errors",
        "id_from_alias",
        "topic_hash",
        "topic_hashes",
        "key_pairs",
        "shared_keys",
        "odd_public_keys",
        "sign",
        "sign_errors",
        "create_errors",
        "sessions",
    ),
    "messages": ("protect_fixed", "protect_live", "unprotect", "protect_unknown_topic_error", "sealed_messages"),
    "commands": (
        "commands_fixed",
        "command_negatives",
        "command_sequence",
        "command_unprotect",
        "sealed_commands",
        "read_reports",
        "refused_reports",
    ),
    "stories": (
        "message_replay",
        "command_order",
        "clock_skew",
        "restarts",
        "previous_keys",
        "refused_commands",
        "refused_states",
        "sending",
        "reports",
        "receiving",
        "validity",
        "replays",
        "refused_containers",
        "epochs",
        "own_keys",
        "public_keys",
        "two_signatures",
    ),
}


@cache
def groups_of(wire_name: str) -> frozenset[str]:
    """The groups of which there are entries, as capabilities."""
    return frozenset(f"vectors-{group}" for group in GROUPS if files(wire_name, group))


def files(wire_name: str, group: str) -> list[VectorFile]:
    """The files, each with the entries of this wire name and group alone; those without any are left out."""
    chosen = [_of_group(file, group, wire_name) for file in _read() if file.kind in (wire_name, "strict", "format2")]
    return [file for file in chosen if any(file.sections.values())]


@cache
def _read() -> tuple[VectorFile, ...]:
    return tuple(map(read, own_files()))


def _of_group(file: VectorFile, group: str, wire_name: str) -> VectorFile:
    own = {name: _own(value, wire_name) for name, value in file.sections.items() if name in GROUPS[group]}
    needed = {name: value for name, value in file.sections.items() if name in _NEEDED}
    return replace(file, sections=_Sections(own, needed))


def _own(section: Any, wire_name: str) -> Any:
    if not isinstance(section, list):
        return section
    return [each for each in section if not isinstance(each, dict) or each.get("suite", wire_name) == wire_name]


class _Sections(dict[str, Any]):
    """Sections to run, and others that can be looked into."""

    def __init__(self, run: Mapping[str, Any], other: Mapping[str, Any]) -> None:
        super().__init__(run)
        self._other = other

    def __missing__(self, name: str) -> Any:
        return self._other[name]
