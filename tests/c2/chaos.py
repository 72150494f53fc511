# SPDX-License-Identifier: Apache-2.0
"""A swarm of devices and the C2 processes that serve it, to which anything may happen."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from e4c2 import topics
from e4c2.enrolment import bulk
from e4c2.enrolment.bulk import New
from e4c2.model import Delivery, outbox, replica
from e4c2.rows import Realm
from e4core.errors import StorageError
from e4core.keys import ClientId, Secret, control_topic, report_topic
from e4core.plugins import load_transport
from e4core.suite import Suite
from tests.c2.devices import Ours
from tests.c2.shared import Replicas
from tests.cli.command import program
from tests.databases import DatabaseServer
from tests.servers import free_port

TOPIC = "swarm"
QOS = 1
HELLO_EVERY_S = 30.0
"""Real devices begin sooner and wait twice as long each time; these are too many for one machine to do so."""
WITHIN_S = 180.0
"""For whatever is waited for, on a machine that has other things to do."""
QUIET_LOOKS = 4
PATIENCE_S = 5.0
"""With one C2, before another is asked."""


class Member(Ours):
    """Attributes: applied: keys of the topic that it took into use, in order. received: commands that arrived."""

    def __init__(self, suite: Suite, name: str, private: Secret) -> None:
        super().__init__(suite, name, ClientId(suite.derive_id(name)), private, b"")
        self.applied: list[bytes] = []
        self.received = 0

    def hear(self, payload: bytes, now: float) -> list[bytes]:
        self.received += 1
        before = len(self.handled)
        reports = self.take(payload, now)
        for handled in self.handled[before:]:
            self.applied += [bytes(each.key) for each in handled.commands if hasattr(each, "key")]
        return list(reports)

    def restart(self) -> None:
        """Lose what is in memory only."""
        self.start(getattr(self, "state", self.client.state))


class Swarm:
    """Devices on one connection to the broker, which says hello for all of them after each that the broker has forgotten."""

    def __init__(self, suite: Suite, size: int) -> None:
        privates = {f"d{number}": Secret(suite.device.generate()) for number in range(size)}
        self.members = [Member(suite, name, private) for name, private in privates.items()]
        self._by_topic = {control_topic(each.id): each for each in self.members}
        self._link: Any = None
        self.heard = 0
        """Commands, to whomever, whether they were there or not."""

    def enrol(self, db: Any, realm: Realm) -> None:
        """All of them members of a new topic."""
        device = realm.suite.device
        new = [New(each.name, Secret(device.public(device.load(each.private))), 0) for each in self.members]
        bulk.create_clients(db, realm, new)
        topics.create(db, realm, TOPIC)
        bulk.join(db, realm, TOPIC, [each.name for each in self.members])

    @asynccontextmanager
    async def connected(self, broker: str) -> AsyncIterator[None]:
        async with load_transport(broker, "swarm") as self._link:
            await self._link.subscribe("e4/+")
            work = [asyncio.create_task(self._obey()), asyncio.create_task(self._insist())]
            try:
                yield
            finally:
                for each in work:
                    each.cancel()
                await asyncio.gather(*work, return_exceptions=True)

    @property
    def connections(self) -> int:
        return int(self._link.connections)

    def greet(self, members: Collection[Member]) -> None:
        for each in members:
            self._report(each, each.hello(time.time()))

    async def answered(self) -> None:
        """Until no hello waits for its answer, of those that are there."""
        while not all(each.away or each.client.synchronised for each in self.members):  # noqa: ASYNC110  # known elsewhere
            await asyncio.sleep(0.1)

    def holding(self, key: bytes) -> int:
        return sum(each.key(TOPIC) == key for each in self.members)

    async def _obey(self) -> None:
        async for incoming in self._link:
            self.heard += 1
            member = self._by_topic[incoming.topic]
            if not member.away:
                for report in member.hear(incoming.payload, time.time()):
                    self._report(member, report)

    async def _insist(self) -> None:
        """As devices do: say hello until it is answered."""
        while True:
            await asyncio.sleep(HELLO_EVERY_S)
            self.greet([each for each in self.members if not (each.away or each.client.synchronised)])

    def _report(self, member: Member, report: bytes) -> None:
        sending = asyncio.ensure_future(self._link.publish(report_topic(member.id), report, QOS))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())


class Served:
    """One ``e4 serve`` among several; its data directory outlives its processes."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        self._folder = folder
        others = {name: value for name, value in os.environ.items() if not name.startswith("E4_")}
        self._environment = {**others, **environment}
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def begin(self) -> None:
        """Not waiting until it listens."""
        self._port = free_port()
        self._environment["E4_PORT"] = str(self._port)
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [*program(self._environment), "serve", "--output", "json"],
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def wait(self) -> dict[str, Any]:
        """Until it listens."""
        assert self._process and self._process.stdout
        line = self._process.stdout.readline()
        assert line, (self._folder / "log").read_text()
        found: dict[str, Any] = json.loads(line)
        return found

    @property
    def is_at_work(self) -> bool:
        return self._process is not None

    @property
    def replica(self) -> bytes:
        """As the database names it."""
        return bytes.fromhex((self._folder / "e4-data" / "replica").read_text())

    def pause(self) -> None:
        """It is at the mercy of whoever looks at it now."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        if process:
            process.send_signal(how)
            process.communicate(timeout=30)

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    @property
    def token(self) -> str:
        return (self._folder / "e4-data" / "admin-token").read_text().strip()


class Fleet:
    """Attributes: history: the keys that the topic had, oldest first."""

    def __init__(
        self, several: Replicas, database: DatabaseServer, served: list[Served], swarm: Swarm, seed: int
    ) -> None:
        self.world = several.add()
        self.database = database
        self.served, self.swarm = served, swarm
        self.chance = random.Random(seed)
        self.world.do(swarm.enrol)
        self.history = [self.world.topic_key(TOPIC)]
        self._topic = self.world.do(topics.show, TOPIC).id
        self._http: httpx2.AsyncClient

    @asynccontextmanager
    async def asked_with(self, token: str) -> AsyncIterator[None]:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=20, trust_env=False) as self._http:
            yield

    async def rotate(self) -> None:
        """At whichever answers; the same request again, until one has."""
        key = {"Idempotency-Key": f"rotation-{len(self.history)}"}
        before = self.history[-1]
        while True:
            url = f"{self.chance.choice(self._at_work or self.served).url}/v1/topics/{self._topic}/rotate"
            try:
                answer = await self._http.post(url, headers=key, timeout=PATIENCE_S)
            except httpx2.TransportError:  # it is not there, or holds its breath
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == 202:
                break
            assert answer.status_code in (409, 503), answer.text  # the database is not there; the first is still at it
            await asyncio.sleep(0.1)
        self.history.append(await self._key())
        assert self.history[-1] != before

    @property
    def _at_work(self) -> list[Served]:
        return [each for each in self.served if each.is_at_work]

    async def _key(self) -> bytes:
        while True:
            with suppress(StorageError):
                return await asyncio.to_thread(self.world.topic_key, TOPIC)
            await asyncio.sleep(0.1)

    async def a_while(self) -> None:
        """Less than a rotation takes."""
        await asyncio.sleep(self.chance.uniform(0, 0.5))

    async def taken_over(self, victim: Served) -> None:
        """Until the others hold it for dead: 15 s after its last beat, and not before they have their turn to write."""
        known = sa.select(replica.c.id).where(replica.c.id == victim.replica)
        async with asyncio.timeout(WITHIN_S):
            while await self._asked(known) is not None:  # noqa: ASYNC110  # known elsewhere
                await asyncio.sleep(0.1)

    async def one_with_commands_in_hand(self) -> Served:
        """A replica that has claimed commands and not yet heard of them all, paused amid that."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for each in self._at_work:
                    if await self._in_hand(each.replica):
                        each.pause()
                        if await self._in_hand(each.replica):
                            return each
                        each.go_on()
                await asyncio.sleep(0.02)

    async def settled(self) -> None:
        """Until every hello and every command is answered by who is there, and for a while nothing came to anybody."""
        quiet, before = 0, -1
        async with asyncio.timeout(WITHIN_S):
            await self.swarm.answered()
            while quiet < QUIET_LOOKS:
                now, waiting = self.swarm.heard, await self._unanswered()
                quiet = 0 if waiting or now != before else quiet + 1
                before = now
                await asyncio.sleep(0.5)

    async def _in_hand(self, holder: bytes) -> int:
        """How many commands one has claimed."""
        mine = [outbox.c.state == Delivery.SENDING.value, outbox.c.holder == holder]
        return int(await self._asked(sa.select(sa.func.count()).where(*mine)))

    async def _unanswered(self) -> int:
        """How many commands are still to be sent, or to be answered by who is there."""
        away = [each.id for each in self.swarm.members if each.away]
        unsent = outbox.c.state.in_([Delivery.PENDING.value, Delivery.SENDING.value])
        unheard = sa.and_(outbox.c.state == Delivery.SENT.value, outbox.c.client.not_in(away))
        return int(await self._asked(sa.select(sa.func.count()).where(sa.or_(unsent, unheard))))

    async def _asked(self, question: sa.Select[Any]) -> Any:
        while True:
            with suppress(StorageError):
                return await self.world.store.read(lambda db: db.scalar(question))
            await asyncio.sleep(0.1)

    async def converge(self) -> None:
        """Wait until all hold the newest key."""
        begun = time.monotonic()
        while (held := self.swarm.holding(self.history[-1])) < len(self.swarm.members):
            assert time.monotonic() - begun < WITHIN_S, f"{held} of {len(self.swarm.members)} hold the newest key"
            await asyncio.sleep(0.1)

    def check_order(self) -> None:
        """Nobody ever went back to an older key; what was sent again may have been taken again: by `most_received` not often."""
        place = {key: number for number, key in enumerate(self.history)}
        for each in self.swarm.members:
            applied = [place[key] for key in each.applied]
            assert applied == sorted(applied), f"{each.name} took the keys {applied}"

    def most_received(self) -> int:
        """Commands, by the device that got most; counted anew from now on."""
        most = max(Counter({each.name: each.received for each in self.swarm.members}).values())
        for each in self.swarm.members:
            each.received = 0
        return most
