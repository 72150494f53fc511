# SPDX-License-Identifier: Apache-2.0
"""Checks of the sections about whole state files of e4go (`wire.md` section 10)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from e4conformance.commands import first_value
from e4conformance.devices import device, load, protect
from e4conformance.vectorfile import TOPIC, Check, Entry, Facets, VectorFile, ended, error, named, outcome
from e4core import command, e4go
from e4core.client import Client
from e4core.command import Command, ResetTopics, SetTopicKey
from e4core.keys import TopicHash, TopicKey
from e4core.plugins import load_suite
from e4core.state import State

NOW = 1584000000
"""Clock where a section gives none."""


def loading(_file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """Reading gives the receiving topic. The one entry without a file uses the first one's, without its table of keys."""
    for name, entry in named(section):
        act = partial(_control_topic, entry["text"]) if "text" in entry else partial(_without_table, section[0]["text"])
        yield Check(name, outcome(entry), act)


def _control_topic(text: str) -> Facets:
    def act() -> bytes:
        return load(text).control_topic.encode()

    return ended(act)


def _without_table(text: str) -> Facets:
    whole = {name: value for name, value in json.loads(text).items() if name != "TopicKeys"}

    def act() -> bytes:
        state = load(whole)
        topic = TopicHash(load_suite(state.suite).derive_id(TOPIC))
        _obey(_device(state), SetTopicKey(TopicKey(bytes(range(32))), topic))
        return b""

    return ended(act)


def file_store_shrink(file: VectorFile, section: Mapping[str, Any]) -> Iterator[Check]:
    """After ResetTopics the tail of the longer former file must not be read."""
    full = file.sections["sk"]["steps"][-1]["file_text_after"]
    after = section["file_text_after_reset_topics"]
    yield Check("before", {"length": section["file_text_before_len"]}, lambda: {"length": len(_rewritten(full))})
    yield Check("reset", {"file": first_value(after)}, lambda: {"file": _after(full, ResetTopics())})
    yield Check("tail", {"tail": full.encode()[len(first_value(after)) :]}, lambda: {"tail": _tail(after)})
    yield Check("load", error(section["load_error"], "bad_state"), lambda: ended(lambda: _rewritten(after)))
    missing = error(section["protect_after_reload"], "topic_key_missing")
    yield Check("protect", missing, lambda: ended(lambda: protect(_device(load(after)), b"", TOPIC, NOW)))


def low_order_c2_key(file: VectorFile, section: Entry) -> Iterator[Check]:
    """The state in which e4go is left by the last of the refused commands."""
    last = file.sections["command_negatives"]["steps"][-1]["state_after"]
    yield Check("load", outcome(section), partial(_control_topic, json.dumps(last)))


def topic_after_creation(_file: VectorFile, text: str) -> Iterator[Check]:
    yield Check("text", {"file": text.encode()}, lambda: {"file": _rewritten(text)})


def topic_after_command(file: VectorFile, text: str) -> Iterator[Check]:
    """A custom receiving topic, which e4go saves with the first command."""
    first = file.sections["with_receiving_topic_saved_text_right_after_creation"]

    def act() -> Facets:
        saved, state = load(text), load(first)
        ((topic, held),) = saved.topics.items()
        client = _device(replace(state, control_topic=saved.control_topic))
        _obey(client, SetTopicKey(held.key, topic))
        return {"file": e4go.dump(client.suite, client.state), "topic": bytes(topic)}

    yield Check("text", {"file": text.encode(), "topic": load_suite("sk").derive_id(TOPIC)}, act)


def _device(state: State) -> Client:
    return device(load_suite(state.suite), state)


def _obey(client: Client, value: Command) -> None:
    """Carry out ``value`` as if it came from the C2."""
    state, header = client.state, NOW.to_bytes(8, "little")
    key = client.suite.control.at_device(client.suite.device.load(state.private), state.c2_public).command_key
    handled = client.command(header + key.seal(b"", command.encode(value), header), NOW)
    if handled.error is not None:
        raise handled.error


def _after(text: str, value: Command) -> bytes:
    client = _device(load(text))
    _obey(client, value)
    return e4go.dump(client.suite, client.state)


def _rewritten(text: str) -> bytes:
    state = load(text)
    return e4go.dump(load_suite(state.suite), state)


def _tail(text: str) -> bytes:
    return text.encode()[len(first_value(text)) :]
