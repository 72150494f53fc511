# SPDX-License-Identifier: Apache-2.0
"""Format 2: one command a device, with all that it is still to do, under a number that never comes again."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import clients, commands, topics
from e4c2.model import Delivery, Kind, Reason, command_sequence, outbox
from e4c2.sealing2 import DELIVERIES_MOST, GRACE_S
from e4core.command2 import RemoveTopic, SetPubKey, SetTopicKey
from e4core.control2 import sequence_of
from e4core.errors import AuthenticationFailed, E4Error
from e4core.keys import Secret, control_topic
from tests.c2.world import Sent, World

pytestmark = pytest.mark.format(2)


def sent_to(world: World, name: str) -> list[Sent]:
    return [each for each in world.wire if each.topic == control_topic(world.devices[name].id)]


def numbers(world: World, name: str) -> list[int]:
    return [sequence_of(world.suite, each.payload) for each in sent_to(world, name)]


def topic_keys(world: World, name: str, since: int) -> list[SetTopicKey]:
    return [each for _, each in world.sent_to(name, since) if isinstance(each, SetTopicKey)]


def test_all_that_waits_for_a_device_is_one_command(world: World) -> None:
    world.add("a")
    for topic in "tuvw":
        world.do(topics.create, topic)
        world.do(topics.join, topic, ["a"])
    assert [len(each.payloads) for each in world.claim()] == [1]
    world.crash()
    world.settle_down()
    assert sorted(world.kinds_sent_to("a")) == ["SetTopicKey"] * 4
    assert world.digest_fits("a")


def test_command_contains_what_the_one_before_it_has_not_confirmed(world: World) -> None:
    a = world.add("a")
    for topic in "tu":
        world.do(topics.create, topic)
    operations = []
    a.away = True
    for topic in "tu":
        operations.append(world.do(topics.join, topic, ["a"]))
        world.carry()
        world.clock.now += 1
    a.away = False
    lost, latest = sent_to(world, "a")
    a.inbox.append(latest.payload)
    world.settle_down()
    assert a.key("t") == world.topic_key("t")
    assert a.key("u") == world.topic_key("u")
    assert [world.counts(each) for each in operations] == [{"confirmed": 1}] * 2
    a.inbox.append(lost.payload)
    world.obey()
    assert not world.reports, "a command that is out of date is not even answered"


def test_what_is_confirmed_is_not_sent_again(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.topic("u", "a")
    before = len(world.wire)
    world.do(topics.rotate, "u")
    world.settle_down()
    assert [each.topic for each in topic_keys(world, "a", before)] == [world.suite.derive_topic("u")]


def test_rotations_that_were_sent_in_vain_leave_one_delivery(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    a.away = True
    for _ in range(30):
        world.do(topics.rotate, "t")
        world.carry()
        world.clock.now += 60
    assert world.states("a") == [("a", "topic", "sent")]


def test_sequences_rise_whatever_the_clock_does(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    for step in (0, -3600, 5, 1e6, -1e6, 0.000_001):
        world.clock.now += step
        world.do(topics.rotate, "t")
        world.carry()
        world.obey()
        world.crash()
        world.receive()
    mine = numbers(world, "a")
    assert mine == sorted(set(mine))
    assert world.digest_fits("a")


def test_sequence_is_a_microsecond_of_the_clock(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    assert numbers(world, "a") == [int(sent.now * 1_000_000) for sent in sent_to(world, "a")]


def test_restored_c2_repeats_no_sequence_and_no_epoch(world: World) -> None:
    """As all that it did since the backup is gone, the clock alone knows better."""
    a = world.add("a")
    world.topic("t", "a")
    world.store.close()
    backup = world.database.read_bytes()
    world.open()
    for _ in range(3):
        world.clock.now += 10
        world.do(topics.rotate, "t")
        world.settle_down()
    used, epochs = numbers(world, "a"), {each.epoch for each in topic_keys(world, "a", 0)}
    world.store.close()
    world.database.write_bytes(backup)
    world.open()
    before = len(world.wire)
    world.clock.now += 1
    world.do(topics.rotate, "t")
    world.settle_down()
    assert min(numbers(world, "a")[len(used) :]) > max(used)
    assert {each.epoch for each in topic_keys(world, "a", before)}.isdisjoint(epochs)
    assert a.key("t") == world.topic_key("t")


def test_salt_and_so_every_byte_is_fresh_when_the_same_is_sent_again(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    a.away = True
    world.do(topics.rotate, "t")
    for _ in range(3):
        world.claim()
        world.crash()
    world.carry()
    salts = [each.payload[10:26] for each in sent_to(world, "a")]
    assert len(set(salts)) == len(salts)


def test_device_gets_the_end_of_the_former_key_as_a_time(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.befriend("a", "b")
    world.topic("t", "a", "b")
    world.clock.now += 100
    late, rotated, before = a.write("t", world.clock.now, b"late"), int(world.clock.now), len(world.wire)
    b.away = True
    world.do(topics.rotate, "t")
    world.settle_down()
    world.clock.now = rotated + GRACE_S - 60.0
    b.away = False
    world.greet("b")
    world.settle_down()
    assert {each.older_until for each in topic_keys(world, "b", before)} == {rotated + GRACE_S}
    assert b.read("t", late, world.clock.now) == b"late"
    world.clock.now = rotated + GRACE_S + 1.0
    b.client.erase_expired(world.clock.now)
    assert b.read("t", a.write("t", world.clock.now, b"new"), world.clock.now) == b"new"
    assert b.read("t", late, world.clock.now) is None


def test_eviction_ends_older_keys_at_once_also_for_who_hears_of_it_with_a_later_rotation(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.befriend("a", "b")
    world.topic("t", "a", "b")
    thief, before = a.thief(), len(world.wire)
    b.away = True
    world.do(topics.leave, "t", ["a"])
    world.settle_down()
    world.do(topics.rotate, "t")
    world.settle_down()
    b.away = False
    world.greet("b")
    world.settle_down()
    assert {each.older_until for each in topic_keys(world, "b", before)} == {0}
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None


def test_eviction_is_not_forgotten_for_a_device_that_was_never_heard(world: World) -> None:
    """All its reports are lost; the broker has taken the command that evicts, which never arrives."""
    a, b = world.add("a"), world.add("b")
    world.do(topics.create, "t")
    world.do(topics.join, "t", ["a", "b"])
    world.carry()
    world.obey()
    world.reports.clear()
    thief, before = a.thief(), len(world.wire)
    b.away = True
    world.do(topics.leave, "t", ["a"])
    world.carry()
    b.away = False
    world.do(topics.rotate, "t")
    world.settle_down()
    assert {each.older_until for each in topic_keys(world, "b", before)} == {0}
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None


def test_topic_that_is_gone_is_named_in_full(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    before = len(world.wire)
    world.do(topics.remove, "t")
    world.settle_down()
    assert [each for _, each in world.sent_to("a", before)] == [RemoveTopic(world.suite.derive_topic("t"))]  # type: ignore[arg-type]


def test_holders_get_the_signature_key_alone_and_the_former_one_for_a_while(pk2: World) -> None:
    for name in "ab":
        pk2.add(name)
    pk2.befriend("a", "b")
    before, made = len(pk2.wire), int(pk2.clock.now)
    pk2.do(clients.new_key, "b", Reason.ROUTINE)
    pk2.settle_down()
    (told,) = [each for _, each in pk2.sent_to("a", before) if isinstance(each, SetPubKey)]
    assert pk2.suite.signature is not None
    assert len(told.public) == pk2.suite.signature.public_len < pk2.suite.device.public_len
    assert told.old_until >= made + GRACE_S


def test_compromised_signature_key_is_believed_no_more(pk2: World) -> None:
    a, b = pk2.add("a"), pk2.add("b")
    pk2.befriend("a", "b")
    pk2.topic("t", "a", "b")
    thief = b.thief()
    a.away = True
    pk2.do(clients.new_key, "b", Reason.COMPROMISED)
    pk2.settle_down()
    fresh = type(b)(pk2.suite, "b", b.id, new := Secret(pk2.suite.device.generate()), pk2.c2_public(1))
    pk2.devices["b"] = fresh
    pk2.privates["b"].append(new)
    before = len(pk2.wire)
    pk2.do(clients.enrol, "b", pk2.public(new), 1)
    pk2.settle_down()
    a.away = False
    pk2.greet("a", "b")
    pk2.settle_down()
    assert {each.old_until for _, each in pk2.sent_to("a", before) if isinstance(each, SetPubKey)} == {0}
    assert a.read("t", thief.write("t", pk2.clock.now), pk2.clock.now) is None
    assert a.read("t", fresh.write("t", pk2.clock.now, b"fresh"), pk2.clock.now) == b"fresh"


def test_suspended_client_is_sent_nothing(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(topics.rotate, "t")
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    world.store.run(lambda db: commands.enqueue(db, world.realm, None, [world.devices["a"].id], Kind.RESET_TOPICS))
    assert [each for each in world.claim() if each.payloads] == []
    assert not world.count(Delivery.PENDING, Delivery.SENDING)


def test_rows_of_the_outbox_that_nobody_could_have_written_grant_nothing(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.topic("t", "b")

    def forge(db: sa.Connection) -> None:
        t = world.suite.derive_id("t")
        wanted = [(Kind.TOPIC, t), (Kind.TOPIC, bytes(16)), (Kind.ID_KEY, bytes(16)), (Kind.SWITCH, bytes(16))]
        wanted += [] if world.suite.is_symmetric else [(Kind.PEER, bytes(b.id))]
        for kind, target in wanted:
            commands.enqueue(db, world.realm, None, [a.id], kind, target)

    world.store.run(forge)
    world.settle_down()
    assert not {"SetTopicKey", "SetPubKey", "SetIDKey", "NewIDKey"} & set(world.kinds_sent_to("a"))
    assert (a.client.state.topics, a.client.state.peers) == ({}, {})
    assert world.states("a") == [], "what asks for nothing is not kept"


def test_what_waits_longer_than_any_pause_was_ordered_under_a_wrong_clock(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(topics.rotate, "t")
    world.store.run(lambda db: db.execute(sa.update(outbox).values(not_before=world.clock.now + 1e6)) and None)
    assert len(world.claim()) == 1


def test_device_that_waits_keeps_nobody_else(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    world.do(topics.rotate, "t")
    later = sa.update(outbox).where(outbox.c.client == world.devices["a"].id).values(not_before=world.clock.now + 60)
    world.store.run(lambda db: db.execute(later) and None)
    assert [each.client for each in world.claim()] == [world.devices["b"].id]


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_portions_of_any_size_reach_all_devices(world: World, limit: int) -> None:
    names = [f"d{i}" for i in range(5)]
    for name in names:
        world.add(name)
    for topic in "tu":
        world.do(topics.create, topic)
        world.do(topics.join, topic, names)
    claimed = []
    while sealed := world.claim(limit):
        assert len(sealed) <= limit
        claimed += [each.client for each in sealed]
    assert sorted(claimed) == sorted(bytes(world.devices[name].id) for name in names)


def test_transaction_has_no_more_deliveries_than_is_good_for_the_database(world: World) -> None:
    names = "abcd"
    for name in names:
        world.add(name)
    row = {"kind": "topic", "purge": False, "state": "pending", "created": 0.0, "not_before": 0.0, "attempts": 0}
    each = DELIVERIES_MOST * 2 // 3
    rows = [{**row, "client": world.devices[n].id, "object": os.urandom(16)} for n in names for _ in range(each)]
    world.store.run(lambda db: db.execute(sa.insert(outbox), rows) and None)
    claims = 0
    while claimed := world.claim():
        assert len(claimed) == 1
        claims += 1
    assert claims == len(names)
    assert not world.count(Delivery.PENDING)


def test_device_for_which_there_is_too_much_gets_it_all_the_same(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    row = {"kind": "topic", "purge": False, "state": "pending", "created": 0.0, "not_before": 0.0, "attempts": 0}
    rows = [{**row, "client": world.devices["a"].id, "object": os.urandom(16)} for _ in range(DELIVERIES_MOST + 1)]
    world.store.run(lambda db: db.execute(sa.insert(outbox), rows) and None)
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.devices["a"].key("t") == world.topic_key("t")


def test_command_opens_at_its_own_device_alone(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.topic("t", "a", "b")
    world.do(topics.rotate, "t")
    world.carry()
    swapped = {"a": b.inbox.popleft(), "b": a.inbox.popleft()}
    before = [a.client.state, b.client.state]
    for name, payload in swapped.items():
        with pytest.raises(AuthenticationFailed):
            world.devices[name].client.command(payload, world.clock.now)  # type: ignore[attr-defined]
    assert [a.client.state, b.client.state] == before


def test_client_that_is_removed_and_made_anew_begins_anew(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    world.do(clients.remove, "a")
    assert world.dump()["command_sequence"] == []
    again = world.add("a")
    world.do(topics.join, "t", ["a"])
    world.settle_down()
    assert again.key("t") == world.topic_key("t") != a.key("t")


def test_claim_that_fails_at_any_statement_takes_no_sequence(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    world.do(topics.rotate, "t")
    before = world.dump()
    done = 0
    while done < 100:
        with suppress(E4Error):
            try:
                world.do(_failing, done)
            except ZeroDivisionError:
                assert world.dump() == before
                done += 1
                continue
        break
    assert done > 5
    assert world.dump()[command_sequence.name] != before[command_sequence.name]


def _failing(db: sa.Connection, realm: Any, fail_at: int) -> None:
    count = 0

    def each(*_: object) -> None:
        nonlocal count
        count += 1
        if count > fail_at:
            raise ZeroDivisionError

    sa.event.listen(db, "before_cursor_execute", each)
    try:
        realm.format.claim(db, realm, 500)
    finally:
        sa.event.remove(db, "before_cursor_execute", each)


def test_links_and_topics_of_a_device_come_in_one_catch_up(pk2: World) -> None:
    for name in "abc":
        pk2.add(name)
    pk2.befriend(*"abc")
    for topic in "tu":
        pk2.topic(topic, "a")
    before = len(pk2.wire)
    pk2.do(clients.reset, "a")
    pk2.settle_down()
    kinds = pk2.kinds_sent_to("a", before)
    assert kinds == ["ResetTopics", *["SetTopicKey"] * 2, "ResetPubKeys", *["SetPubKey"] * 2]
    assert len([each for each in pk2.wire[before:] if each in sent_to(pk2, "a")]) == 1
