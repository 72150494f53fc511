# SPDX-License-Identifier: Apache-2.0
"""A C2 and its devices in one process, stepped by the test: claim, publish, obey, report, each when the test says so.

The clock is the test's.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import permutations
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, clients, commands, digests, links, retention, topics
from e4c2.commands import requeue
from e4c2.format import Sealed
from e4c2.model import Delivery, metadata, outbox, topic
from e4c2.reports import receive, receive_all
from e4c2.rows import Realm, reveal
from e4c2.settling import settle
from e4c2.store.address import Address
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core import command, command2, control2
from e4core.errors import AuthenticationFailed, E4Error
from e4core.keys import ClientId, Secret, control_topic, report_topic
from e4core.suite import Channel, Suite
from e4core.transport import Incoming
from e4kms import file as kek_file
from tests.c2.devices import Device, Ours, Witness

P = ParamSpec("P")
T = TypeVar("T")
UseCase = Callable[Concatenate[sa.Connection, Realm, P], T]


class Named(Protocol):
    @property
    def name(self) -> str: ...


NOW = 1_800_000_000.25
DONE = {Delivery.CONFIRMED.value, Delivery.SUPERSEDED.value, Delivery.EXPIRED.value}


class Clock:
    """Unix seconds; stands still until moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Sent(NamedTuple):
    """One publication on a control topic, and the C2's clock when it was sealed."""

    topic: str
    payload: bytes
    now: float

    @property
    def second(self) -> int:
        return int.from_bytes(self.payload[:8], "little")


def _open1(suite: Suite, way: Channel, _of: ClientId, sent: Sent) -> list[tuple[int, Any]]:
    plain = way.command_key.open(b"", sent.payload[8:], sent.payload[:8])
    return [(sent.second, command.decode(plain, suite))]


def _open2(suite: Suite, way: Channel, of: ClientId, sent: Sent) -> list[tuple[int, Any]]:
    plain = control2.open_command(suite, way, of, sent.payload)
    return [(int(sent.now), each) for each in command2.decode(plain, suite)]


_OPEN = {1: _open1, 2: _open2}


class World:
    """Attributes: wire: all that was ever published. devices: by name. reports: sent and not yet received."""

    def __init__(self, suite: Suite, place: Path | Address, kek_uri: str, clock: Clock | None = None) -> None:
        self.suite, self.place, self.clock = suite, place, clock or Clock()
        self._kek_uri = kek_uri
        self.devices: dict[str, Device] = {}
        self.wire: list[Sent] = []
        self.reports: deque[Incoming] = deque()
        self.privates: dict[str, list[Secret]] = {}
        self.open()

    @property
    def database(self) -> Path:
        assert isinstance(self.place, Path)
        return self.place

    def again(self, database: Path) -> World:
        """This fleet as it is after a start of all, on a copy of its database; its own is closed, and nothing on its way."""
        assert not self.reports and not any(device.inbox or device.away for device in self.devices.values())
        shutil.copy(self.database, database)
        other = World(self.suite, database, self._kek_uri, Clock(self.clock.now))
        other.devices = {name: device.again() for name, device in self.devices.items()}
        other.wire = list(self.wire)
        other.privates = {name: list(privates) for name, privates in self.privates.items()}
        return other

    def open(self) -> None:
        self.store = Store(self.place)
        kms = {self._kek_uri: kek_file.open_kms(self._kek_uri)}
        self.realm = self.store.run(open_realm, self.suite, kms, self.clock)

    def crash(self) -> None:
        """Lose all that is in memory only, start again as the courier does."""
        self.store.close()
        self.open()
        self.store.run(requeue, outbox.c.state == Delivery.SENDING.value)

    def do(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one use case in one transaction."""
        return self.store.run(use_case, self.realm, *args, **kwargs)

    def names(self, use_case: UseCase[P, Sequence[Named]], *args: P.args, **kwargs: P.kwargs) -> list[str]:
        """Names of what a use case lists."""
        return [each.name for each in self.do(use_case, *args, **kwargs)]

    def sql(self, statement: str, **values: Any) -> None:
        """What somebody with access to the database could do."""
        self.store.run(lambda db: db.execute(sa.text(statement), values) and None)

    # ------------------------------------------------------------------------------------------------- the fleet

    def add(self, name: str, kind: type[Ours] | type[Witness] = Ours, *, key: Secret | None = None) -> Any:
        """Register a new device with the key of the C2 that is active; a witness where there is one, as e4go knows one format."""
        kind = kind if self.suite.format == 1 else Ours
        private = key or Secret(self.suite.device.generate())
        version = self.do(c2keys.active_version)
        self.do(clients.create, name, self.public(private), version)
        client_id = ClientId(self.suite.derive_id(name))
        device = kind(self.suite, name, client_id, private, self.c2_public(version))
        self.devices[name] = device
        self.privates.setdefault(name, []).append(private)
        return device

    def public(self, private: Secret) -> bytes:
        return self.suite.device.public(self.suite.device.load(private))

    def c2_public(self, version: int) -> bytes:
        keys = {key.version: bytes.fromhex(key.public) for key in self.do(c2keys.all_versions)}
        return keys.get(version, b"")

    def topic(self, name: str, *members: str) -> None:
        """A topic, its key at all members."""
        self.do(topics.create, name)
        if members:
            self.do(topics.join, name, list(members))
            self.settle_down()

    def befriend(self, *names: str) -> None:
        """Each gets the public key of each other, where there are any."""
        if not self.suite.is_symmetric:
            for holder, peer in permutations(names, 2):
                self.do(links.send, holder, peer)
            self.settle_down()

    def greet(self, *names: str) -> None:
        """Let devices say hello."""
        for name in names or list(self.devices):
            device = self.devices[name]
            if isinstance(device, Ours):
                self.reports.append(Incoming(report_topic(device.id), device.hello(self.clock.now)))

    # ------------------------------------------------------------------------------------------------- stepping

    def claim(self, limit: int = 500) -> list[Sealed]:
        return self.do(self.realm.format.claim, limit)

    def publish(self, sealed: Sealed) -> None:
        for payload in sealed.payloads:
            self.wire.append(Sent(sealed.topic, payload, self.clock.now))
            for device in self.devices.values():
                if control_topic(device.id) == sealed.topic and not device.away:
                    device.inbox.append(payload)

    def settle(self, sent: list[Sealed], lost: list[Sealed] | None = None) -> None:
        again = [(*row, self.clock.now) for each in lost or [] for row in each.carried]
        self.store.run(settle, self.realm, [row for each in sent for row in each.carried], again)

    def carry(self) -> bool:
        """Claim, publish and settle what is ready; whether there was anything."""
        sealed = self.claim()
        for each in sealed:
            self.publish(each)
        self.settle(sealed)
        return bool(sealed)

    def obey(self) -> None:
        """All devices work off what has arrived, and send their reports."""
        for device in self.devices.values():
            while device.inbox:
                for report in device.take(device.inbox.popleft(), self.clock.now):
                    self.reports.append(Incoming(report_topic(device.id), report))

    def receive(self) -> list[E4Error]:
        """The C2 takes all reports; what it refused."""
        batch = list(self.reports)
        self.reports.clear()
        return self.store.run(receive_all, self.realm, batch) if batch else []

    def settle_down(self, limit: int = 200) -> None:
        """Go on, second by second, and faster in a long pause, until nothing is on its way and nothing waits."""
        idle = 0
        for _ in range(limit):
            moved = self.carry()
            self.obey()
            moved |= bool(self.reports)
            self.receive()
            if not moved and not self.count(Delivery.PENDING, Delivery.SENDING):
                return
            idle = 0 if moved else idle + 1
            self.clock.now += 1 if idle < 60 else 60
        pytest.fail(f"not quiet after {limit} s: {self.states()}")

    def hear(self, device: Device, data: bytes) -> None:
        """Take one report at once, raising why it is refused."""
        self.take(Incoming(report_topic(device.id), data))

    def take(self, incoming: Incoming) -> None:
        self.do(lambda db, realm: receive(db, realm, c2keys.versions(db, realm), incoming))

    # ------------------------------------------------------------------------------------------------- looking

    def counts(self, operation: commands.Operation) -> dict[str, int]:
        counted = self.store.run(commands.count, bytes.fromhex(operation.id)).counts
        return {state.value: n for state, n in counted.items()}

    def topic_key(self, name: str) -> bytes:
        return bytes(self.do(lambda db, realm: reveal(realm, topic, topics.require(db, realm, name), "key")))

    def count(self, *states: Delivery) -> int:
        where = outbox.c.state.in_([state.value for state in states])
        return self.store.run(lambda db: db.scalar(sa.select(sa.func.count()).where(where)) or 0)

    def deliveries(self, name: str | None = None) -> list[commands.Command]:
        return self.store.run(commands.page, 0, 100_000, name)

    def thin(self) -> None:
        """As the courier does once an hour."""
        after: bytes | None = b""
        while after is not None:
            numbers, after = self.do(retention.overtaken, after)
            self.store.run(retention.forget, numbers)

    def states(self, name: str | None = None) -> list[tuple[str, str, str]]:
        return [(each.client, each.kind, each.state) for each in self.deliveries(name) if each.state not in DONE]

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        return self.store.run(
            lambda db: {
                table.name: sorted((tuple(row) for row in db.execute(sa.select(table))), key=repr)
                for table in metadata.sorted_tables
            }
        )

    def digest_fits(self, name: str) -> bool:
        device = self.devices[name]
        expected = self.do(digests.expected, [device.id])[device.id]
        return isinstance(device, Ours) and device.digest() == expected

    def sent_to(self, name: str, since: int = 0, privates: Sequence[Secret] | None = None) -> list[tuple[int, Any]]:
        """What was published for a device, opened with these of its keys (else all it ever had) and any C2 key: second, command."""
        device = self.devices[name]
        publics = [bytes.fromhex(key.public) for key in self.do(c2keys.all_versions)] or [b""]
        load, at_device = self.suite.device.load, self.suite.control.at_device
        ways = [at_device(load(each), c2) for each in privates or self.privates[name] for c2 in publics]
        found: list[tuple[int, Any]] = []
        for sent in self.wire[since:]:
            for way in ways if sent.topic == control_topic(device.id) else ():
                with suppress(AuthenticationFailed):
                    found += _OPEN[self.suite.format](self.suite, way, device.id, sent)
        return found

    def kinds_sent_to(self, name: str, since: int = 0) -> list[str]:
        """What was published for a device, by the names of the commands, which both formats share."""
        return [type(each).__name__ for _, each in self.sent_to(name, since)]

    def readers(self, topic: str, sender: str) -> set[str]:
        """Who reads a fresh message of ``sender``; senders themselves are not asked."""
        data = self.devices[sender].write(topic, self.clock.now, f"{self.clock.now} {sender}".encode())
        return {name for name, d in self.devices.items() if name != sender and d.read(topic, data, self.clock.now)}

    @contextmanager
    def refuses(self, *errors: type[E4Error], kind: str = "") -> Iterator[None]:
        """What happens inside is refused, and changes no row of any table."""
        before = self.dump()
        with pytest.raises(errors) as caught:
            yield
        assert not kind or caught.value.kind == kind
        assert self.dump() == before


def ours(world: World, name: str) -> Ours:
    device = world.devices[name]
    assert isinstance(device, Ours)
    return device
