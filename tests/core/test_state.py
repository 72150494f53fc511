# SPDX-License-Identifier: Apache-2.0
"""The saved state, ours and e4go's: nothing is lost on the way, and no file can raise anything but an `E4Error`."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4backends import pk as pk_suite
from e4backends import sk as sk_suite
from e4core import e4go
from e4core.client import Client
from e4core.errors import E4Error, UnsupportedSuite
from e4core.keys import ClientId
from e4core.state import Seen, State, TopicState, dump, load, new_state
from e4core.suite import Suite
from tests.core.fleet import (
    LOW_ORDER_ED25519,
    NOW,
    SECOND,
    TOPIC,
    Device,
    Store,
    c2_public_of,
    client_id,
    message,
    private_of,
    refused,
    topic_hash,
    topic_key,
)
from tests.core.strategies import LAW, damaged, states, warped

E4GO = {e4go.SYMMETRIC: sk_suite.SUITE, e4go.PUBLIC: pk_suite.SUITE}


def full_state(suite: Suite) -> State:
    """A state that has something in every field."""
    topics = {topic_hash(TOPIC): TopicState(topic_key("key"), topic_key("old"), SECOND - 5)}
    sender = b"" if suite.is_symmetric else bytes(client_id("sender"))
    seen = Seen(topic_hash(TOPIC), sender, 3, {SECOND: frozenset({bytes(16), b"\1" * 16}), SECOND - 3: frozenset()})
    return replace(
        new_state(suite, client_id("device"), private_of(suite, "device"), c2_public_of(suite, "c2")),
        topics=topics,
        peers={} if suite.is_symmetric else {client_id("sender"): bytes(private_of(suite, "sender")[32:])},
        command_second=SECOND,
        command_floor=SECOND - 600,
        command_tags={SECOND: frozenset({bytes(range(16))})},
        mark=SECOND + 5,
        seen=(seen,),
    )


def starts(suite: Suite, state: State) -> None:
    """A client on this state works, or nothing but an `E4Error` says why not."""
    client = Client(suite, state, Store[State]())
    client.hello()
    for topic in (TOPIC, state.control_topic):
        try:
            client.protect(b"x", topic, NOW)
            client.unprotect(message(suite, b"x", SECOND), topic, NOW)
        except E4Error:
            continue
    client.close()


@LAW
@given(data=st.data())
def test_what_is_dumped_loads_to_the_same(suite: Suite, data: st.DataObject) -> None:
    state = data.draw(states(suite))
    assert load(dump(state)) == state
    assert dump(load(dump(state))) == dump(state)


def test_the_form_is_the_documented_one(suite: Suite) -> None:
    body = json.loads(dump(full_state(suite)))
    assert (body["format"], body["version"], body["suite"]) == ("e4-device-state", 1, suite.name)
    assert body["topics"][topic_hash(TOPIC).hex()] == {
        "key": b64encode(topic_key("key")).decode(),
        "previous": b64encode(topic_key("old")).decode(),
        "rotated": SECOND - 5,
    }
    assert body["seen"][0]["seconds"][str(SECOND)] == b64encode(bytes(16) + b"\1" * 16).decode()


@LAW
@given(data=st.binary(max_size=200) | st.text(alphabet='{}[]":,0e-\\u"', max_size=40).map(str.encode))
def test_garbage_is_no_state(data: bytes) -> None:
    for read in (load, lambda d: e4go.load(d, E4GO.__getitem__)):
        with refused("bad_state"):
            read(data)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5_000, b"NaN", b'"\\ud800"', b"\xef\xbb\xbf{}"]
)
def test_json_at_its_limits_is_no_state(data: bytes) -> None:
    for read in (load, lambda d: e4go.load(d, E4GO.__getitem__)):
        with refused("bad_state"):
            read(data)


@LAW
@given(data=st.data())
def test_a_warped_state_loads_and_works_or_is_refused(suite: Suite, data: st.DataObject) -> None:
    body = json.loads(dump(full_state(suite)))
    text = json.dumps(data.draw(warped(body))).encode()
    try:
        state = load(text)
        starts(suite, state)
    except E4Error:
        return
    assert load(dump(state)) == state


@LAW
@given(data=st.data())
def test_damaged_bytes_of_a_state_are_refused_or_still_make_one(suite: Suite, data: st.DataObject) -> None:
    try:
        state = load(data.draw(damaged(dump(full_state(suite)))))
        starts(suite, state)
    except E4Error:
        return


BAD_FIELDS: list[tuple[str, Any]] = [
    ("client_id", "00"),
    ("control_topic", "#"),
    ("control_topic", 5),
    ("private", "AAA"),
    ("command_second", -1),
    ("command_second", True),
    ("mark", 1.5),
    ("floor", 1 << 63),
    ("sent", "5"),
    ("clean", 1),
    ("command_floor", -1),
    ("command_tags", {"5": "AAAA"}),
    ("command_tags", "AAAA"),
    ("topics", {"00": {"key": "AAAA"}}),
    ("topics", []),
    ("seen", [{}]),
    ("version", 2),
    ("format", "e4go"),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_field_of_the_wrong_form_is_refused(suite: Suite, field: str, value: object) -> None:
    body = json.loads(dump(full_state(suite)))
    for text in ({**body, field: value}, {name: old for name, old in body.items() if name != field}):
        with refused("bad_state", "bad_length", "bad_topic", "bad_key"):
            load(json.dumps(text).encode())


KEY32 = b64encode(bytes(range(32))).decode()
SPELLINGS: list[tuple[str, Any]] = [
    ("client_id", "0A" * 16),
    ("client_id", "0a " * 16),
    ("topics", {"0A" * 16: {"key": KEY32}}),
    ("topics", {"0a " * 16: {"key": KEY32}}),
    ("private", KEY32[:-2] + "9="),  # the same 32 bytes for a lenient reader
    ("private", KEY32 + "\n"),
    *(("command_tags", {second: ""}) for second in ("1_0", " 10", "+10", "010", "\u0661", "", "-1")),
]


@pytest.mark.parametrize(("field", "value"), SPELLINGS)
def test_there_is_one_spelling_of_bytes_and_numbers(sk: Suite, field: str, value: object) -> None:
    body = json.loads(dump(full_state(sk)))
    with refused("bad_state"):
        load(json.dumps({**body, field: value}).encode())


@pytest.mark.parametrize("slot", ["0A" * 16, "0a " * 16])
def test_there_is_one_spelling_of_bytes_in_a_file_of_e4go_too(suite: Suite, slot: str) -> None:
    body = json.loads(e4go.dump(suite, full_state(suite)))
    with refused("bad_state"):
        e4go.load(json.dumps({**body, "TopicKeys": {slot: KEY32}}).encode(), E4GO.__getitem__)


def test_a_state_of_another_suite_starts_no_client(sk: Suite, pk: Suite) -> None:
    with pytest.raises(UnsupportedSuite):
        Client(pk, full_state(sk), Store[State]())


@pytest.mark.parametrize(
    "public", [b"", bytes(31), bytes(32), LOW_ORDER_ED25519, (2).to_bytes(32, "little")], ids=bytes.hex
)
def test_a_state_with_a_senders_key_that_is_none_starts_no_client(pk: Suite, public: bytes) -> None:
    state = replace(full_state(pk), peers={ClientId(bytes(16)): public})
    with refused("bad_key"):
        Client(pk, load(dump(state)), Store[State]())


def test_a_symmetric_device_has_no_c2_key(sk: Suite) -> None:
    with refused("bad_key"):
        new_state(sk, client_id("device"), private_of(sk, "device"), b"\7" * 32)


@pytest.mark.parametrize("private", [b"", b"\1", bytes(32), bytes(64), b"\7" * 64, b"\7" * 33])
def test_a_private_key_that_is_none_makes_no_state(suite: Suite, private: bytes) -> None:
    with refused("bad_key"):
        new_state(suite, client_id("device"), private_of(suite, "x").__class__(private), c2_public_of(suite, "c2"))


# ------------------------------------------------------------------------------------------------------------ e4go


@LAW
@given(data=st.data())
def test_what_is_dumped_for_e4go_loads_to_the_same_but_for_the_replay_memory(suite: Suite, data: st.DataObject) -> None:
    state = data.draw(states(suite))
    fresh = State(
        state.suite, state.client_id, state.control_topic, state.private, state.c2_public, state.topics, state.peers
    )
    written = e4go.dump(suite, state)
    assert e4go.load(written, E4GO.__getitem__) == fresh
    assert e4go.load(written + b'tail of a longer state"}', E4GO.__getitem__) == fresh
    assert e4go.dump(suite, fresh) == written


@LAW
@given(data=st.data())
def test_a_warped_state_of_e4go_loads_and_works_or_is_refused(suite: Suite, data: st.DataObject) -> None:
    body = json.loads(e4go.dump(suite, full_state(suite)))
    try:
        state = e4go.load(json.dumps(data.draw(warped(body))).encode(), E4GO.__getitem__)
        starts(suite, state)
    except E4Error:
        return
    assert load(dump(state)) == state


def test_an_old_key_of_e4go_with_an_absurd_time_can_be_saved_again(suite: Suite) -> None:
    """e4go keeps any 8 bytes as the time of a rotation."""
    absurd = replace(
        full_state(suite), topics={topic_hash(TOPIC): TopicState(topic_key("a"), topic_key("b"), 2**64 - 1)}
    )
    state = e4go.load(e4go.dump(suite, absurd), E4GO.__getitem__)
    assert load(dump(state)) == state


def test_e4go_is_read_leniently_where_it_is_harmless(suite: Suite) -> None:
    body = json.loads(e4go.dump(suite, full_state(suite)))
    data = body["Key"]["keyData"]
    body["TopicKeys"] = None
    body["Key"]["keyData"] = {name.upper(): value for name, value in data.items() if name != "PubKeys"}
    state = e4go.load(json.dumps({**body, "unknown": 1}).encode(), E4GO.__getitem__)
    assert (state.topics, state.peers, state.private) == ({}, {}, full_state(suite).private)


def test_an_all_zero_topic_key_of_e4go_is_left_out(suite: Suite) -> None:
    body = json.loads(e4go.dump(suite, full_state(suite)))
    body["TopicKeys"][bytes(16).hex()] = b64encode(bytes(32)).decode()
    assert set(e4go.load(json.dumps(body).encode(), E4GO.__getitem__).topics) == {topic_hash(TOPIC)}


def test_a_state_taken_over_from_e4go_works(suite: Suite) -> None:
    state = e4go.load(e4go.dump(suite, full_state(suite)), E4GO.__getitem__)
    device = Device(suite)
    device.start(replace(state, floor=SECOND, command_floor=SECOND))
    assert device.client.unprotect(message(suite, b"x", SECOND + 1), TOPIC, NOW).payload == b"x"
