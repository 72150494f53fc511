# SPDX-License-Identifier: Apache-2.0
"""One audit log of several C2 processes, on PostgreSQL and MariaDB: one chain in the order of the commits, whoever wrote."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from e4backends import sk
from e4c2 import outages
from e4c2.audit import chain, checkpoints, verifying
from e4c2.audit.chain import Filter
from e4c2.audit.checkpoints import Comparison, Pace
from e4c2.audit.records import CUT_OFF, MISSING, Act
from e4c2.audit.signing import Checkpoint
from e4c2.notary import Notary
from e4core.errors import Tampered, TransportError
from e4core.suite import Suite
from e4core.transport import Incoming
from e4transports.memory import MemoryBroker
from tests.c2.served import PATIENCE_S
from tests.c2.shared import Replicas, database
from tests.c2.shared import replicas as replicas_fixture
from tests.c2.world import World

__all__ = ["database", "several"]

several = replicas_fixture
EACH = 12


@pytest.fixture
def suite() -> Suite:
    return sk.SUITE


def test_processes_write_one_chain(several: Replicas) -> None:
    worlds = [several.add() for _ in range(2)]
    first = worlds[0].do(chain.extent).head.number

    def write(world: World) -> None:
        for number in range(EACH):
            world.do(
                chain.append, Act("topics_rotate", "token/01 Ann", objects=(f"topic:{number:032x}", "Ünd\0'\"%_\\"))
            )

    with ThreadPoolExecutor(len(worlds)) as threads:
        list(threads.map(write, worlds))
    last = first + EACH * len(worlds)
    for world in worlds:
        assert world.do(verifying.verify_all).number == last
        told = world.do(chain.page, Filter(action="topics_rotate"), 0, 1000)
        assert [each.number for each in told] == list(range(first + 1, last + 1))
        assert {each.replica for each in told} == {each.realm.replica.hex() for each in worlds}
        for wanted, found in (
            (Filter(object=f"topic:{3:032x}"), len(worlds)),
            (Filter(object=f"TOPIC:{3:032x}"), 0),
            (Filter(object="Ünd\\0'\"%_\\"), EACH * len(worlds)),
            (Filter(principal="token/01"), EACH * len(worlds)),
            (Filter(principal="token/01 ann"), 0),
            (Filter(action="Topics_rotate"), 0),
        ):
            assert len(world.do(chain.page, wanted, 0, 1000)) == found, wanted
    made = worlds[0].do(checkpoints.make, Pace(0))
    assert made is not None
    assert worlds[1].do(checkpoints.make, Pace(0)) is None
    assert worlds[1].do(checkpoints.compare, made) == Comparison(0, 0)
    worlds[1].sql("DELETE FROM audit_record WHERE number = :last", last=last)
    with pytest.raises(Tampered) as caught:
        worlds[0].do(verifying.verify_all)
    assert caught.value.kind == CUT_OFF
    worlds[1].sql("DELETE FROM audit_record WHERE number = 2")
    with pytest.raises(Tampered) as caught:
        worlds[0].do(verifying.verify_all)
    assert caught.value.kind == MISSING


def test_a_log_is_pruned_there_too(several: Replicas) -> None:
    world, other = several.add(), several.add()
    made = world.do(checkpoints.make, Pace(0))
    assert made is not None
    assert other.do(checkpoints.prune, made.time + 1).number == made.number
    world.do(chain.append, Act("after"))
    assert other.do(verifying.verify_all).number == made.number + 1


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_checkpoint_that_comes_late_does_not_stay_in_the_place_of_a_newer_one(
    several: Replicas, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    """Another C2 publishes its own while this one tries."""
    monkeypatch.setattr(outages, "FIRST_PAUSE_S", 0.01)
    one, other = several.add(), several.add()
    made, tried, kept = one.do(checkpoints.make, Pace(0)), list[int](), list[int]()
    assert made is not None

    def tap(seen: Incoming) -> None:
        tried.append(Checkpoint.decode(seen.payload).number)
        if len(tried) == 1:
            other.do(chain.append, Act("later"))
            assert other.do(checkpoints.make, Pace(0)) is not None
            kept.append(made.number + 1)
            if is_refused:
                raise TransportError("the broker is away")
        kept.append(tried[-1])

    async def work() -> None:
        broker = MemoryBroker()
        broker.taps.append(tap)
        async with broker.connect("c2") as link:
            working = asyncio.create_task(Notary(one.store, one.realm, link, "witness", Pace(3600)).run())
            async with asyncio.timeout(PATIENCE_S):
                while len(tried) < 2 and not working.done():  # noqa: ASYNC110  told by nobody
                    await asyncio.sleep(0.01)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(work())
    assert (tried[0], tried[-1]) == (made.number, made.number + 1)
    assert kept[-1] == made.number + 1
    assert kept.count(made.number) == (0 if is_refused else 1)
