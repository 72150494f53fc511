# SPDX-License-Identifier: Apache-2.0
"""Operations that are over are told, each once, with what became of it; and looking for them costs little."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from e4c2 import clients, commands, dead_letters, endings, links, steering, topics
from e4c2.access.grants import WHOLE, Permission
from e4c2.access.principal import Access, Principal, PrincipalKind
from e4c2.api import objects
from e4c2.enrolment import bulk
from e4c2.events import Kind, log
from e4c2.events.log import Event
from e4c2.rows import EXPIRES_S, Realm
from tests.c2.devices import Witness
from tests.c2.served import serving, settings_in
from tests.c2.test_scale import statements
from tests.c2.world import World

ENDS = (Kind.OPERATION_CONFIRMED, Kind.OPERATION_SENT, Kind.OPERATION_FAILED, Kind.OPERATION_EXPIRED)


def told(world: World, after_s: float = 2) -> list[Event]:
    """What is told of operations within ``after_s``, by two that look."""
    before = world.store.run(log.newest)
    world.clock.now += after_s
    for _ in range(2):
        world.do(steering.drive)
    return world.do(log.page, before, 1000, ENDS).events


def test_a_change_is_told_when_its_last_device_has_confirmed(fleet: World) -> None:
    told(fleet)
    fleet.devices["b"].away = True
    made = fleet.do(topics.rotate, "t")
    fleet.settle_down()
    assert told(fleet) == []
    fleet.devices["b"].away = False
    fleet.greet("b")
    fleet.settle_down()
    (event,) = told(fleet, 60)
    assert (event.kind, event.topic, event.client) == ("operation.confirmed", "t", None)
    states = fleet.counts(made)
    assert event.data == {"operation": made.id, "change": "rotate", "subject": "t", **states}
    assert set(states) <= {"confirmed", "superseded"}
    assert told(fleet, 3600) == []


def test_a_change_that_asks_nothing_of_a_device_is_over_at_once(fleet: World) -> None:
    told(fleet)
    fleet.do(topics.create, "empty")
    made = fleet.do(topics.rotate, "empty")
    (event,) = told(fleet)
    assert event.data == {"operation": made.id, "change": "rotate", "subject": "empty"}


@pytest.mark.format(1)
def test_silence_is_told_as_such(world: World) -> None:
    world.add("quiet", Witness)
    world.topic("t", "quiet")
    world.settle_down()
    told(world)
    made = world.do(topics.rotate, "t")
    assert told(world) == [], "nothing is sent"
    world.settle_down()
    (event,) = told(world, 10)
    assert (event.kind, event.data["operation"], event.data["sent"]) == ("operation.sent", made.id, 1)


def test_who_follows_a_change_waits_for_the_same_as_its_event(sk: World, sk2: World) -> None:
    """In Format 1 for who has proved that it reports, in Format 2 for everybody."""
    for world, before, after in ((sk, 1, (0, ["operation.sent"])), (sk2, 2, (1, []))):
        world.add("a")
        world.add("silent", Witness).away = True
        world.topic("t", "a", "silent")
        told(world, endings.LONGEST_S)
        made = world.do(topics.rotate, "t")
        identity = bytes.fromhex(made.id)
        world.carry()
        assert world.store.run(commands.count, identity).awaited == before
        assert told(world) == []
        world.settle_down()
        ends = [event.kind for event in told(world, 60) if event.data["operation"] == made.id]
        assert (world.store.run(commands.count, identity).awaited, ends) == after


def test_a_question_for_an_operation_counts_it_once(sk: World) -> None:
    """However many ask, every second, of a change of a whole fleet."""
    sk.add("a")
    sk.topic("t", "a")
    made = sk.do(topics.rotate, "t")
    access = Access(Principal(PrincipalKind.TOKEN, "id", "name", WHOLE), Permission.COMMANDS_READ)

    def ask(db: sa.Connection, realm: Realm) -> commands.Operation:
        return commands.count(db, objects.Operation(made.id).found(db, realm, access))

    assert sk.do(ask) == made
    seen = statements(sk, ask)
    assert [("FROM outbox" in each, "GROUP BY" in each) for each in seen] == [(False, False)] * 2 + [(True, True)]


def test_what_nobody_answers_has_expired(fleet: World) -> None:
    told(fleet)
    fleet.devices["b"].away = True
    made = fleet.do(topics.rotate, "t")
    fleet.settle_down()
    fleet.clock.now += EXPIRES_S + 1
    fleet.do(dead_letters.expire)
    (event,) = told(fleet, endings.LONGEST_S)
    assert (event.kind, event.data["operation"]) == ("operation.expired", made.id)
    assert (event.data["expired"], event.data["confirmed"]) == (1, 1)


def test_one_refusal_makes_a_failure(fleet: World) -> None:
    told(fleet)
    made = fleet.do(topics.rotate, "t")
    fleet.settle_down()
    fleet.sql(f"UPDATE outbox SET state = 'refused' WHERE id = {fleet.deliveries('a')[-1].id}")
    fleet.sql(f"UPDATE outbox SET state = 'expired' WHERE id = {fleet.deliveries('b')[-1].id}")
    (event,) = told(fleet)
    assert (event.kind, event.data["operation"]) == ("operation.failed", made.id)
    assert (event.data["refused"], event.data["expired"]) == (1, 1)


def test_each_is_told_to_who_sees_what_it_is_about(pk: World) -> None:
    for name in "ab":
        pk.add(name)
    pk.settle_down()
    told(pk)
    pk.do(links.send, "a", "b")
    pk.do(clients.reset, "a")
    pk.settle_down()
    about = {event.data["change"]: (event.client, event.topic, event.data["subject"]) for event in told(pk, 60)}
    assert about == {"link": (None, None, "a <- b"), "reset": ("a", None, "a")}


@pytest.mark.parametrize(("gone", "client"), [(["a"], "a"), (["a", "b"], None)])
def test_no_client_is_named_that_there_never_was(sk: World, gone: list[str], client: str | None) -> None:
    for name in gone:
        sk.add(name)
    told(sk)
    sk.do(bulk.remove_clients, gone)
    (event,) = told(sk)
    assert (event.client, event.data["subject"]) == (client, client or "several clients")


def test_what_nobody_asked_for_is_not_told(sk: World) -> None:
    sk.do(commands.begin, "catch_up", "a")
    assert told(sk, 100) == []
    sk.do(commands.begin, "reset", "a")
    assert [event.client for event in told(sk, 100)] == ["a"]


def test_what_waits_for_long_is_looked_at_ever_less_often(fleet: World) -> None:
    told(fleet)
    for device in fleet.devices.values():
        device.away = True
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    looks = 0
    for _ in range(24 * 60):
        fleet.clock.now += 60
        if fleet.do(endings.is_due):
            looks += 1
            fleet.do(endings.look)
    assert 100 < looks < 200
    fleet.clock.now -= 24 * 3600
    assert fleet.do(endings.is_due), "it was put off by a clock that ran ahead"


def test_a_look_is_a_handful_of_statements_however_many_operations_there_are(sk: World) -> None:
    costs = []
    for number in (1, 40):
        for n in range(number):
            sk.do(topics.create, f"{number} {n}")
            sk.do(topics.rotate, f"{number} {n}")
        sk.clock.now += 2
        costs.append(len(statements(sk, endings.look)))
        assert len(sk.do(log.page, None, 1000, ENDS).events) in (1, 41)
    assert costs[0] == costs[1] <= 5
    sk.add("away")
    sk.topic("t", "away")
    sk.do(topics.rotate, "t")
    sk.clock.now += 2
    assert len(statements(sk, endings.look)) <= 5
    assert len(statements(sk, endings.is_due)) == 1


def test_who_follows_the_events_hears_of_the_end(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2, c2.stranger(c2.token) as http:
        topic = c2.topic("t")
        made = c2.http.post(f"/v1/topics/{topic}/rotate").json()
        query = {"kind": "operation.confirmed"}
        with http.stream("GET", "/v1/events/stream", params=query) as stream:
            line = next(line for line in stream.iter_lines() if made["id"] in line)
    assert '"kind":"operation.confirmed"' in line
