# SPDX-License-Identifier: Apache-2.0
"""What each command does to the state of a device: pure functions, one a command (`wire.md` sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from e4core.command import (
    Command,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
    SetTopicKey,
)
from e4core.errors import UnknownKey
from e4core.keys import ClientId, TopicHash
from e4core.message import GRACE_S
from e4core.state import State, TopicState
from e4core.suite import Suite

K = TypeVar("K")
V = TypeVar("V")


def apply(suite: Suite, state: State, command: Command, now: float) -> State:
    """State after ``command``, without the previous keys whose grace is over at ``now``.

    Raises: InvalidInput (``bad_key``). UnknownKey (``pubkey_missing``).
    """
    return faded(_RULES[type(command)](suite, state, command, int(now)), now)


def faded(state: State, now: float) -> State:
    """``state`` without the previous keys whose grace is over at ``now``; the same object where there is none."""
    horizon = now - GRACE_S
    over = {
        topic: TopicState(keys.key)
        for topic, keys in state.topics.items()
        if keys.previous is not None and keys.rotated < horizon
    }
    return replace(state, topics={**state.topics, **over}) if over else state


def _set_topic_key(_suite: Suite, state: State, command: SetTopicKey, now: int) -> State:
    held = state.topics.get(command.topic)
    if held is None:
        after = TopicState(command.key)
    elif held.key == command.key:
        return state
    else:
        after = TopicState(command.key, held.key, now)
    return replace(state, topics={**state.topics, command.topic: after})


def _remove_topic(_suite: Suite, state: State, command: RemoveTopic, _now: int) -> State:
    return replace(state, topics=without(state.topics, command.topic))


def _reset_topics(_suite: Suite, state: State, _command: ResetTopics, _now: int) -> State:
    return replace(state, topics=dict[TopicHash, TopicState]())


def _set_id_key(suite: Suite, state: State, command: SetIDKey, _now: int) -> State:
    suite.control.at_device(suite.device.load(command.key), state.c2_public)
    return replace(state, private=command.key)


def _set_c2_key(suite: Suite, state: State, command: SetC2Key, _now: int) -> State:
    suite.control.at_device(suite.device.load(state.private), command.public)
    return replace(state, c2_public=command.public)


def _set_pub_key(suite: Suite, state: State, command: SetPubKey, _now: int) -> State:
    suite.device.check(command.public)
    return replace(state, peers={**state.peers, command.client: command.public})


def _remove_pub_key(_suite: Suite, state: State, command: RemovePubKey, _now: int) -> State:
    return replace(state, peers=without_peer(state.peers, command.client))


def _reset_pub_keys(_suite: Suite, state: State, _command: ResetPubKeys, _now: int) -> State:
    return replace(state, peers={})


def without(table: Mapping[K, V], gone: K) -> dict[K, V]:
    return {key: value for key, value in table.items() if key != gone}


def without_peer(peers: Mapping[ClientId, V], gone: ClientId) -> dict[ClientId, V]:
    """Raises: UnknownKey (``pubkey_missing``)."""
    if gone not in peers:
        raise UnknownKey(f"no public key is held for {gone.hex()}", kind="pubkey_missing")
    return without(peers, gone)


_RULES: dict[type[Any], Callable[[Suite, State, Any, int], State]] = {
    RemoveTopic: _remove_topic,
    ResetTopics: _reset_topics,
    SetIDKey: _set_id_key,
    SetTopicKey: _set_topic_key,
    RemovePubKey: _remove_pub_key,
    ResetPubKeys: _reset_pub_keys,
    SetPubKey: _set_pub_key,
    SetC2Key: _set_c2_key,
}
