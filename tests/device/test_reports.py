# SPDX-License-Identifier: Apache-2.0
"""Reports that no broker takes: they wait in bounded number, and what cannot be made again waits longest."""

from __future__ import annotations

import asyncio
from itertools import count

from e4core.command2 import NewIDKey
from e4core.obeying import Handled
from e4core.report import Outcome
from e4device.reports import REPORTS_KEPT, Reports
from e4device.runtime import Device
from e4transports.memory import MemoryBroker, MemoryTransport
from tests.core.fleet import NOW
from tests.core.fleet2 import Device2
from tests.core.suites2 import GCM_PK
from tests.device.fleet import PATIENCE_S, until


def handled(outcome: Outcome, *reports: bytes) -> Handled[object]:
    return Handled(outcome, (), None, reports)


async def read(reports: Reports) -> list[bytes]:
    return [await reports.get() for _ in range(len(reports))]


def test_repetitions_push_out_only_each_other() -> None:
    async def story() -> None:
        reports = Reports()
        reports.put(handled(Outcome.APPLIED, b"applied", b"offer"))
        for i in range(3 * REPORTS_KEPT):
            reports.put(handled(Outcome.ALREADY, b"already %d" % i))
        reports.put(handled(Outcome.REFUSED, b"refused"))
        kept = range(2 * REPORTS_KEPT + 3, 3 * REPORTS_KEPT)
        assert await read(reports) == [b"applied", b"offer", *(b"already %d" % i for i in kept), b"refused"]

    asyncio.run(story())


def test_of_those_that_cannot_be_made_again_the_newest_stay() -> None:
    async def story() -> None:
        reports = Reports()
        reports.put(handled(Outcome.ALREADY, b"already"))
        for i in range(REPORTS_KEPT + 5):
            reports.put(handled(Outcome.APPLIED, bytes([i])))
        assert await read(reports) == [bytes([i]) for i in range(5, REPORTS_KEPT + 5)]

    asyncio.run(story())


class Deaf(MemoryTransport):
    """At a broker that acknowledges nothing."""

    async def publish(self, _topic: str, _payload: bytes, _qos: int = 1, /) -> None:
        await asyncio.Event().wait()


def test_a_broker_that_acknowledges_nothing_does_not_fill_the_memory_of_a_device() -> None:
    async def story() -> None:
        enrolled, broker, hours = Device2(GCM_PK), MemoryBroker(), count(NOW, 3600)
        running = Device(enrolled.client, Deaf(broker, "device"), lambda: next(hours), hello_delay_s=0)
        async with asyncio.timeout(PATIENCE_S), running as device:
            asked = enrolled.sealed(NewIDKey(b"n" * 16))
            for _ in range(2 * REPORTS_KEPT):
                broker.publish(enrolled.client.state.control_topic, asked)
            await until(lambda: device.counters.commands.total() == 2 * REPORTS_KEPT)
            assert device.counters.commands == {"applied": 1, "already": 2 * REPORTS_KEPT - 1}
            # one may be on its way
            assert REPORTS_KEPT - 1 <= len(device._reports) <= REPORTS_KEPT

    asyncio.run(story())
