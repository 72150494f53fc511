# SPDX-License-Identifier: Apache-2.0
"""Protected messages of both formats, as they come, and with a seal that is right around contents that are not."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from e4core.errors import AuthenticationFailed, InvalidInput, NotFresh, UnknownKey
from e4core.keys import FullTopicHash, TopicKey
from e4core.message import Message
from e4core.sending2 import HEADER_LEN, message_key_info, nonces
from fuzz.target import Target, accepted, always, must
from fuzz.targets.fleet import EPOCH, NOW, SECOND, TOPIC, Fleet, bytes32, fleets, same

_REFUSALS = (InvalidInput, UnknownKey, NotFresh, AuthenticationFailed)


def _check(number: int, data: bytes) -> None:
    for fleet in fleets(number):
        _take(fleet, data)
        if fleet.suite.is_symmetric:
            _take(fleet, _SEALED[number](fleet, data))


def _take(fleet: Fleet, data: bytes) -> None:
    bob = fleet.client("bob")
    before = bob.state
    message = accepted(lambda: bob.unprotect(data, TOPIC, NOW), *_REFUSALS)
    if message is None:
        must(bob.state == before, "what was refused has changed the state")
        must(accepted(lambda: bob.unprotect(data, TOPIC, NOW), *_REFUSALS) is None, "refused once, accepted then")
        return
    must(isinstance(message, Message) and len(message.payload) < len(data), "more came out than went in")
    must(accepted(lambda: bob.unprotect(data, TOPIC, NOW), NotFresh) is None, "a replay was accepted")
    bob.close()
    must(same(bob.state), "the state after a message does not survive being saved")


def _sealed1(fleet: Fleet, data: bytes) -> bytes:
    """Timestamp and payload of ``data``, sealed by a holder of the topic key."""
    header = data[:8].ljust(8, b"\0")
    return header + fleet.suite.aead.key(bytes32("key")).seal(b"", data[8:], header)


def _sealed2(fleet: Fleet, data: bytes) -> bytes:
    """Header, but for its version, and payload of ``data``, sealed by a holder of the topic key."""
    suite = fleet.suite
    header = b"\x02" + data[: HEADER_LEN - 1].ljust(HEADER_LEN - 1, b"\0")
    epoch, who, sequence = (header[part] for part in (slice(1, 5), slice(13, 37), slice(37, 41)))
    topic = FullTopicHash(suite.derive_topic(TOPIC))
    info = message_key_info(suite, topic, int.from_bytes(epoch, "little"), who)
    key = suite.aead.key(suite.kdf(TopicKey(bytes32("key")), info, suite.aead.key_len))
    nonce = nonces(suite.aead)(int.from_bytes(sequence, "little"))
    return header + key.seal(nonce, data[HEADER_LEN - 1 :], header)


_SEALED = {1: _sealed1, 2: _sealed2}


def _seeds(number: int) -> Iterable[bytes]:
    for fleet in fleets(number):
        for payload in (b"x", b"21.5 degrees", bytes(100)):
            yield fleet.client("alice").protect(payload, TOPIC, NOW)
            yield fleet.client("bob").protect(payload, TOPIC, NOW - 700)
    yield SECOND.to_bytes(8, "little") + b"payload"
    yield EPOCH.to_bytes(4, "little") + SECOND.to_bytes(8, "little") + b"w" * 24 + bytes(4) + b"payload"


def _target(number: int) -> Target:
    words = (SECOND.to_bytes(8, "little"), EPOCH.to_bytes(4, "little"), b"\xff" * 8, b"\xff" * 4)
    return Target(always(partial(_check, number)), partial(_seeds, number), words)


TARGETS = {"message1": _target(1), "message2": _target(2)}
