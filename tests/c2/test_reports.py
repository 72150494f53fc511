# SPDX-License-Identifier: Apache-2.0
"""Reports: anything may arrive; only what is authentic and fresh changes anything."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from e4c2 import clients, topics
from e4c2.acks import MAX_OUTDATED
from e4c2.model import Reason, client
from e4c2.reports import receive_all
from e4core import container, report
from e4core.errors import AuthenticationFailed, Denied, E4Error, InvalidInput, UnknownKey
from e4core.keys import ClientId, report_topic
from e4core.report import Ack, Hello, Outcome
from e4core.transport import Incoming
from tests.c2.conftest import Worlds
from tests.c2.devices import Ours
from tests.c2.world import World, ours

ZERO = ClientId(bytes(16))


def sealed(device: Ours, content: report.Report) -> bytes:
    return report.seal(device.suite, device.channel(), device.id, content, os.urandom(16))


def without_times(dump: dict[str, list[tuple[Any, ...]]], world: World) -> dict[str, list[tuple[Any, ...]]]:
    place = list(client.c.keys()).index("last_report")
    return {**dump, "client": [(*row[:place], *row[place + 1 :]) for row in dump["client"]]}


def test_garbage_of_any_kind_is_refused_and_changes_nothing(all_worlds: Worlds) -> None:
    world = all_worlds("pk")
    a, b = world.add("a"), world.add("b")
    world.topic("t", "a", "b")
    good = a.hello(world.clock.now)
    before = world.dump()
    a_topic = report_topic(a.id)
    place = st.sampled_from([a_topic, report_topic(ZERO)]) | st.text(max_size=60) | st.just(a_topic.upper())
    body = st.binary(max_size=120) | st.builds(lambda tail: good[:26] + tail, st.binary(max_size=80))
    flips = st.tuples(st.integers(0, len(good) - 1), st.integers(1, 255))
    flipped = flips.map(lambda f: good[: f[0]] + bytes([good[f[0]] ^ f[1]]) + good[f[0] + 1 :])

    @settings(max_examples=150, deadline=None)
    @given(place, body | flipped)
    @example(a_topic, b"")
    @example(a_topic, good[:-1])
    @example(a_topic, good + b"\0")
    @example(a_topic + "\n", good)
    @example(a_topic.replace("report", "Report"), good)
    @example(report_topic(b.id), good)
    @example("e4/" + "g" * 32 + "/report", good)
    @example("e4/" + "\u0660" * 32 + "/report", good)
    def law(topic: str, payload: bytes) -> None:
        with pytest.raises(E4Error):
            world.take(Incoming(topic, payload))
        assert len(world.do(receive_all, [Incoming(topic, payload)])) == 1

    law()
    assert world.dump() == before


def test_authentic_container_with_any_content_is_a_report_or_refused(all_worlds: Worlds) -> None:
    world = all_worlds("sk")
    a = world.add("a")
    before = world.dump()
    info = container.REPORT._info(a.suite, a.id)

    @settings(max_examples=80, deadline=None)
    @given(st.binary(min_size=1, max_size=60).filter(lambda data: data[0] not in (0, 1) or len(data) not in (41, 43)))
    def law(plain: bytes) -> None:
        header = b"\x02\x02" + bytes(8) + os.urandom(16)
        data = header + a.channel().seal(info, header, plain)
        with pytest.raises(InvalidInput):
            world.take(Incoming(report_topic(a.id), data))

    law()
    assert world.dump() == before


def test_report_of_another_client_is_refused(fleet: World) -> None:
    a, b = ours(fleet, "a"), ours(fleet, "b")
    with fleet.refuses(AuthenticationFailed):
        fleet.hear(b, a.hello(fleet.clock.now))


def test_oversize_report_is_refused(fleet: World) -> None:
    a = ours(fleet, "a")
    with fleet.refuses(InvalidInput):
        fleet.hear(a, a.hello(fleet.clock.now) + bytes(report.longest(a.suite)))


def test_unknown_and_suspended_clients_are_refused(fleet: World) -> None:
    a = ours(fleet, "a")
    with fleet.refuses(UnknownKey):
        fleet.take(Incoming(report_topic(ZERO), a.hello(fleet.clock.now)))
    fleet.do(clients.new_key, "a", Reason.COMPROMISED)
    with fleet.refuses(Denied):
        fleet.hear(a, a.hello(fleet.clock.now))


def test_one_bad_report_does_not_spoil_a_batch(fleet: World) -> None:
    a = ours(fleet, "a")
    hello = Incoming(report_topic(a.id), a.hello(fleet.clock.now))
    refused = fleet.do(receive_all, [Incoming("x", b""), hello, Incoming(hello.topic, b"y")])
    assert [error.kind for error in refused] == ["bad_report", "bad_length"]
    assert ("a", "sync", "pending") in fleet.states()


def test_hello_is_answered_and_the_device_synchronised(fleet: World) -> None:
    a = ours(fleet, "a")
    fleet.greet("a")
    before = a.client.synchronised
    fleet.settle_down()
    assert (before, a.client.synchronised) == (False, True)
    assert fleet.do(clients.show, "a").reports
    assert fleet.do(clients.show, "a").last_report is not None


def test_replayed_hello_gives_one_sync_in_ten_seconds_and_changes_nothing_else(fleet: World) -> None:
    a = ours(fleet, "a")
    hello = a.hello(fleet.clock.now)  # recorded, and at first withheld, as Format 2 answers none twice
    fleet.hear(a, a.hello(fleet.clock.now))
    fleet.settle_down()
    fleet.clock.now = int(fleet.clock.now) + 0.0
    fleet.clock.now += 20
    before, sent = without_times(fleet.dump(), fleet), len(fleet.wire)
    fleet.hear(a, hello)
    for _ in range(9):
        fleet.hear(a, hello)
        fleet.carry()
        fleet.clock.now += 1
    assert len(fleet.wire) - sent == 1
    fleet.obey()
    fleet.receive()
    after = without_times(fleet.dump(), fleet)
    numbered = {"command_sequence", "ledger"} if fleet.suite.format == 2 else set()
    assert {table for table in before if before[table] != after[table]} == {"outbox"} | numbered
    assert len(after["outbox"]) == len(before["outbox"]) + 1
    assert {row[1] for row in after["operation"]} == {row[1] for row in before["operation"]}


def test_replayed_hello_is_no_sign_of_life(fleet: World) -> None:
    a = ours(fleet, "a")
    hello = a.hello(fleet.clock.now)
    fleet.hear(a, hello)
    fleet.settle_down()
    seen = fleet.do(clients.show, "a").last_report
    fleet.devices["a"].away = True
    fleet.clock.now += 86400
    fleet.hear(a, hello)
    fleet.settle_down()
    assert fleet.do(clients.show, "a").last_report == seen


def test_hello_is_answered_after_the_clock_was_set_back(fleet: World) -> None:
    fleet.greet("a")
    fleet.settle_down()
    fleet.clock.now -= 3600
    ours(fleet, "a").client._nonce = b""
    fleet.greet("a")
    fleet.receive()
    assert ("a", "sync", "pending") in fleet.states()


@pytest.mark.format(1)
def test_replayed_and_forged_acks_change_nothing(fleet: World) -> None:
    a = ours(fleet, "a")
    fleet.do(topics.rotate, "t")
    fleet.carry()
    fleet.obey()
    acks = list(fleet.reports)
    fleet.receive()
    fleet.do(topics.rotate, "t")
    fleet.carry()
    a.away = True
    before = without_times(fleet.dump(), fleet)
    for ack in acks:
        fleet.take(ack)
    for outcome, refusal in ((Outcome.APPLIED, ""), (Outcome.REFUSED, "bad_key"), (Outcome.OUTDATED, "")):
        fleet.hear(a, sealed(a, Ack(bytes(16), os.urandom(16), outcome, refusal)))
        fleet.hear(a, sealed(a, Ack(bytes(16), bytes(16), outcome, refusal)))
    assert without_times(fleet.dump(), fleet) == before
    assert fleet.states("a") == [("a", "topic", "sent")]


def test_replayed_ack_is_no_sign_of_life(fleet: World) -> None:
    fleet.do(topics.rotate, "t")
    fleet.carry()
    fleet.obey()
    acks = list(fleet.reports)
    fleet.receive()
    fleet.clock.now += 86400
    before = fleet.dump()
    for ack in acks:
        fleet.take(ack)
    assert fleet.dump() == before


@pytest.mark.format(1)
@pytest.mark.parametrize("refusal", report.REFUSALS)
def test_refused_command_is_shown_with_its_reason(fleet: World, refusal: str) -> None:
    a = ours(fleet, "a")
    operation = fleet.do(topics.rotate, "t")
    (mine,) = (each for each in fleet.claim() if each.client == a.id)
    fleet.hear(a, sealed(a, Ack(a.digest(), mine.tags[:16], Outcome.REFUSED, refusal)))
    (seen,) = (each for each in fleet.deliveries("a") if each.operation == operation.id)
    expected = ("confirmed", None) if refusal == "pubkey_missing" else ("refused", refusal)
    assert (seen.state, seen.refusal) == expected


@pytest.mark.format(1)
def test_command_that_came_too_late_is_sealed_anew_a_few_times(fleet: World) -> None:
    a = ours(fleet, "a")
    operation = fleet.do(topics.rotate, "t")
    for _ in range(20):
        fleet.clock.now += 2
        for each in fleet.claim():
            if each.client == a.id:
                fleet.hear(a, sealed(a, Ack(a.digest(), each.tags[:16], Outcome.OUTDATED)))
    (seen,) = (each for each in fleet.deliveries("a") if each.operation == operation.id)
    assert (seen.state, seen.refusal) == ("refused", "timestamp_old")
    assert 1 < seen.attempts <= MAX_OUTDATED


def test_device_that_lost_everything_is_brought_up_to_date_by_its_hello_C_6(world: World) -> None:
    a = world.add("a")
    for name in "tuv":
        world.topic(name, "a")
    a.away = True
    for name in "tu":
        world.do(topics.rotate, name)
    world.do(topics.remove, "v")
    world.settle_down()
    world.clock.now += 30 * 86400
    a.away = False
    world.greet("a")
    world.settle_down()
    assert world.digest_fits("a")
    assert world.states("a") == []


def test_catch_up_that_was_lost_is_made_up_for_by_the_next_hello(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    a.away = True
    world.do(topics.rotate, "t")
    world.settle_down()
    world.clock.now += 700
    a.away = False
    world.greet("a")
    world.receive()
    world.carry()
    world.obey()
    world.receive()  # the catch-up is now in the outbox
    a.away = True
    world.settle_down()
    a.away = False
    world.clock.now += 12
    world.greet("a")
    world.settle_down()
    for _ in range(120):  # nothing more comes from the device: it is synchronised as far as it knows
        world.clock.now += 1
        world.carry()
        world.obey()
        world.receive()
    assert world.digest_fits("a")


def test_hello_with_the_hash_of_a_topic_as_nonce_harms_only_its_sender(fleet: World) -> None:
    a = ours(fleet, "a")
    nonce = fleet.suite.derive_id("t")
    fleet.hear(a, sealed(a, Hello(bytes(16), nonce)))
    fleet.settle_down()
    assert fleet.digest_fits("a")
    assert fleet.digest_fits("b")
