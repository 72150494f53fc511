# SPDX-License-Identifier: Apache-2.0
"""The saved state of Format 2: every state comes back as it was, and nothing else is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core import formats
from e4core.client2 import Client2
from e4core.errors import E4Error
from e4core.keys import ClientId, FullTopicHash
from e4core.state2 import (
    WINDOW,
    Epoch,
    Peer,
    Seen2,
    SeenSender,
    SeenSession,
    State2,
    check_keys,
    new_state,
)
from e4core.stateform2 import dump, load
from e4core.suite import Suite
from tests.core.fleet import client_id, refused
from tests.core.fleet2 import (
    PUBLIC_KEY,
    SUITES,
    SYMMETRIC,
    Device2,
    Letter,
    c2_public_of,
    private_of,
    public_of,
    signature_public,
    suites,
)
from tests.core.strategies import LAW, damaged, ids, names, topic_keys, warped

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
eight = st.binary(min_size=8, max_size=8)
topics = st.binary(min_size=32, max_size=32).map(FullTopicHash)
epochs = st.builds(
    Epoch,
    st.integers(1, 2**32 - 1),
    st.none() | topic_keys,
    eight,
    st.integers(0, 1),
    u32,
    u64,
    st.none() | u64,
)
tables = st.lists(epochs, min_size=1, max_size=3, unique_by=lambda epoch: epoch.number).map(
    lambda some: tuple(sorted(some, key=lambda epoch: epoch.number))
)
sessions = st.builds(SeenSession, u32, ids.map(ClientId), eight, u32, st.integers(0, (1 << WINDOW) - 1), u64, u32, u64)
seen = st.builds(
    Seen2,
    topics,
    u32,
    st.dictionaries(st.just(b"") | ids, st.builds(SeenSender, u64, u64), max_size=2),
    st.lists(sessions, max_size=3).map(tuple),
)


@cache
def states(suite: Suite) -> st.SearchStrategy[State2]:
    """States as they may have been saved."""
    some = st.sampled_from("abc")
    peers: st.SearchStrategy[dict[ClientId, Peer]] = st.just({})
    if not suite.is_symmetric:
        keys = some.map(lambda name: signature_public(suite, name))
        peers = st.dictionaries(ids.map(ClientId), st.builds(Peer, keys, st.just(b"") | keys, u64), max_size=2)
    state = new_state(suite, client_id("device"), private_of(suite, "device"), c2_public_of(suite, "c2"))
    return st.builds(
        replace,
        st.just(state),
        control_topic=names,
        pending=some.map(lambda name: private_of(suite, name)) | st.just(state.pending),
        offered=ids | st.just(b""),
        former_c2_public=some.map(lambda name: c2_public_of(suite, name)),
        topics=st.dictionaries(topics, tables, max_size=2),
        peers=peers,
        last=u64,
        starts=u64,
        mark=u64,
        floor=u64,
        clean=st.booleans(),
        seen=st.lists(seen, max_size=2, unique_by=lambda each: each.topic).map(tuple),
    )


@LAW
@given(data=st.data(), suite=st.sampled_from(SUITES))
def test_every_state_comes_back_as_it_was(suite: Suite, data: st.DataObject) -> None:
    state = data.draw(states(suite))
    assert load(dump(state)) == formats.load(formats.dump(state)) == state
    check_keys(suite, state)


@LAW
@given(data=st.data(), suite=st.sampled_from(SUITES))
def test_a_client_starts_from_every_state(suite: Suite, data: st.DataObject) -> None:
    state = data.draw(states(suite))
    saved: list[State2] = []
    Client2(suite, state, saved.append).close()
    assert saved[-1] == load(dump(saved[-1]))
    assert (saved[0].clean, saved[-1].clean) == (False, True)


@LAW
@given(data=st.data(), suite=st.sampled_from(SUITES))
def test_a_damaged_state_is_a_typed_error_or_another_state(suite: Suite, data: st.DataObject) -> None:
    try:
        load(data.draw(damaged(dump(data.draw(states(suite))))))
    except E4Error as error:
        assert error.kind.startswith("bad_")


@LAW
@given(data=st.data(), suite=st.sampled_from(SUITES))
def test_whatever_stands_in_a_field_is_refused_by_a_typed_error_that_does_not_tell_it(
    suite: Suite, data: st.DataObject
) -> None:
    body = json.loads(dump(data.draw(states(suite))))
    try:
        again = load(json.dumps(data.draw(warped(body))).encode())
    except E4Error as error:
        assert error.__context__ is None
    else:
        assert load(dump(again)) == again


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 1),
        ("version", True),
        ("last", -1),
        ("last", 2**64),
        ("last", 1.0),
        ("clean", 1),
        ("private", "AAA"),
        ("topics", {"00" * 32: []}),
        ("topics", {"00" * 16: []}),
        ("peers", {"zz": {}}),
        ("seen", [{}]),
    ],
)
def test_a_field_of_the_wrong_form_is_refused(field: str, value: object) -> None:
    body = json.loads(Device2(SUITES[0]).store.saved[-1])
    with refused("bad_state", "bad_length"):
        load(json.dumps({**body, field: value}).encode())


@pytest.mark.parametrize("numbers", [[2, 1], [1, 1], [0]])
def test_epochs_that_do_not_rise_are_refused(numbers: list[int]) -> None:
    body = json.loads(Device2(SUITES[0]).store.saved[-1])
    ((topic, [epoch]),) = body["topics"].items()
    body["topics"] = {topic: [{**epoch, "epoch": number} for number in numbers]}
    with refused("bad_state"):
        load(json.dumps(body).encode())


@suites
def test_keys_of_another_suite_are_refused(suite: Suite) -> None:
    other = PUBLIC_KEY[0] if suite.is_symmetric else SYMMETRIC[0]
    state = Device2(suite).client.state
    with refused("bad_key"):
        check_keys(other, state)
    with refused("unsupported"):
        Client2(other, state, lambda _state: None)


def test_a_state_of_the_other_format_is_refused() -> None:
    from e4backends.sk import SUITE as SK

    state = new_state(SUITES[0], client_id("device"), private_of(SUITES[0], "device"))
    with refused("bad_state"):
        formats.check_keys(SK, state)


@suites
def test_the_format_of_the_suite_decides_what_a_new_state_and_a_client_are(suite: Suite) -> None:
    state = formats.new_state(suite, client_id("device"), private_of(suite, "device"), c2_public_of(suite, "c2"))
    client = formats.new_client(suite, state, lambda _state: None, clock_is_trusted=False)
    assert (type(state), type(client)) == (State2, Client2)
    with refused("clock_unset"):
        client.unprotect(b"", "topic", 0)


@suites
def test_no_secret_shows_itself(suite: Suite) -> None:
    device = Device2(suite)
    device.accept(Letter())
    private = private_of(suite, "device")
    shown = repr(device.client.state) + str(device.client.state.topics)
    for secret in (private, *(epoch.key for table in device.client.state.topics.values() for epoch in table)):
        assert secret is not None
        assert repr(bytes(secret)) not in shown
        assert bytes(secret).hex() not in shown


@pytest.mark.parametrize(
    ("field", "value"), [("use", 2), ("use", True), ("fingerprint", "00" * 7), ("until", -1), ("key", "")]
)
def test_a_field_of_an_epoch_of_the_wrong_form_is_refused(field: str, value: object) -> None:
    body = json.loads(Device2(SUITES[0]).store.saved[-1])
    ((topic, [epoch]),) = body["topics"].items()
    body["topics"] = {topic: [{**epoch, field: value}]}
    with refused("bad_state", "bad_key"):
        load(json.dumps(body).encode())


@pytest.mark.parametrize("suite", PUBLIC_KEY, ids=lambda suite: suite.name)
def test_the_former_key_of_the_c2_is_checked_as_well(suite: Suite) -> None:
    state = replace(Device2(suite).client.state, former_c2_public=public_of(suite, "c2")[:-1])
    with refused("bad_key"):
        check_keys(suite, state)
