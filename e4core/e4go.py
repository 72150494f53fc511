# SPDX-License-Identifier: Apache-2.0
"""State files of e4go: read leniently where e4go is harmless, written byte for byte as e4go does (`wire.md` section 10)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from e4core.errors import InvalidInput
from e4core.jsonform import b64, guarded, parse_json, unb64, unhex
from e4core.keys import ClientId, Secret, TopicHash, TopicKey
from e4core.state import State, TopicState, check_control_topic, check_keys
from e4core.suite import Suite

SYMMETRIC, PUBLIC = KEY_TYPES = (0, 1)
"""``keyType``: what kind of suite a state is of."""
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def load(data: bytes, load_suite: Callable[[int], Suite]) -> State:
    """State that e4go saved. Missing tables count as empty, what follows the first JSON value is ignored.

    e4go remembers no replays: whoever goes on from here sets ``floor`` and ``command_floor`` to the present.
    Args: load_suite: gives the suite of e4go for its ``keyType``.
    Raises: InvalidInput (``bad_state``, ``bad_key``, ``bad_length``, ``bad_topic``).
    """
    body = parse_json(data)
    return guarded(lambda: _load(body, load_suite))


def dump(suite: Suite, state: State) -> bytes:
    """The file that e4go would write. Replay memory and floors have no place in it and are lost.

    Args: suite: one that e4go has.
    """
    body = {
        "ID": b64(state.client_id),
        "TopicKeys": _dump_topics(suite, state),
        "Key": {"keyType": SYMMETRIC if suite.is_symmetric else PUBLIC, "keyData": _dump_key(suite, state)},
        "ReceivingTopic": state.control_topic,
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPES).encode() + b"\n"


def _load(body: dict[str, Any], load_suite: Callable[[int], Suite]) -> State:
    key_type = body["Key"]["keyType"]
    if key_type not in KEY_TYPES:
        text = f"key type {key_type!r} is not known; known: 0 (a symmetric key), 1 (a key pair)"
        raise InvalidInput(text, kind="bad_state")
    suite = load_suite(key_type)
    key = {name.lower(): value for name, value in body["Key"]["keyData"].items()}
    client_id = ClientId(unb64(body["ID"]))
    state = State(
        suite=suite.name,
        client_id=client_id,
        control_topic=check_control_topic(body["ReceivingTopic"]),
        private=Secret(unb64(key["privatekey" if key_type else "key"])),
        c2_public=unb64(key["c2pubkey"]) if key_type else b"",
        topics=_load_topics(suite, body.get("TopicKeys") or {}),
        peers={ClientId(unhex(peer)): unb64(public) for peer, public in (key.get("pubkeys") or {}).items()},
    )
    if key_type and unb64(key["signerid"]) != client_id:
        raise InvalidInput("ID and SignerID differ; repair the file", kind="bad_state")
    check_keys(suite, state)
    return state


def _load_topics(suite: Suite, table: dict[str, str]) -> dict[TopicHash, TopicState]:
    """32-byte entries are current keys; the previous one lies under the hash of the hash, with the second of its rotation."""
    entries = {TopicHash(unhex(topic)): unb64(value) for topic, value in table.items()}
    if any(len(value) not in (32, 40) for value in entries.values()):
        raise InvalidInput("a topic key is neither 32 nor 40 bytes long", kind="bad_state")
    topics = {}
    for topic, value in entries.items():
        if len(value) == 32 and any(value):  # e4go stores an all-zero key, but cannot use it
            old = entries.get(_previous_slot(suite, topic), b"")
            topics[topic] = _topic(TopicKey(value), old)
    return topics


def _topic(key: TopicKey, old: bytes) -> TopicState:
    if len(old) != 40 or not any(old[:32]):
        return TopicState(key)
    rotated = int.from_bytes(old[32:], "little")
    return TopicState(key, TopicKey(old[:32]), rotated) if rotated < 1 << 63 else TopicState(key)


def _dump_topics(suite: Suite, state: State) -> dict[str, str]:
    entries = {}
    for topic, keys in state.topics.items():
        entries[topic.hex()] = b64(keys.key)
        if keys.previous is not None:
            entries[_previous_slot(suite, topic).hex()] = b64(keys.previous + keys.rotated.to_bytes(8, "little"))
    return dict(sorted(entries.items()))


def _dump_key(suite: Suite, state: State) -> dict[str, Any]:
    if suite.is_symmetric:
        return {"Key": b64(state.private)}
    return {
        "PrivateKey": b64(state.private),
        "SignerID": b64(state.client_id),
        "C2PubKey": b64(state.c2_public),
        "PubKeys": {peer.hex(): b64(public) for peer, public in sorted(state.peers.items())},
    }


def _previous_slot(suite: Suite, topic: TopicHash) -> TopicHash:
    return TopicHash(suite.hash.digest(topic)[:16])
