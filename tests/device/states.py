# SPDX-License-Identifier: Apache-2.0
"""A state to store, and cheap ways to store it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from e4core.keys import ClientId, Secret, TopicHash, TopicKey
from e4core.plugins import load_suite
from e4core.state import Seen, State, TopicState, new_state
from e4device.passphrase import Cost
from e4device.statefile import StateFile

CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
PASSPHRASE = Secret(b"correct horse battery staple")
NOW = 1_800_000_000.25
VECTORS = Path(__file__).parents[2] / "conformance" / "e4conformance" / "vectors"
E4GO = json.loads((VECTORS / "e4-state.json").read_text())
SK = load_suite("sk")


def some_state() -> State:
    topic = TopicHash(SK.derive_id("weather"))
    return replace(
        new_state(SK, ClientId(SK.derive_id("device")), Secret(b"\x07" * 32)),
        topics={topic: TopicState(TopicKey(b"\x01" * 32), TopicKey(b"\x02" * 32), int(NOW) - 1000)},
        seen=(Seen(topic, b"", 3, {1_700_000_001: frozenset({b"\x05" * 16})}),),
    )


STATE = some_state()


def created(file: StateFile, state: State = STATE) -> StateFile:
    with file:
        file.create(state)
    return file
