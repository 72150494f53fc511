# SPDX-License-Identifier: Apache-2.0
"""Brings a port into the state in which a story of Format 1 begins: by commands, as there is no other way into a device."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from e4conformance.ports.client import Port
from e4conformance.ports.device import PortDevice
from e4conformance.vectorfile import Entry
from e4core import state as states
from e4core.command import Command, RemoveTopic, SetPubKey, SetTopicKey, encode
from e4core.keys import TopicHash
from e4core.state import State
from e4core.suite import Suite

BEGUN = 1_000_000_000
"""Unix second of the first commands: long before that of any story."""
_FRESH: Mapping[str, Any] = {"command_floor": 0, "command_tags": {}, "mark": 0, "floor": 0, "sent": 0, "seen": []}


def cannot_begin(state: Mapping[str, Any]) -> str:
    """Why no commands lead to ``state``; empty: they do."""
    off = [name for name, value in _FRESH.items() if state[name] != value]
    return f"begins with {', '.join(off)} of its own" if off else ""


def begun(port: Port, suite: Suite, entry: Entry, c2_private: bytes) -> PortDevice:
    """The device of a story. Raises: E4Error with the kind that the port gives. PortFault."""
    state = states.load(_encoded(entry["state"]))
    device = PortDevice(
        port,
        suite.wire_name,
        state.client_id,
        state.private,
        state.c2_public,
        skew_s=entry.get("skew_s", 30),
        repeats=tuple(entry.get("repeats", ())),
    )
    public = suite.device.public(suite.device.load(state.private))
    key = suite.control.at_c2(suite.c2.load(c2_private), public).command_key
    for second, command in sorted(_commands(state), key=lambda each: each[0]):
        header = second.to_bytes(8, "little")
        device.command(header + key.seal(b"", encode(command), header), second)
    return device


def _commands(state: State) -> Iterator[tuple[int, Command]]:
    """With the second at which each is sent and obeyed."""
    for peer, public in state.peers.items():
        yield BEGUN, SetPubKey(public, peer)
    for topic, held in state.topics.items():
        if held.previous is not None:
            yield BEGUN, SetTopicKey(held.previous, topic)
        yield held.rotated or BEGUN, SetTopicKey(held.key, topic)
    if state.command_second:
        yield state.command_second, RemoveTopic(TopicHash(bytes(16)))


def _encoded(state: Mapping[str, Any]) -> bytes:
    return json.dumps(state).encode()
