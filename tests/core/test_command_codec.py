# SPDX-License-Identifier: Apache-2.0
"""The bytes of commands, and which of them are none (`wire.md` section 7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core import command as codec
from e4core.command import (
    SetIDKey,
    SetTopicKey,
)
from e4core.errors import E4Error
from e4core.keys import Secret
from e4core.report import REFUSALS
from e4core.suite import Suite
from tests.core.fleet import (
    private_of,
    refused,
    topic_hash,
    topic_key,
    wire_form,
)
from tests.core.strategies import LAW, commands

LENGTHS = {0: {17}, 1: {1}, 2: {33, 65}, 3: {49}, 4: {17}, 5: {1}, 6: {49}, 7: {33}}
PUBLIC_KEY_ONLY = {4, 5, 6, 7}
GIVE = SetTopicKey(topic_key("new"), topic_hash("new topic"))


@LAW
@given(data=st.data())
def test_what_is_encoded_decodes_to_the_same(suite: Suite, data: st.DataObject) -> None:
    command = data.draw(commands(suite))
    assert codec.encode(command) == wire_form(command)
    assert codec.decode(wire_form(command), suite) == command


@LAW
@given(
    data=st.binary(max_size=70)
    | st.tuples(st.sampled_from(range(9)), st.binary(max_size=64)).map(lambda parts: bytes([parts[0]]) + parts[1])
)
def test_whatever_decodes_encodes_to_the_same_and_the_rest_is_refused(suite: Suite, data: bytes) -> None:
    try:
        command = codec.decode(data, suite)
    except E4Error as error:
        assert error.kind in REFUSALS
    else:
        assert wire_form(command) == data


@pytest.mark.parametrize("opcode", [*range(10), 0xFF])
def test_length_comes_before_support(suite: Suite, opcode: int) -> None:
    for length in range(1, 70):
        data = bytes([opcode]) + b"\7" * (length - 1)
        if opcode not in LENGTHS:
            expected = "unknown_command"
        elif length not in LENGTHS[opcode]:
            expected = "bad_command_length"
        elif suite.is_symmetric and opcode in PUBLIC_KEY_ONLY:
            expected = "unsupported"
        else:
            assert wire_form(codec.decode(data, suite)) == data
            continue
        with refused(expected):
            codec.decode(data, suite)


def test_secret_fields_are_kept_as_secrets(suite: Suite) -> None:
    given_key, id_key = codec.decode(wire_form(GIVE), suite), codec.decode(b"\2" + private_of(suite, "x"), suite)
    assert isinstance(given_key, SetTopicKey) and isinstance(given_key.key, Secret)
    assert isinstance(id_key, SetIDKey) and isinstance(id_key.key, Secret)


def test_the_number_of_a_refusal_is_its_place_in_the_specification() -> None:
    assert REFUSALS.index("bad_command_length") == 0
    assert REFUSALS.index("pubkey_missing") == 4
