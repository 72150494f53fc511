# SPDX-License-Identifier: Apache-2.0
"""State files for devices under test."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from e4core.keys import Secret, TopicHash, TopicKey
from e4core.state import State, TopicState
from e4device.passphrase import Cost
from e4device.statefile import StateFile
from tests.device.c2 import Enrolled

VECTORS = Path(__file__).parents[2] / "conformance" / "e4conformance" / "vectors"
E4GO = json.loads((VECTORS / "e4-state.json").read_text())
TOPIC = "weather/attic"
CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
PASSPHRASE = "a passphrase of the state"


def stored(path: Path, state: State, passphrase: Secret | None = None) -> Path:
    with StateFile(path, passphrase, cost=CHEAP) as file:
        file.create(state)
    return path


def loaded(path: Path) -> State:
    state = StateFile(path).load(time.time())
    assert isinstance(state, State)
    return state


def with_key(device: Enrolled, key: TopicKey, *peers: Enrolled) -> State:
    topics = {TopicHash(device.suite.derive_id(TOPIC)): TopicState(key)}
    return replace(device.state, topics=topics, peers={peer.client_id: peer.public for peer in peers})
