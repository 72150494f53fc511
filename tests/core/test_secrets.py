# SPDX-License-Identifier: Apache-2.0
"""Secrets show themselves nowhere, and are otherwise bytes."""

from __future__ import annotations

import copy
import pickle
import pprint
import re
import traceback
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4backends import sk as sk_suite
from e4core import command as codec
from e4core import e4go
from e4core.command import SetIDKey, SetTopicKey
from e4core.errors import E4Error
from e4core.keys import Secret, TopicKey
from e4core.state import TopicState, dump, load
from e4core.suite import Suite
from tests.core.fleet import (
    NOW,
    SECOND,
    TOPIC,
    Device,
    bytes32,
    private_of,
    topic_hash,
    topic_key,
    wire_form,
)
from tests.core.strategies import LAW

OLD = topic_key("old")


def shapes(secret: bytes) -> Iterator[str]:
    """How a secret could stand in a text; parts of it are as bad."""
    for part in (secret[:9], secret[12:21], secret[-9:]):
        yield from (part.hex(), part.hex(" "), part.hex().upper(), repr(part)[2:-1], part.decode("latin-1"))
        yield from (b64encode(part).decode(), urlsafe_b64encode(part).decode(), repr(list(part))[1:-1])


def assert_hidden(text: str, *secrets: bytes) -> None:
    for secret in secrets:
        for shape in shapes(secret):
            assert shape not in text


def texts(value: object) -> Iterator[str]:
    yield from (repr(value), str(value), ascii(value), f"{value}", f"{value!r}", "%s %r" % (value, value))  # noqa: UP031
    yield pprint.pformat(value)
    yield repr(getattr(value, "__dict__", None))
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    yield repr({name: getattr(value, name, None) for name in slots})


def secret_values(suite: Suite) -> dict[str, object]:
    device = Device(suite)
    device.start(replace(device.store.last, topics={topic_hash(TOPIC): TopicState(topic_key("key"), OLD, SECOND)}))
    new_key = SetTopicKey(topic_key("key"), topic_hash(TOPIC))
    private = suite.device.load(device.private)
    return {
        "secret": Secret(device.private),
        "topic key": topic_key("key"),
        "list": [topic_key("key"), {"key": topic_key("key")}, (device.private,)],
        "state": device.client.state,
        "topic state": device.client.state.topics[topic_hash(TOPIC)],
        "client": device.client,
        "command": new_key,
        "decoded command": codec.decode(wire_form(new_key), suite),
        "new id key": SetIDKey(private_of(suite, "device")),
        "handled": device.command(new_key, SECOND),
        "private key": private,
        "channel": device.channel(),
        "aead key": suite.aead.key(topic_key("key")),
        "signer": suite.signature.signer(private) if suite.signature else None,
    }


@pytest.mark.parametrize("name", secret_values(sk_suite.SUITE))
def test_no_value_shows_its_secrets(suite: Suite, name: str) -> None:
    value = secret_values(suite)[name]
    for text in texts(value):
        assert_hidden(text, bytes32("device"), bytes32("key"), bytes32("old"), private_of(suite, "device")[:32])


@pytest.mark.parametrize("name", ["secret", "topic key", "list", "state", "topic state", "command", "new id key"])
def test_secrets_are_not_pickled(suite: Suite, name: str) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret_values(suite)[name], protocol)


def test_secrets_can_be_copied(suite: Suite) -> None:
    for value in (Secret(b"x"), topic_key("key"), Device(suite).client.state):
        assert copy.deepcopy(value) == value
        assert copy.copy(value) == value


@LAW
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_secret_compares_and_hashes_as_its_bytes(one: bytes, other: bytes) -> None:
    assert (Secret(one) == other) == (other == Secret(one)) == (Secret(one) == Secret(other)) == (one == other)
    assert (Secret(one) != other) == (other != Secret(one)) == (one != other)
    assert Secret(one) == one
    assert hash(Secret(one)) == hash(one)
    assert {one: 1}[Secret(one)] == 1
    assert bytes(Secret(one)) == one


def test_a_secret_equals_nothing_but_bytes() -> None:
    assert Secret(b"x") != "x"
    assert Secret(b"") != None  # noqa: E711
    assert TopicKey(b"x" * 32) == Secret(b"x" * 32)


FAULTS: dict[str, Callable[[Suite, bytes], object]] = {
    "topic key too long": lambda _, key: TopicKey(key + b"\1"),
    "aead key too long": lambda suite, key: suite.aead.key(key + b"\1"),
    "device key too short": lambda suite, key: suite.device.load(key[:31]),
    "device key too long": lambda suite, key: suite.device.load(key * 3),
    "public half of another": lambda suite, key: suite.device.load(key + b"\1" * 32),
    "device key as public key": lambda suite, key: suite.device.check(key + b"\1"),
    "C2 key too long": lambda suite, key: suite.c2.load(key + b"\1"),
    "command too long": lambda suite, key: codec.decode(b"\3" + key * 2, suite),
    "command unknown": lambda suite, key: codec.decode(b"\xfe" + key, suite),
    "id key of another length": lambda suite, key: Device(suite).command(b"\2" + key * 3, SECOND).error,
}


def assert_silent(error: BaseException | None, *secrets: bytes) -> None:
    """Neither the text nor what a tool finds along the chain of causes shows a secret."""
    while error is not None:
        assert_hidden("".join(traceback.format_exception(error)) + repr(error) + repr(error.args), *secrets)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_shows_a_secret(suite: Suite, fault: str) -> None:
    key = bytes32("secret")
    try:
        error = FAULTS[fault](suite, key)
    except E4Error as raised:
        error = raised
    if isinstance(error, BaseException):
        assert_silent(error, key)


@pytest.mark.parametrize("spoil", ["é{}", "{}é", "{}=", "{}A", "{}\\n", " {}", "{}!"])
def test_no_error_about_a_state_shows_a_secret(suite: Suite, spoil: str) -> None:
    device = Device(suite)
    state = replace(device.client.state, topics={topic_hash(TOPIC): TopicState(topic_key("key"), OLD, SECOND)})
    secrets = [bytes(device.private), bytes32("key"), bytes32("old")]
    for field in ("private", "key", "previous"):
        with suppress(ValueError), watched(*secrets):
            load(_spoilt(dump(state), field, spoil))
    for field in ("Key", "PrivateKey", topic_hash(TOPIC).hex()):
        with suppress(ValueError), watched(*secrets):
            e4go.load(_spoilt(e4go.dump(suite, state), field, spoil), lambda _: suite)


@contextmanager
def watched(*secrets: bytes) -> Iterator[None]:
    try:
        yield
    except E4Error as error:
        assert_silent(error, *secrets)
        raise


def _spoilt(written: bytes, field: str, spoil: str) -> bytes:
    """The JSON of a state with one text field changed."""
    encoded = re.sub(
        f'("{field}": ?")([^"]*)"', lambda found: found[1] + spoil.format(found[2]) + '"', written.decode()
    )
    return encoded.encode()


def test_no_message_error_shows_a_secret(device: Device) -> None:
    for data in (b"", bytes(200), device.sealed(b"\1", SECOND)):
        with pytest.raises(E4Error) as caught:
            device.client.unprotect(data, TOPIC, NOW)
        assert_silent(caught.value, device.private, bytes32("key"))
