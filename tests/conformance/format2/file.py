# SPDX-License-Identifier: Apache-2.0
"""The file of the vectors of Format 2: which stories of which suites."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.conformance.format2.commands import command_order, refused_commands, refused_containers
from tests.conformance.format2.epochs import epochs
from tests.conformance.format2.fleet import Fleet, Json
from tests.conformance.format2.keys import own_keys, public_keys, reports
from tests.conformance.format2.maker import Maker
from tests.conformance.format2.messages import receiving, replays, sending, validity
from tests.conformance.format2.reported import read_reports, refused_reports
from tests.conformance.format2.restarts import restarts
from tests.conformance.format2.sealed import sealed_commands, sealed_messages, sessions, topic_hashes
from tests.conformance.format2.signatures import two_signatures
from tests.conformance.format2.sizes import SIZES, VERIFIED, Sizes

Tell = Callable[[Fleet], list[Json]]

TARGET = Path(__file__).parents[3] / "conformance" / "e4conformance" / "vectors" / "e4-format2.json"
STORIES: tuple[Tell, ...] = (
    receiving,
    validity,
    replays,
    restarts,
    sending,
    command_order,
    refused_containers,
    refused_commands,
    epochs,
    own_keys,
    public_keys,
    reports,
    two_signatures,
)
SEALED: tuple[Tell, ...] = (
    topic_hashes,
    sessions,
    sealed_messages,
    sealed_commands,
    read_reports,
    refused_reports,
)
SECTIONS = {tell.__name__: tell for tell in (*SEALED, *STORIES)}
_SINGLE = {"sealed_messages", "sealed_commands", "read_reports"}
SOME = {
    "pq": {*_SINGLE, "own_keys", "receiving"},
    "pq-hybrid": {*_SINGLE, "own_keys", "two_signatures"},
    "pq-falcon": _SINGLE,
    "pq-slh": {"sealed_messages", "sealed_commands"},
}
"""What is told of suites with long keys and signatures; of the others everything."""
FIRST = {sizes.wire_name: 1 for sizes in VERIFIED}
"""Of how many entries a section has of a suite; of the others all."""
SYMMETRIC = {sizes.wire_name for sizes in SIZES if sizes.symmetric}
RANDOM = ("protected", "context")
"""Fields whose bytes, but not their number, are others each time in suites with signatures."""
META = {
    "what": "Format 2",
    "big_value_rule": "values longer than 2048 bytes are given as NAME_len, NAME_sha256, NAME_head24, NAME_tail80",
    "payload_rule": "payload of length n: byte i = (7*i + n + 3) mod 256",
    "made_by": "python -m scripts.format2_vectors",
    "steps": "docs/reference/vectors.md",
}


def section(name: str, maker: Maker, suites: Sequence[Sizes] = SIZES) -> list[Json]:
    told = [sizes for sizes in suites if name in SOME.get(sizes.wire_name, SECTIONS)]
    return [entry for sizes in told for entry in SECTIONS[name](Fleet(sizes, maker))[: FIRST.get(sizes.wire_name)]]


def vectors(maker: Maker, suites: Sequence[Sizes] = SIZES) -> Json:
    return {"meta": META, **{name: section(name, maker, suites) for name in SECTIONS}}


def shape(entry: Json) -> Any:
    """What must not change of an entry, whoever makes it: in symmetric suites all of it."""
    return _shape(entry, entry["suite"] not in SYMMETRIC)


def _shape(value: Any, random: bool, name: str = "") -> Any:
    if isinstance(value, dict):
        return {each: _shape(inner, random, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_shape(each, random) for each in value]
    return len(value) if random and name in RANDOM else value


def kept(old: Mapping[str, Any], new: Json) -> Json:
    """``new``; but where an entry of ``old`` differs from it in random bytes alone, that one."""
    held = {
        (name, json.dumps(shape(entry))): entry
        for name, entries in old.items()
        if name in SECTIONS
        for entry in entries
    }
    return {
        name: [held.get((name, json.dumps(shape(entry))), entry) for entry in entries] if name in SECTIONS else entries
        for name, entries in new.items()
    }


def text(file: Json) -> str:
    return json.dumps(file, indent=1) + "\n"
