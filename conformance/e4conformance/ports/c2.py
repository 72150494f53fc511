# SPDX-License-Identifier: Apache-2.0
"""The C2 of live checks: gives orders to one device, in the words of its format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

from e4core import command, command2
from e4core.control2 import seal_command
from e4core.errors import E4Error
from e4core.keys import ClientId, FullTopicHash, Secret, TopicHash, TopicKey
from e4core.suite import Channel, PrivateKey, Suite

NEVER_ENDS = (1 << 64) - 1
"""As ``older until``: the older epochs stay."""
BACKDATE_S = 5
"""Seconds by which commands of Format 1 are dated back: e4go tolerates no clock ahead of its own."""


class C2(Protocol):
    """Orders are values of `e4core.command` or `e4core.command2`."""

    def set_topic(self, topic: str, key: bytes, epoch: int, *, older_until: int = 0, use: int = 1) -> Any: ...
    def remove_topic(self, topic: str) -> Any: ...
    def reset_topics(self) -> Any: ...
    def set_peer(self, client: ClientId, public: bytes) -> Any: ...
    def remove_peer(self, client: ClientId) -> Any: ...
    def reset_peers(self) -> Any: ...
    def set_id_key(self, private: bytes) -> Any: ...
    def set_c2_key(self, public: bytes) -> Any: ...
    def sync(self, nonce: bytes, now: float) -> Any: ...
    def seal(self, orders: Sequence[Any], now: float) -> list[bytes]:
        """What goes to the control topic, in this order."""
        ...

    def contents(self, entries: Sequence[bytes], now: float) -> bytes:
        """One command of entries (opcode, arguments) that may be none; in Format 1 of the first alone."""
        ...

    def is_command(self, entry: bytes) -> bool:
        """Whether ``entry`` means something in this suite."""
        ...


class C2of1:
    """Format 1: one command for each order, known by its second and its tag (`wire.md` section 7)."""

    def __init__(self, suite: Suite, channel: Channel, _client: ClientId, _random: Random) -> None:
        self._suite = suite
        self._key = channel.command_key
        self._sent: set[bytes] = set()
        self._second = 0

    def set_topic(self, topic: str, key: bytes, epoch: int, *, older_until: int = 0, use: int = 1) -> Any:
        return command.SetTopicKey(TopicKey(key), self._hash(topic))

    def remove_topic(self, topic: str) -> Any:
        return command.RemoveTopic(self._hash(topic))

    def reset_topics(self) -> Any:
        return command.ResetTopics()

    def set_peer(self, client: ClientId, public: bytes) -> Any:
        return command.SetPubKey(public, client)

    def remove_peer(self, client: ClientId) -> Any:
        return command.RemovePubKey(client)

    def reset_peers(self) -> Any:
        return command.ResetPubKeys()

    def set_id_key(self, private: bytes) -> Any:
        return command.SetIDKey(Secret(private))

    def set_c2_key(self, public: bytes) -> Any:
        return command.SetC2Key(public)

    def sync(self, nonce: bytes, now: float) -> Any:
        return command.RemoveTopic(TopicHash(nonce))

    def seal(self, orders: Sequence[Any], now: float) -> list[bytes]:
        return [self.contents([command.encode(order)], now) for order in orders]

    def contents(self, entries: Sequence[bytes], now: float) -> bytes:
        self._second = max(self._second, int(now) - BACKDATE_S)
        while (data := self._at(self._second, entries[0])) in self._sent:
            self._second += 1  # the same bytes again would be a replay
        self._sent.add(data)
        return data

    def _at(self, second: int, entry: bytes) -> bytes:
        header = second.to_bytes(8, "little")
        return header + self._key.seal(b"", entry, header)

    def is_command(self, entry: bytes) -> bool:
        return _decodes(lambda: command.decode(entry, self._suite))

    def _hash(self, topic: str) -> TopicHash:
        return TopicHash(self._suite.derive_topic(topic))


class C2of2:
    """Format 2: all orders in one command, with a sequence (`format2.md` section 3)."""

    def __init__(self, suite: Suite, channel: Channel, client: ClientId, random: Random) -> None:
        self._suite, self._channel, self._client, self._random = suite, channel, client, random
        self._last = 0

    def set_topic(self, topic: str, key: bytes, epoch: int, *, older_until: int = 0, use: int = 1) -> Any:
        return command2.SetTopicKey(self._hash(topic), epoch, TopicKey(key), use, older_until=older_until)

    def remove_topic(self, topic: str) -> Any:
        return command2.RemoveTopic(self._hash(topic))

    def reset_topics(self) -> Any:
        return command2.ResetTopics()

    def set_peer(self, client: ClientId, public: bytes) -> Any:
        assert self._suite.signature
        return command2.SetPubKey(client, public[: self._suite.signature.public_len])

    def remove_peer(self, client: ClientId) -> Any:
        return command2.RemovePubKey(client)

    def reset_peers(self) -> Any:
        return command2.ResetPubKeys()

    def set_id_key(self, private: bytes) -> Any:
        return command2.SetIDKey(Secret(private))

    def set_c2_key(self, public: bytes) -> Any:
        return command2.SetC2Key.of(self._suite, public)

    def sync(self, nonce: bytes, now: float) -> Any:
        return command2.Sync(nonce, int(now * 1000))

    def seal(self, orders: Sequence[Any], now: float) -> list[bytes]:
        return [self._sealed(command2.encode(orders, int(now)), now)]

    def contents(self, entries: Sequence[bytes], now: float) -> bytes:
        return self._sealed(_plain(entries, int(now)), now)

    def is_command(self, entry: bytes) -> bool:
        return _decodes(lambda: command2.decode(_plain([entry], 0), self._suite))

    def _sealed(self, plain: bytes, now: float) -> bytes:
        self._last = max(self._last + 1, int(now * 1_000_000))
        salt = self._random.randbytes(16)
        return seal_command(self._suite, self._channel, self._client, self._last, plain, salt)

    def _hash(self, topic: str) -> FullTopicHash:
        return FullTopicHash(self._suite.derive_topic(topic))


def _plain(entries: Sequence[bytes], issued: int) -> bytes:
    return issued.to_bytes(8, "little") + b"".join(len(entry).to_bytes(2, "little") + entry for entry in entries)


def _decodes(decode: Callable[[], object]) -> bool:
    try:
        decode()
    except E4Error:
        return False
    return True


_OF_FORMAT: dict[int, Callable[[Suite, Channel, ClientId, Random], C2]] = {1: C2of1, 2: C2of2}


def c2_of(suite: Suite, private: PrivateKey, device_public: bytes, client: ClientId, random: Random) -> C2:
    """The C2 with this key, for the device ``client``."""
    return _OF_FORMAT[suite.format](suite, suite.control.at_c2(private, device_public), client, random)
