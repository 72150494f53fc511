# SPDX-License-Identifier: Apache-2.0
"""Events of what nobody asked for at that moment: a KMS is lost and comes back, a topic converges, a checkpoint is signed."""

from __future__ import annotations

from e4c2 import steering, topics
from e4c2.audit import chain, checkpoints
from e4c2.audit.checkpoints import Pace
from e4c2.audit.records import Act
from e4c2.events import Kind, log
from e4c2.events.log import Event
from tests.c2.shop import Shop
from tests.c2.test_locksmith_wraps import leased as leased_fixture
from tests.c2.world import World

__all__ = ["leased"]

leased = leased_fixture


def told(world: World, *kinds: Kind) -> list[Event]:
    return world.do(log.page, None, 1000, kinds).events


def test_a_converged_topic_is_told_once_when_its_last_member_has_confirmed(fleet: World) -> None:
    fleet.do(steering.drive)
    before = len(told(fleet, Kind.TOPIC_CONVERGED))
    fleet.devices["b"].away = True
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    fleet.clock.now += 100
    fleet.do(steering.drive)
    assert len(told(fleet, Kind.TOPIC_CONVERGED)) == before, "b has confirmed nothing"
    fleet.devices["b"].away = False
    fleet.greet("b")
    fleet.settle_down()
    for _ in range(2):
        fleet.do(steering.drive)
    (event,) = told(fleet, Kind.TOPIC_CONVERGED)[before:]
    assert (event.topic, event.data["cause"], event.data["members"], event.data["in_time"]) == (
        "t",
        "rotation",
        2,
        True,
    )
    seconds = event.data["seconds"]
    assert isinstance(seconds, float) and seconds >= 100


def test_a_checkpoint_is_told_with_its_number_and_nothing_when_none_is_due(sk: World) -> None:
    sk.do(chain.append, Act("something"))
    made = sk.do(checkpoints.make, Pace(0))
    assert made is not None
    assert sk.do(checkpoints.make, Pace(3600)) is None
    (event,) = told(sk, Kind.AUDIT_CHECKPOINT)
    assert event.data == {"number": made.number}


def test_a_kms_that_is_lost_for_a_while_is_told_once_and_so_is_its_return(leased: Shop) -> None:
    seen: list[str] = []
    leased.spare.available = False
    lost_at = leased.spare.asked

    def is_back() -> bool:
        seen[:] = [each.kind for each in told(leased.world, Kind.KMS_LOST, Kind.KMS_BACK)]
        leased.spare.available = "kms.lost" in seen and leased.spare.asked > lost_at + 4
        return "kms.back" in seen

    leased.work_until(is_back)
    assert seen == ["kms.lost", "kms.back"]
