# SPDX-License-Identifier: Apache-2.0
"""Devices of this implementation as the vectors need them: nothing remembered, no tolerance, the clock injected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from e4conformance.vectorfile import TOPIC, Entry, Facets, VectorFile, ended, unhex
from e4core import e4go
from e4core.client import Client, Tolerance
from e4core.keys import ClientId, Secret, TopicHash, TopicKey
from e4core.plugins import load_suite
from e4core.sending import BACKDATE_S
from e4core.state import State, TopicState, new_state
from e4core.suite import AeadKey, Suite

EXACT = Tolerance(skew_s=0)
SYMMETRIC_KEY = bytes(range(32))
"""Device key where an entry is about messages only."""
_SUITES = {e4go.SYMMETRIC: "sk", e4go.PUBLIC: "pk"}
"""``keyType`` of e4go -> its suite here."""


def load(state: Mapping[str, Any] | str) -> State:
    """State of e4go, as its file text or parsed."""
    text = state if isinstance(state, str) else json.dumps(state)
    return e4go.load(text.encode(), lambda key_type: load_suite(_SUITES[key_type]))


def device(suite: Suite, state: State) -> Client:
    return Client(suite, state, save=lambda _state: None, tolerance=EXACT)


def sender(file: VectorFile, entry: Entry) -> Client:
    """The device that protects in ``entry``."""
    suite = file.suite
    if suite.is_symmetric:
        state = new_state(suite, ClientId(bytes(16)), Secret(SYMMETRIC_KEY))
    else:
        c2_public = load(file.sections["receiver_bob_state"]).c2_public
        client_id, private = ClientId(unhex(entry, "signer_id")), Secret(unhex(entry, "ed25519_private_64"))
        state = new_state(suite, client_id, private, c2_public)
    return device(suite, _with_topic(suite, state, entry))


def receiver(file: VectorFile, entry: Entry) -> Client:
    """The device that unprotects in ``entry``; the topic key of the entry is always that of the entries' usual topic."""
    suite = file.suite
    if suite.is_symmetric:
        state = new_state(suite, ClientId(bytes(16)), Secret(SYMMETRIC_KEY))
        return device(suite, _with_topic(suite, state, {**entry, "topic": TOPIC}))
    return device(suite, load(file.sections["receiver_bob_state"]))


def _with_topic(suite: Suite, state: State, entry: Entry) -> State:
    topic = TopicHash(suite.derive_id(entry["topic"]))
    return replace(state, topics={topic: TopicState(TopicKey(unhex(entry, "topic_key")))})


def protect(client: Client, payload: bytes, topic: str, sent: int) -> bytes:
    """What a device just started puts out with the timestamp ``sent``."""
    # the first second after a start is one above all that an earlier run may have used, itself back-dated
    return client.protect(payload, topic, sent + BACKDATE_S - 1)


def receive(client: Client, data: bytes, topic: str, now: float) -> bytes:
    """What the application gets from ``data``; empty after a command, as in the vectors."""
    if topic != client.state.control_topic:
        return client.unprotect(data, topic, now).payload
    handled = client.command(data, now)
    if handled.error is not None:
        raise handled.error
    return b""


def received(client: Client, entry: Entry, topic: str) -> Facets:
    """How the message or command of ``entry`` ends."""
    return ended(lambda: receive(client, unhex(entry, "protected"), topic, entry["now_before"]))


def command_key(suite: Suite, entry: Entry) -> AeadKey:
    """The C2's key for the commands to the device of ``entry``."""
    if suite.is_symmetric:
        return suite.control.at_c2(suite.c2.load(b""), unhex(entry, "client_key")).command_key
    c2 = suite.c2.load(unhex(entry, "c2_x25519_private"))
    return suite.control.at_c2(c2, unhex(entry, "client_ed25519_public")).command_key
