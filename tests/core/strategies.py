# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for the values of the protocol, to be used by all tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

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
from e4core.keys import ClientId, TopicHash, TopicKey
from e4core.state import Seen, State, TopicState, new_state
from e4core.suite import Suite
from tests.core.fleet import c2_public_of, private_of

LAW = settings(max_examples=60, deadline=None)

payloads = st.binary(min_size=1, max_size=200)
names = st.text(st.characters(codec="utf-8", exclude_characters="+#\0"), min_size=1, max_size=100)
"""Names of topics."""
seconds = st.integers(0, 2**63 - 1)
ids = st.binary(min_size=16, max_size=16)
tags = st.frozensets(st.binary(min_size=16, max_size=16), max_size=3)
topic_keys = st.binary(min_size=32, max_size=32).filter(any).map(TopicKey)
seeds = st.text(max_size=8)
"""Names that make key pairs; see `tests.core.fleet.private_of`."""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=40), inner, max_size=3),
    max_leaves=5,
)


@cache
def privates(suite: Suite) -> st.SearchStrategy[Any]:
    return seeds.map(lambda seed: private_of(suite, seed))


@cache
def publics(pk: Suite) -> st.SearchStrategy[bytes]:
    """Ed25519 public keys."""
    return privates(pk).map(lambda private: bytes(private[32:]))


@cache
def commands(suite: Suite) -> st.SearchStrategy[Command]:
    """Commands that are well formed in ``suite``."""
    everywhere: list[st.SearchStrategy[Command]] = [
        st.builds(RemoveTopic, ids.map(TopicHash)),
        st.just(ResetTopics()),
        st.builds(SetIDKey, privates(suite)),
        st.builds(SetTopicKey, topic_keys, ids.map(TopicHash)),
    ]
    if suite.is_symmetric:
        return st.one_of(everywhere)
    return st.one_of(
        *everywhere,
        st.builds(RemovePubKey, ids.map(ClientId)),
        st.just(ResetPubKeys()),
        st.builds(SetPubKey, publics(suite), ids.map(ClientId)),
        st.builds(SetC2Key, seeds.map(lambda seed: c2_public_of(suite, seed))),
    )


@cache
def states(suite: Suite) -> st.SearchStrategy[State]:
    """States of a device as they may have been saved, with replay memory and all."""
    topic_states = st.builds(TopicState, topic_keys) | st.builds(TopicState, topic_keys, topic_keys, seconds)
    senders = st.just(b"") if suite.is_symmetric else ids
    seen = st.builds(Seen, ids.map(TopicHash), senders, seconds, st.dictionaries(seconds, tags, max_size=3))
    return st.builds(
        replace,
        st.builds(
            new_state,
            st.just(suite),
            ids.map(ClientId),
            privates(suite),
            st.just(c2_public_of(suite, "c2")),
        ),
        control_topic=names,
        topics=st.dictionaries(ids.map(TopicHash), topic_states, max_size=3),
        peers=st.just({}) if suite.is_symmetric else st.dictionaries(ids.map(ClientId), publics(suite), max_size=2),
        command_second=seconds,
        command_floor=seconds,
        command_tags=st.dictionaries(seconds, tags, max_size=3),
        mark=seconds,
        floor=seconds,
        sent=seconds,
        clean=st.booleans(),
        seen=st.lists(seen, max_size=3, unique_by=lambda s: (s.topic, s.sender)).map(tuple),
    )


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Anything but ``data``: a bit flipped, cut short, more appended or put before, garbage."""
    place = draw(st.integers(0, len(data) - 1))
    more = draw(st.binary(min_size=1, max_size=80))
    bit = 1 << draw(st.integers(0, 7))
    flipped = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
    other = st.sampled_from([flipped, data[:place], data + more, more + data, data[:place] + more, more])
    return draw(other.filter(lambda result: result != data))


@st.composite
def warped(draw: st.DrawFn, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """JSON object like ``body`` with one value, at any depth, missing or replaced."""
    key = draw(st.sampled_from(sorted(body)))
    inner = body[key]
    if isinstance(inner, dict) and inner and draw(st.booleans()):
        return {**body, key: draw(warped(inner))}
    if draw(st.booleans()):
        return {name: value for name, value in body.items() if name != key}
    return {**body, key: draw(json_values)}
