# SPDX-License-Identifier: Apache-2.0
"""What each command does to the state of a device of Format 2: pure functions, one a command (`format2.md` section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from e4core import epochs, report
from e4core.command2 import (
    Command2,
    NewIDKey,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
    SetTopicKey,
    Sync,
)
from e4core.keys import Secret
from e4core.state2 import Peer, State2
from e4core.suite import Suite
from e4core.transition import without, without_peer


@dataclass(frozen=True, slots=True)
class Way:
    """Under which keys a command was opened, where there are two."""

    pending: bool = False
    """True: the device's pending one."""
    former_c2: bool = False
    """True: the C2's former one."""


def apply(suite: Suite, state: State2, way: Way, commands: Sequence[Command2], second: int) -> State2:
    """State after all of ``commands``, each of which finds what those before it have left.

    Args: second: Unix seconds; 0 where no clock is trusted: then only what ends at once is over.
    Raises: InvalidInput (``bad_key``). UnknownKey (``pubkey_missing``). Conflict (``epoch_conflict``).
    """
    state = _arrived(state, way)
    for command in commands:
        state = _RULES[type(command)](suite, state, command)
    return faded(state, second)


def faded(state: State2, second: int) -> State2:
    """``state`` without the keys that are over at ``second``; the same object where there are none."""
    topics = {topic: epochs.faded(table, second) for topic, table in state.topics.items()}
    if any(topics[topic] is not table for topic, table in state.topics.items()):
        state = replace(state, topics=topics)
    over = {peer: Peer(keys.public) for peer, keys in state.peers.items() if keys.former and second >= keys.until}
    return replace(state, peers={**state.peers, **over}) if over else state


def _arrived(state: State2, way: Way) -> State2:
    """A command has opened under these keys, so that the others are needed no more.

    The key of the C2 under which it opened stays the former one, should the command itself bring yet another.
    """
    if way.pending:
        state = replace(state, private=state.pending, pending=Secret(b""), offered=b"")
    if not way.former_c2 and state.former_c2_public:
        state = replace(state, former_c2_public=b"")
    return state


def _remove_topic(_suite: Suite, state: State2, command: RemoveTopic) -> State2:
    return replace(state, topics=without(state.topics, command.topic))


def _reset_topics(_suite: Suite, state: State2, _command: ResetTopics) -> State2:
    return replace(state, topics={})


def _set_id_key(suite: Suite, state: State2, command: SetIDKey) -> State2:
    suite.control.at_device(suite.device.load(command.key), state.c2_public)
    return replace(state, pending=command.key)


def _set_topic_key(suite: Suite, state: State2, command: SetTopicKey) -> State2:
    mark = report.fingerprint(suite, command.key)
    table = epochs.with_key(state.topics.get(command.topic, ()), command, mark)
    return replace(state, topics={**state.topics, command.topic: table})


def _set_pub_key(_suite: Suite, state: State2, command: SetPubKey) -> State2:
    held = state.peers.get(command.client)
    if held is None:
        after = Peer(command.public)
    elif held.public == command.public:
        after = replace(held, until=min(held.until, command.old_until))
    else:
        after = Peer(command.public, held.public, command.old_until)
    return replace(state, peers={**state.peers, command.client: after})


def _remove_pub_key(_suite: Suite, state: State2, command: RemovePubKey) -> State2:
    return replace(state, peers=without_peer(state.peers, command.client))


def _reset_pub_keys(_suite: Suite, state: State2, _command: ResetPubKeys) -> State2:
    return replace(state, peers={})


def _set_c2_key(_suite: Suite, state: State2, command: SetC2Key) -> State2:
    if command.public == state.c2_public:
        return state
    return replace(state, c2_public=command.public, former_c2_public=state.former_c2_public or state.c2_public)


def _new_id_key(suite: Suite, state: State2, command: NewIDKey) -> State2:
    if state.pending and state.offered == command.nonce:
        return state  # asked again: the same offer, or the C2 could take up one that we no longer hold
    return replace(state, pending=Secret(suite.device.generate()), offered=command.nonce)


def _sync(_suite: Suite, state: State2, _command: Sync) -> State2:
    return state


_RULES: dict[type[Any], Callable[[Suite, State2, Any], State2]] = {
    RemoveTopic: _remove_topic,
    ResetTopics: _reset_topics,
    SetIDKey: _set_id_key,
    SetTopicKey: _set_topic_key,
    RemovePubKey: _remove_pub_key,
    ResetPubKeys: _reset_pub_keys,
    SetPubKey: _set_pub_key,
    SetC2Key: _set_c2_key,
    NewIDKey: _new_id_key,
    Sync: _sync,
}
