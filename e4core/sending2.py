# SPDX-License-Identifier: Apache-2.0
"""How own messages of Format 2 are numbered: a session of its own for every run, and a sequence in it (`format2.md` section 2).

With a sequence as nonce everything hangs on none being used twice under one key. So the session is never saved; a forked child
takes a new one; and sequences go on where they were when a topic or an epoch is removed and comes again. Who clones a running
process from outside (a snapshot of a live virtual machine) must not use a suite over GCM.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import chain, repeat
from operator import concat
from struct import Struct
from typing import Protocol
from weakref import WeakSet

from e4core.container import lp
from e4core.errors import UnsupportedSuite
from e4core.state2 import SESSION_LEN, Epoch
from e4core.suite import Aead, Suite

VERSION = 2
HEADER_LEN = 41
"""Of a message: version (1) | epoch (4) | timestamp (8) | sender id (16) | session (8) | sequence (4)."""
SEQUENCES = 1 << 32
COUNTERS_MOST = 4096
"""Topics and epochs of one session; with more it ends, so that they need not be remembered without end."""

Numbers = Iterator[tuple[bytes, bytes]]
"""Sequence as it stands in the header (4), and the nonce made of it; whoever takes one, no other gets it too."""

_LOW = [bytes([low]) for low in range(256)]
_join: Callable[[bytes, bytes], bytes] = concat  # type: ignore[assignment]  # typeshed has it for one type of items alone


def nonces(aead: Aead) -> Callable[[int], bytes]:
    """Nonce of a sequence: its 4 bytes, then zeros; nothing where the AEAD takes none.

    It is used once with a key: the key belongs to one session of one sender under one epoch.
    Raises: UnsupportedSuite: a nonce with no room for a sequence.
    """
    if not aead.nonce_len:
        return lambda _sequence: b""
    if aead.nonce_len < 4:
        raise UnsupportedSuite(f"a nonce of {aead.nonce_len} bytes has no room for a sequence of 4")
    return Struct(f"<I{aead.nonce_len - 4}x").pack


def message_key_info(suite: Suite, topic: bytes, epoch: int, who: bytes) -> bytes:
    """What a message key is derived for. Args: topic: 32 bytes.  who: sender id (16) | session (8)."""
    return lp(b"E4.2 message key") + lp(suite.wire_name.encode()) + topic + epoch.to_bytes(4, "little") + who


class OwnSession:
    """A session and what was numbered in it."""

    def __init__(self, suite: Suite, sender: bytes, random: bytes, clock_ns: int, starts: int) -> None:
        """Args: random: 32 bytes of the system's generator.  clock_ns: 0: there is no clock.  starts: saved counter."""
        counted = (clock_ns % (1 << 64)).to_bytes(8, "little") + starts.to_bytes(8, "little")
        seed = lp(b"E4.2 session") + random + counted + sender
        self.who = sender + sha256(seed).digest()[:SESSION_LEN]
        """Sender id (16) | session (8)."""
        self._nonce = nonces(suite.aead)
        self._numbers: dict[tuple[bytes, int], Numbers] = {}

    def numbers(self, topic: bytes, epoch: int) -> Numbers:
        """Of a topic and epoch; going on where they were."""
        held = self._numbers.get((topic, epoch))
        if held is None:
            held = self._numbers[topic, epoch] = self._from_0()
        return held

    @property
    def is_full(self) -> bool:
        return len(self._numbers) >= COUNTERS_MOST

    def __reduce__(self) -> tuple[object, ...]:
        """A copy would go on counting, so nothing that sends, a client above all, can be copied or pickled."""
        raise TypeError("what numbers messages is not copied; make another client, from the saved state")

    def _from_0(self) -> Numbers:
        return chain.from_iterable(map(self._block, range(SEQUENCES // len(_LOW))))

    def _block(self, high: int) -> Numbers:
        """The numbers that differ from each other in their lowest byte; to join two strings is the fastest way to one."""
        tail, nonce = high.to_bytes(3, "little"), self._nonce(high << 8)
        nonces: Iterator[bytes] = map(_join, _LOW, repeat(nonce[1:])) if nonce else repeat(b"")
        return zip(map(_join, _LOW, repeat(tail)), nonces, strict=False)


class Outgoing:
    """Ready to protect messages of one topic under one epoch."""

    __slots__ = ("begins", "ends", "epoch", "label", "numbers", "prefix", "seal", "start", "who")

    def __init__(self, suite: Suite, topic: bytes, epoch: Epoch, key: bytes, session: OwnSession) -> None:
        """Args: key: that of the epoch."""
        self.who = session.who
        derived = suite.kdf(key, message_key_info(suite, topic, epoch.number, self.who), suite.aead.key_len)
        self.seal = suite.aead.key(derived).seal
        self.numbers = session.numbers(topic, epoch.number)
        self.epoch = epoch
        self.label = signature_label(suite, topic)
        self.start = bytes([VERSION]) + epoch.number.to_bytes(4, "little")
        self.begins = self.ends = 0.0
        """From when to when on the own clock `prefix` holds: one second."""
        self.prefix = b""
        """All of the header but the sequence."""

    def turn_to(self, second: int) -> None:
        self.prefix = self.start + second.to_bytes(8, "little") + self.who
        self.begins, self.ends = float(second), second + 1.0


def signature_label(suite: Suite, topic: bytes) -> bytes:
    """What stands before a message where it is signed."""
    return lp(b"E4.2 message signature") + lp(suite.wire_name.encode()) + topic


class Forks(Protocol):
    def forked(self) -> None:
        """Called in the child of a fork, before anything else of the project can run there."""
        ...


_forking: WeakSet[Forks] = WeakSet()
"""Of the whole process, as forks are. Only the child of a fork looks at it."""


def follow_forks(each: Forks) -> None:
    _forking.add(each)


def _forked() -> None:
    for each in list(_forking):
        each.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
