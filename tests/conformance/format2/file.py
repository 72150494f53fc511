# SPDX-License-Identifier: Apache-2.0
"""The file of the vectors of Format 2: which stories of which suites."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.conformance.format2.commands import command_order, epochs, refused_commands, refused_containers
from tests.conformance.format2.fleet import SIZES, Fleet, Json, Maker
from tests.conformance.format2.keys import own_keys, public_keys, reports
from tests.conformance.format2.messages import receiving, replays, restarts, sending, validity
from tests.conformance.format2.reported import read_reports, refused_reports
from tests.conformance.format2.sealed import sealed_commands, sealed_messages, sessions, topic_hashes

TARGET = Path(__file__).parents[3] / "conformance" / "e4conformance" / "vectors" / "e4-format2.json"
STORIES: tuple[Callable[[Fleet], list[Json]], ...] = (
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
)
SEALED: tuple[Callable[[Fleet], list[Json]], ...] = (
    topic_hashes,
    sessions,
    sealed_messages,
    sealed_commands,
    read_reports,
    refused_reports,
)
LONG = {receiving, own_keys}
"""What is told of suites with long keys and signatures, too."""
META = {
    "what": "Format 2",
    "big_value_rule": "values longer than 2048 bytes are given as NAME_len, NAME_sha256, NAME_head24, NAME_tail80",
    "payload_rule": "payload of length n: byte i = (7*i + n + 3) mod 256",
    "made_by": "python -m scripts.format2_vectors",
    "steps": "docs/reference/vectors.md",
}


def vectors(maker: Maker) -> Json:
    fleets = [Fleet(sizes, maker) for sizes in SIZES]
    singles = {
        tell.__name__: [
            entry for f in fleets if f.sizes.signature < 1000 or tell is not refused_reports for entry in tell(f)
        ]
        for tell in SEALED
    }
    return {"meta": META, **singles} | {
        tell.__name__: [story for f in fleets if f.sizes.signature < 1000 or tell in LONG for story in tell(f)]
        for tell in STORIES
    }


def text(maker: Maker) -> str:
    return json.dumps(vectors(maker), indent=1) + "\n"
