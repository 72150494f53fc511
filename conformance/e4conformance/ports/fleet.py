# SPDX-License-Identifier: Apache-2.0
"""A small fleet for live checks: the device at the port, its twin and another member of this implementation, and their C2."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from e4conformance.played import Device, Own
from e4conformance.ports.book import Check
from e4conformance.ports.c2 import C2, c2_of
from e4conformance.ports.device import PortDevice
from e4conformance.ports.links import PortFault
from e4conformance.ports.subject import PortSubject
from e4conformance.requirement import NotExercised, Unmet, require
from e4core import formats
from e4core.errors import E4Error
from e4core.keys import ClientId, Secret
from e4core.suite import Suite

T = TypeVar("T")

TOPIC, OTHER = "home/light", "home/door"
_NOW = 1_800_000_000.25
_SHOWN = 160
_SIZES = (0, 1, 15, 16, 17, 31, 32, 33, 64, 255, 256, 257, 1023, 1024, 1025, 4096, 65536)
_SAMPLE = {True: 600, False: 150}
"""How many of too many are tried, by whether the suite is symmetric."""
_LONG = 1024
_SAMPLE_OF_LONG = 12
"""The same of what is long, as each try of that is dear."""


@dataclass(frozen=True, slots=True)
class Member:
    """A device of the fleet, and the C2 as it speaks with it."""

    device: Device
    client_id: ClientId
    private: bytes
    public: bytes
    c2: C2


class Fleet:
    """Bob is the device at the port, his twin lives the same life here, alice is another member here."""

    def __init__(self, subject: PortSubject, suite: Suite, label: str) -> None:
        self.subject, self.suite = subject, suite
        self.random = subject.random(f"{label} {suite.wire_name}")
        self._now = _NOW if "clock" in subject.capabilities else None
        self.c2_private = suite.c2.generate()
        key = suite.c2.load(self.c2_private)
        self.c2_public = suite.c2.public(key)
        port = PortDevice
        bob_id, bob_private = ClientId(self.random.randbytes(16)), self.private()
        device = port(subject.port, suite.wire_name, bob_id, bob_private, self.c2_public)
        self.bob = self.member(bob_id, bob_private, device)
        self.twin = self._own(bob_id, bob_private)
        alice_id, alice_private = ClientId(self.random.randbytes(16)), self.private()
        self.alice = self.member(alice_id, alice_private, self._own(alice_id, alice_private))
        self.epoch = int(self.now) - 1000
        self.keys: dict[str, bytes] = {}
        self.wait(1)

    # ---- time

    @property
    def now(self) -> float:
        """Unix seconds: the injected clock, or where the port has none, the real one."""
        return time.time() if self._now is None else self._now

    def wait(self, seconds: float) -> None:
        """Lets time pass, where it can be let pass."""
        if self._now is not None:
            self._now += seconds

    # ---- what the C2 does

    def meet(self, *topics: str) -> None:
        """All get fresh keys of ``topics``, or of the usual one, and each other's public keys."""
        for topic in topics or (TOPIC,):
            self.rotate(topic)
        if not self.suite.is_symmetric:
            for member, other in ((self.bob, self.alice), (self.alice, self.bob)):
                self.order(member, member.c2.set_peer(other.client_id, other.public))

    def rotate(self, topic: str = TOPIC, older_until: int = 0) -> bytes:
        """A new key and a new epoch of a topic, to all. Gives the key."""
        key = self.keys[topic] = self.random.randbytes(32)
        self.epoch += 1
        for member in (self.bob, self.alice):
            self.order(member, member.c2.set_topic(topic, key, self.epoch, older_until=older_until))
        self.wait(1)
        return key

    def order(self, member: Member, *orders: Any) -> None:
        """Raises: Unmet: they are not obeyed."""
        for data in member.c2.seal(orders, self.now):
            self.obeys(member, data)

    def obeys(self, member: Member, data: bytes) -> None:
        """Raises: Unmet."""
        obeyed = told(lambda: member.device.command(data, self.now))
        if member is self.bob:
            self.twin.command(data, self.now)
        if isinstance(obeyed, str):
            raise Unmet(f"a command is refused: {obeyed}")
        require(obeyed.outcome == "applied" and not obeyed.kind, f"a command is {obeyed.outcome}: {obeyed.kind}")

    # ---- what is sent

    def from_alice(self, payload: bytes = b"x", topic: str = TOPIC) -> bytes:
        return self.alice.device.protect(payload, topic, self.now)

    def opens(self, data: bytes, payload: bytes, topic: str = TOPIC) -> None:
        """Bob receives what alice sent. Raises: Unmet."""
        seen = told(lambda: self.bob.device.unprotect(data, topic, self.now))
        require(not isinstance(seen, str), f"a message of {len(payload)} bytes is refused: {seen}")
        assert not isinstance(seen, str)
        require(seen.payload == payload, f"a message of {len(payload)} bytes opens to other {len(seen.payload)} bytes")
        said = self.suite.format == 2 or not self.suite.is_symmetric
        require(
            seen.sender == (self.alice.client_id if said else None), f"the sender is {seen.sender}, not who sent it"
        )
        authentic = not self.suite.is_symmetric
        require(seen.authenticated is authentic, f"authenticated is {seen.authenticated}, due is {authentic}")

    def refuses(self, what: str, data: bytes, topic: str = TOPIC, kinds: Collection[str] = ()) -> None:
        """Bob does not receive ``data``. Args: kinds: of the error; empty: any. Raises: Unmet."""
        refusal(what, lambda: self.bob.device.unprotect(data, topic, self.now), kinds)

    def same(self, what: str, act: Callable[[Device], T]) -> T | str:
        """What ``act`` gives at the twin; bob gives the same. Raises: Unmet."""
        due, seen = told(lambda: act(self.twin)), told(lambda: act(self.bob.device))
        require(seen == due, f"{what}: gives {_short(seen)}, due is {_short(due)}")
        return due

    def sizes(self) -> list[int]:
        """Lengths of payloads that are tried."""
        longest = min(self.subject.limits.payload, (self.subject.limits.line - 1024) // 2 - 2 * self._overhead())
        least = int(self.suite.format == 1 and self.suite.is_symmetric)  # shorter ones are refused there
        sizes = {size for size in _SIZES if least <= size <= longest}
        return sorted(sizes | {min(longest, max(_SIZES)), self.random.randint(least, min(longest, 2048))})

    def flipped(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """``data`` with a bit changed, each or as many as the cost allows, and where it is long, with two blocks swapped."""
        last, middle = len(data) - 1, len(data) // 2
        for bit in self._sample(data, 8, (0, 8 * middle, 8 * (last - 16), 8 * last)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            yield f"whose bit {bit} is changed", bytes(changed)
        if self._is_long(data):
            swapped = data[middle : middle + 16] + data[middle - 16 : middle]
            yield "of which two blocks are swapped", data[: middle - 16] + swapped + data[middle + 16 :]

    def other_lengths(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """``data`` cut short, everywhere or as the cost allows, and with more at its end."""
        for length in self._sample(data, 1, (len(data) - less for less in (1, 16, 1024))):
            yield f"of which {length} of {len(data)} bytes are there", data[:length]
        doubled = [data] if 4 * len(data) + 1024 <= self.subject.limits.line else []
        for more in (b"\0", b"\0" * 16, data[-16:], *doubled):
            yield f"that is {len(more)} bytes longer", data + more

    def _sample(self, data: bytes, each: int, edges: Iterable[int]) -> list[int]:
        """Places in ``data``, ``each`` a byte: all, or some and the ``edges``."""
        count = each * len(data)
        most = _SAMPLE_OF_LONG if self._is_long(data) else _SAMPLE[self.suite.is_symmetric]
        if count <= most:
            return list(range(count))
        return sorted({*self.random.sample(range(count), most), *(at for at in edges if at >= 0)})

    def _is_long(self, data: bytes) -> bool:
        """Not for its signature alone."""
        return len(data) > max(_LONG, 2 * self._overhead())

    def member(self, client_id: ClientId, private: bytes, device: Device) -> Member:
        """A device and the C2 as it stands now."""
        suite = self.suite
        public = suite.device.public(suite.device.load(private))
        c2 = c2_of(suite, suite.c2.load(self.c2_private), public, client_id, self.random)
        return Member(device, client_id, private, public, c2)

    def private(self) -> bytes:
        """Drawn with the seed where any bytes are a key."""
        identity = self.suite.device
        return self.random.randbytes(identity.private_len) if self.suite.is_symmetric else identity.generate()

    def _overhead(self) -> int:
        return formats.overheads(self.suite)[0]

    def _own(self, client_id: ClientId, private: bytes) -> Own:
        state = formats.new_state(self.suite, client_id, Secret(private), self.c2_public)
        return Own(self.suite, formats.dump(state))


def told(act: Callable[[], T]) -> T | str:
    """What comes of ``act``; the kind of the error, if it is one."""
    try:
        return act()
    except E4Error as error:
        return error.kind


def refusal(what: str, act: Callable[[], object], kinds: Collection[str] = ()) -> str:
    """The kind with which ``act`` is refused. Args: kinds: that are right; empty: all. Raises: Unmet."""
    seen = told(act)
    if not isinstance(seen, str):
        raise Unmet(f"{what} is accepted")
    require(not kinds or seen in kinds, f"{what} is refused as {seen}, not as {' or '.join(sorted(kinds))}")
    return seen


def in_each_suite(check: Callable[[Fleet], None]) -> Check:
    """A check of one fleet, made with one for each suite that the port has."""
    return _in_each(check, lambda _suite: True)


def in_format_2(check: Callable[[Fleet], None]) -> Check:
    """As `in_each_suite`, of Format 2 alone."""
    return _in_each(check, lambda suite: suite.format == 2)


def in_public_key_suites(check: Callable[[Fleet], None]) -> Check:
    """As `in_each_suite`, of those whose messages are signed."""
    return _in_each(check, lambda suite: not suite.is_symmetric)


def _in_each(check: Callable[[Fleet], None], is_meant: Callable[[Suite], bool]) -> Check:
    @wraps(check)
    def made(subject: PortSubject) -> None:
        suites = [suite for suite in subject.suites if is_meant(suite)]
        if not suites:
            raise NotExercised("the port has no suite of which this speaks")
        for suite in suites:
            try:
                check(Fleet(subject, suite, check.__name__))
            except PortFault as error:
                raise PortFault(f"{suite.wire_name}: {error}") from error
            except Unmet as error:
                raise Unmet(f"{suite.wire_name}: {error}") from error
            except E4Error as error:
                raise Unmet(f"{suite.wire_name}: {error.kind}: {error}") from error

    return made


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
