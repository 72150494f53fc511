# SPDX-License-Identifier: Apache-2.0
"""Checks of the sections about messages (`wire.md` sections 4 to 6 and 8)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from e4conformance.devices import SYMMETRIC_KEY, device, load, protect, receive, received, receiver, sender
from e4conformance.vectorfile import TOPIC, Check, Entry, Facets, VectorFile, ended, error, named, outcome, payload
from e4conformance.vectorfile import value as given
from e4core import e4go
from e4core.client import Client
from e4core.jsonform import parse_json
from e4core.keys import ClientId, Secret, TopicHash
from e4core.plugins import load_suite
from e4core.state import new_state


def protect_fixed(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        expected = {"protected": given(entry, "protected")}
        if "payload" in entry:
            expected["payload"] = given(entry, "payload")
        yield Check(name, expected, partial(_protected, file, entry))


def protect_live(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """What is protected here is what e4go protected, and is then read as e4go read it."""
    for name, entry in named(section):
        expected = {"protected": given(entry, "protected"), **outcome(entry["unprotect"])}
        yield Check(name, expected, partial(_round_trip, file, entry))


def _protected(file: VectorFile, entry: Entry) -> Facets:
    return {
        "protected": protect(sender(file, entry), payload(entry), entry["topic"], entry["ts"]),
        "payload": payload(entry),
    }


def _round_trip(file: VectorFile, entry: Entry) -> Facets:
    data = protect(sender(file, entry), payload(entry), entry["topic"], entry["ts"])
    now = entry["unprotect"]["now_before"]
    return {"protected": data, **ended(lambda: receive(receiver(file, entry), data, entry["topic"], now))}


def unprotect(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        expected = {**outcome(entry), "topic_key": given(entry, "topic_key")}
        yield Check(name, expected, partial(_unprotected, file, entry))


def _unprotected(file: VectorFile, entry: Entry) -> Facets:
    client = receiver(file, entry)
    held = client.state.topics[TopicHash(client.suite.derive_id(TOPIC))]
    return {**received(client, entry, entry["topic"]), "topic_key": bytes(held.key)}


def protect_unknown_topic_error(file: VectorFile, section: str) -> Iterator[Check]:
    def act() -> Facets:
        state = new_state(file.suite, ClientId(bytes(16)), Secret(SYMMETRIC_KEY))
        return ended(lambda: protect(device(file.suite, state), b"", TOPIC, file.sections["meta"]["fixed_ts"]))

    yield Check("protect", error(section, "topic_key_missing"), act)


def receiver_bob_state(file: VectorFile, section: Entry) -> Iterator[Check]:
    """The state from which the other sections receive is read whole."""
    yield Check("state", {"state": section}, lambda: {"state": parse_json(e4go.dump(file.suite, load(section)))})


def transition_unprotect(client_text: str, entries: list[Entry]) -> Iterator[Check]:
    """Messages under the current and earlier keys of the usual topic, at a device whose state is ``client_text``."""
    for name, entry in named(entries):
        yield Check(f"unprotect: {name}", outcome(entry), partial(_from_text, client_text, entry))


def old_key_ages(_file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        yield Check(name, outcome(entry), partial(_from_text, entry["state_text"], entry))


def _from_text(text: str, entry: Entry) -> Facets:
    return received(_client(text), entry, TOPIC)


def _client(text: str) -> Client:
    state = load(text)
    return device(load_suite(state.suite), state)
