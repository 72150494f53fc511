# SPDX-License-Identifier: Apache-2.0
"""What a key server must never do again: each test is named by what must hold where an older one crashed, lost or leaked something.

==========================  ============================================================================================
noise at the broker         a few bytes that are no text, on a topic that it listened to, ended the server
keys that are no points     they were registered, and ended the server at the first command to that client
a new C2 key                it reached the first hundred clients, was in memory only while it was sent, and a database that
                            refused made the server try for ever
strangers                   nobody was asked who he is
flat brokers                a broker whose topics have no levels was accepted, and no command ever left
long absence, device keys,  `tests.c2.test_defects_fleet`
eviction, cells
replicas, automation        `tests.c2.test_defects_shared`
==========================  ============================================================================================
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from e4backends.sk import SUITE
from e4c2 import c2keys, clients, topics
from e4c2.delivery import Courier
from e4c2.model import Delivery, Kind, Reason, c2_key, outbox
from e4c2.reports import REPORTS
from e4c2.rows import reveal
from e4core.client import Client
from e4core.errors import Conflict, InvalidInput, StorageError
from e4core.keys import ClientId, Secret, control_topic
from e4core.plugins import load_transport
from e4core.state import new_state
from e4device.runtime import Device
from e4transports.memory import MemoryBroker
from tests.c2.conftest import Worlds, two
from tests.c2.served import PATIENCE_S, serving, settings_in
from tests.c2.test_courier import Flaky
from tests.c2.world import World
from tests.servers import Mosquitto

NO_TEXT = bytes.fromhex("fffec328a0a1e2ff")
REFUSE = "CREATE TRIGGER refuse BEFORE {} ON {} BEGIN INSERT INTO no_room SELECT 1; END"
"""Makes a database refuse, as one that is full does, with an error of its own."""


@pytest.fixture
def pair(worlds: Worlds) -> World:
    """Of a public-key suite: a and b, and their topic t."""
    return worlds.peopled("pk", two)


def is_reached(world: World, *names: str) -> bool:
    """Whether a rotation of the topic t arrives at them."""
    world.do(topics.rotate, "t")
    world.settle_down()
    return all(world.devices[name].key("t") == world.topic_key("t") for name in names)


# Noise at the broker


def test_a_few_bytes_that_are_no_text_end_nothing_wherever_the_c2_listens(tmp_path: Path, mosquitto: Mosquitto) -> None:
    key, lamp = os.urandom(32), ClientId(SUITE.derive_id("lamp"))
    where = [REPORTS.replace("+", each) for each in (lamp.hex(), "0" * 32, "lamp", "")]

    async def story() -> None:
        async with asyncio.timeout(PATIENCE_S / 2):
            async with load_transport(mosquitto.uri, "") as link:
                for topic_name in where:
                    for length in range(len(NO_TEXT) + 1):
                        await link.publish(topic_name, NO_TEXT[:length], 1)
            client = Client(SUITE, new_state(SUITE, lamp, Secret(key)), lambda _state: None)
            async with Device(client, load_transport(mosquitto.uri, lamp.hex()), hello_delay_s=0) as device:
                await device.wait_synchronised()

    with serving(settings_in(tmp_path, broker=mosquitto.uri)) as c2:
        c2.client("lamp", key)
        asyncio.run(story())
        assert not c2.ended.done()


# Keys that are no points


def is_point(encoded: bytes) -> bool:
    """Whether it is one of edwards25519: whether its y has an x (RFC 8032, section 5.1.3)."""
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    y = int.from_bytes(encoded, "little") % 2**255
    square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
    return pow(square, (p - 1) // 2, p) != p - 1


def test_a_key_that_is_no_point_is_registered_nowhere_and_stops_no_command(pair: World) -> None:
    strings = [hashlib.sha256(bytes([number])).digest() for number in range(24)]
    no_points = [each for each in strings if not is_point(each)]
    assert 4 < len(no_points) < 20
    pair.do(clients.new_key, "b", Reason.COMPROMISED)
    for each in no_points:
        with pair.refuses(InvalidInput):
            pair.do(clients.create, "c", each, 1)
        with pair.refuses(InvalidInput):
            pair.do(clients.enrol, "b", each, 1)
    for number, each in enumerate(strings):  # of a point the C2 may think as it likes, but then it can send to it
        try:
            pair.do(clients.create, f"c{number}", each, 1)
        except InvalidInput:
            continue
        pair.do(topics.join, "t", [f"c{number}"])
    pair.do(c2keys.new, Reason.ROUTINE)
    while pair.carry():
        pass
    assert pair.count(Delivery.SENDING) == 0
    assert is_reached(pair, "a")


# A new C2 key


def test_a_new_c2_key_is_sent_to_all_of_250_clients(pk: World) -> None:
    public = pk.public(Secret(pk.suite.device.generate()))
    pk.do(lambda db, realm: [clients.create(db, realm, f"d{number:03}", public, 1) for number in range(250)])
    operation = pk.do(c2keys.new, Reason.ROUTINE)
    while pk.carry():
        pass
    assert pk.counts(operation) == {"sent": 250}
    of = sa.select(outbox.c.client).where(outbox.c.kind == Kind.C2_KEY.value)
    ids = pk.store.run(lambda db: db.scalars(of).all())
    assert {sent.topic for sent in pk.wire} == {control_topic(ClientId(each)) for each in ids}
    assert len(set(ids)) == 250
    with pk.refuses(Conflict):
        pk.do(c2keys.finish)


def private_keys(world: World) -> list[bytes]:
    """Of the C2, as its database holds them."""
    rows = sa.select(c2_key).order_by(c2_key.c.version)
    return world.do(
        lambda db, realm: [bytes(reveal(realm, c2_key, dict(row), "private")) for row in db.execute(rows).mappings()]
    )


@pytest.mark.parametrize("steps", range(5))
def test_a_new_c2_key_is_stored_before_anyone_hears_of_it_and_outlives_a_crash_at_each_step(
    pair: World, steps: int
) -> None:
    pair.do(c2keys.new, Reason.ROUTINE)
    stored, before = private_keys(pair), len(pair.wire)
    assert (len(stored), pair.count(Delivery.PENDING)) == (2, 2), "nobody was told, and it is there already"
    work: list[Callable[[], object]] = [pair.claim, pair.crash, pair.carry, pair.obey]
    for step in work[:steps]:
        step()
    assert (len(pair.wire) > before) is (steps > 2)
    pair.reports.clear()
    pair.crash()
    assert private_keys(pair) == stored
    assert is_reached(pair, "a", "b")
    assert pair.do(c2keys.finish).version == 2
    assert is_reached(pair, "a", "b")


@pytest.mark.parametrize("table", ["c2_key", "outbox"])
def test_a_new_c2_key_that_the_database_refuses_is_one_error_and_nobody_hears_of_it(pair: World, table: str) -> None:
    pair.sql(REFUSE.format("INSERT", table))
    with pair.refuses(StorageError):
        pair.do(c2keys.new, Reason.ROUTINE)
    assert pair.claim() == []
    pair.sql("DROP TRIGGER refuse")
    pair.do(c2keys.new, Reason.ROUTINE)
    pair.settle_down()
    assert pair.do(c2keys.finish).version == 2


def test_a_database_that_refuses_ends_the_sending_with_its_error(pair: World) -> None:
    pair.do(c2keys.new, Reason.ROUTINE)
    pair.sql(REFUSE.format("UPDATE", "outbox"))
    with pytest.raises(StorageError, match="no_room"):
        run_courier(pair, Flaky(MemoryBroker(), lambda _: False))


def run_courier(world: World, link: Any) -> None:
    """Until it fails. Raises: its error."""

    async def story() -> None:
        async with asyncio.timeout(PATIENCE_S / 2), link:
            await Courier(world.store, world.realm, link).run()

    try:
        asyncio.run(story())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


# Strangers


def test_strangers_read_and_change_nothing_on_any_route(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2, c2.stranger() as http:
        mine = c2.client("my client")
        ids = {"client": mine, "topic": c2.topic("my/topic", mine)}
        before = [c2.http.get(f"/v1/{kind}s").json() for kind in ids]
        paths: dict[str, Any] = c2.http.get("/v1/openapi.json").json()["paths"]
        let_in = set()
        for route in [(method, path) for path, methods in paths.items() for method in methods]:
            path = re.sub(r"{(\w+)}", lambda found: ids.get(found[1], "x"), route[1])
            answer = http.request(route[0], path, json={"name": "x", "clients": [mine]})
            assert not any(each in answer.text for each in ("my client", "my/topic", *ids.values()))
            let_in |= {route} if answer.status_code != 401 else set()
        assert len(paths) > 30
        assert len(let_in) < 6
        assert {method for method, _ in let_in} == {"get"}, "state of health alone"
        assert [c2.http.get(f"/v1/{kind}s").json() for kind in ids] == before


# Flat brokers


class Flat(Flaky):
    """At which topics have no levels."""

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        self._check(topic)
        await super().publish(topic, payload, qos)

    async def subscribe(self, topic: str, /) -> None:
        self._check(topic)
        await super().subscribe(topic)

    def _check(self, topic: str) -> None:
        if "/" in topic:
            raise InvalidInput("a topic has letters, digits, dots and dashes", kind="bad_topic")


def test_a_broker_that_cannot_carry_the_topics_of_the_c2_ends_it_at_once(sk: World) -> None:
    with pytest.raises(InvalidInput, match="letters, digits, dots and dashes"):
        run_courier(sk, Flat(MemoryBroker(), lambda _: False))


@pytest.mark.parametrize("scheme", ["memory", "mqtt"])
def test_brokers_that_are_installed_carry_commands_and_reports(mosquitto: Mosquitto, scheme: str) -> None:
    uri = {"memory": f"memory:{os.urandom(8).hex()}", "mqtt": mosquitto.uri}[scheme]
    command, of = control_topic(ClientId(bytes(16))), REPORTS.replace("+", "0" * 32)

    async def story() -> list[str]:
        async with asyncio.timeout(PATIENCE_S / 2), load_transport(uri, "") as link:
            for each in (command, REPORTS):
                await link.subscribe(each)
            for each in (command, of):
                await link.publish(each, b"\xff", 2)
            return [(await anext(aiter(link))).topic for _ in range(2)]

    assert asyncio.run(story()) == [command, of]
