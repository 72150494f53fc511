# SPDX-License-Identifier: Apache-2.0
"""Checks of the sections about commands and what they leave behind (`wire.md` sections 7, 8 and 10)."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from e4conformance.devices import command_key, device, load, received
from e4conformance.messages import transition_unprotect
from e4conformance.vectorfile import Check, Entry, Facets, VectorFile, named, outcome, unhex
from e4core import command, e4go
from e4core.jsonform import parse_json
from e4core.keys import ClientId, Secret
from e4core.plugins import load_suite
from e4core.state import new_state
from e4core.suite import Suite


def commands_fixed(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """The C2's side."""
    for name, entry in named(section):
        expected = {
            "protected": unhex(entry, "protected"),
            "code": entry["code"],
            "command": unhex(entry, "command"),
            "ts": entry["ts"],
        }
        if "shared_key" in entry:
            expected["under the shared key"] = expected["protected"]
        yield Check(name, expected, partial(_sealed, file.suite, entry))


def _sealed(suite: Suite, entry: Entry) -> Facets:
    plain, protected = unhex(entry, "command"), unhex(entry, "protected")
    header = entry["ts"].to_bytes(8, "little")
    # pk: there is no command that it refuses to read
    value = command.decode(plain, load_suite("pk"))
    facets = {
        "protected": header + command_key(suite, entry).seal(b"", plain, header),
        "code": command.encode(value)[0],
        "command": command.encode(value),
        "ts": int.from_bytes(protected[:8], "little"),
    }
    if "shared_key" in entry:
        facets["under the shared key"] = header + suite.aead.key(unhex(entry, "shared_key")).seal(b"", plain, header)
    return facets


def command_steps(file: VectorFile, section: Mapping[str, Any]) -> Iterator[Check]:
    """One device's history; each step starts from the state that e4go had after the step before."""
    yield Check("start", _identity(section), partial(_new_identity, file.suite, section))
    before = section["state_start"]
    for name, step in named(section["steps"]):
        expected = {**outcome(step), "protected": unhex(step, "protected"), "state": _usable(step["state_after"])}
        yield Check(name, expected, partial(_step, file.suite, before, step, section["receiving_topic"]))
        before = step["state_after"]


def _identity(section: Mapping[str, Any]) -> Facets:
    topic, start = section["receiving_topic"], section["state_start"]
    facets = {"id": section.get("id", b64decode(start["ID"]).hex()), "receiving_topic": topic, "state": start}
    if "client_key" in section:
        facets["client_key"] = section["client_key"]
    return facets


def _new_identity(suite: Suite, section: Mapping[str, Any]) -> Facets:
    """A device newly made from the name and the keys of ``section``."""
    given = load(section["state_start"])
    state = new_state(suite, ClientId(suite.derive_id(section["client"])), given.private, given.c2_public)
    return {
        "id": state.client_id.hex(),
        "receiving_topic": state.control_topic,
        "state": parse_json(e4go.dump(suite, state)),
        "client_key": state.private.hex(),
    }


def _step(suite: Suite, before: Mapping[str, Any] | str, step: Entry, topic: str) -> Facets:
    client = device(suite, load(before))
    facets = received(client, step, topic)
    file = e4go.dump(suite, client.state)
    return {**facets, "protected": _as_sealed(suite, step), "state": json.loads(file), "file": file}


def _as_sealed(suite: Suite, step: Entry) -> bytes:
    header = unhex(step, "protected")[:8]
    return header + command_key(suite, step).seal(b"", unhex(step, "command"), header)


def _usable(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """``state`` without all-zero topic keys, which e4go stores but cannot use, and which are never held here."""
    table = {topic: key for topic, key in state["TopicKeys"].items() if any(b64decode(key)[:32])}
    return {**state, "TopicKeys": table}


def command_unprotect(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """What arrives on the control topic, and on a topic that only looks like it."""
    for name, entry in named(section):
        yield Check(name, outcome(entry), partial(_on_control_topic, file.suite, entry))


def _on_control_topic(suite: Suite, entry: Entry) -> Facets:
    client_id = ClientId(bytes.fromhex(entry["topic"].removeprefix("e4/")))
    client = device(suite, new_state(suite, client_id, Secret(unhex(entry, "client_key"))))
    return received(client, entry, entry["topic"])


def saved_steps(_file: VectorFile, section: Mapping[str, Any]) -> Iterator[Check]:
    """One device's history as e4go's state file, byte for byte."""
    suite = load_suite("sk" if "client_key" in section else "pk")
    keys = {name: section[name] for name in ("client_key", "c2_x25519_private") if name in section}
    if not suite.is_symmetric:
        keys["client_ed25519_public"] = section["ed25519_public"]
    start = {"file": section["start_text"].encode(), "receiving_topic": section["receiving_topic"]}
    yield Check("start_text", {**start, **_c2_public(section)}, partial(_start, suite, section))
    before = section["start_text"]
    for name, step in named(section["steps"]):
        expected = {
            **outcome(step),
            "protected": unhex(step, "protected"),
            "file": first_value(step["file_text_after"]),
        }
        yield Check(name, expected, partial(_step, suite, before, {**step, **keys}, section["receiving_topic"]))
        before = step["file_text_after"]
    yield from transition_unprotect(before, section["transition_unprotect"])


def _c2_public(section: Mapping[str, Any]) -> Facets:
    return {name: unhex(section, name) for name in ("c2_x25519_public", "ed25519_public") if name in section}


def _start(suite: Suite, section: Mapping[str, Any]) -> Facets:
    """The file of a device newly made from the id and the keys of ``section``."""
    private = Secret(unhex(section, "client_key" if suite.is_symmetric else "ed25519_private_64"))
    c2 = suite.c2.load(unhex(section, "c2_x25519_private") if "c2_x25519_private" in section else b"")
    state = new_state(suite, ClientId(unhex(section, "id")), private, suite.c2.public(c2))
    return {
        "file": e4go.dump(suite, state),
        "receiving_topic": state.control_topic,
        "c2_x25519_public": suite.c2.public(c2),
        "ed25519_public": suite.device.public(suite.device.load(private)),
    }


def first_value(text: str) -> bytes:
    """The first JSON value in ``text`` with the newline that ends it; e4go truncates no file, so more may follow."""
    _, end = json.JSONDecoder().raw_decode(text)
    return text[: end + 1].encode()
