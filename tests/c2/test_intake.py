# SPDX-License-Identifier: Apache-2.0
"""What is said of a report before the database is asked, and how much of it: nobody can make the C2 work by noise."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from e4backends.sk import SUITE
from e4c2 import clients
from e4c2.intake import FOR_ALL, PER_CLIENT, REREADS, Intake, Limit
from e4c2.reports import receive_all, senders
from e4core import report
from e4core.errors import Tampered, UnknownKey
from e4core.keys import ClientId, report_topic
from e4core.transport import Incoming
from tests.c2.world import World

HEADER = b"\x02\x02" + bytes(24)
FITS = HEADER + bytes(report.longest(SUITE) - len(HEADER))
"""No report, which cannot be seen without a key."""


def client_id(number: int) -> ClientId:
    return ClientId(number.to_bytes(16, "big"))


@dataclass
class Door:
    """An intake whose clock and clients are the test's; ``reads`` counts how often the clients were read."""

    ids: set[bytes] = field(default_factory=lambda: {client_id(1), client_id(2)})
    now: float = 1e5
    reads: int = 0

    def __post_init__(self) -> None:
        self.intake = Intake(SUITE, self._read, lambda: self.now)

    async def _read(self) -> frozenset[bytes]:
        self.reads += 1
        return frozenset(self.ids)

    def admits(self, of: int = 1, payload: bytes = FITS, topic: str = "") -> bool:
        return asyncio.run(self.intake.admits(Incoming(topic or report_topic(client_id(of)), payload)))

    def admitted(self, times: int, of: int = 1) -> int:
        async def story() -> int:
            incoming = Incoming(report_topic(client_id(of)), FITS)
            return sum([await self.intake.admits(incoming) for _ in range(times)])

        return asyncio.run(story())


@pytest.mark.parametrize(
    ("topic", "payload", "kind"),
    [
        ("e4/x/report", b"", "bad_report"),
        (report_topic(client_id(1)) + "/", FITS, "bad_report"),
        (report_topic(client_id(1)), FITS + b"\0", "bad_length"),
        (report_topic(client_id(1)), HEADER + bytes(16), "bad_length"),
        (report_topic(client_id(9)), b"\1" + FITS[1:], "bad_version"),
        (report_topic(client_id(9)), b"\2\1" + FITS[2:], "bad_version"),
    ],
)
def test_what_is_no_report_is_refused_before_its_sender_is_looked_for(topic: str, payload: bytes, kind: str) -> None:
    door = Door()
    assert not door.admits(payload=payload, topic=topic)
    assert (door.intake.refused, door.reads) == ({kind: 1}, 0)


def test_what_is_no_report_uses_up_nobodys_tokens() -> None:
    door = Door()
    for _ in range(2 * PER_CLIENT[0]):
        door.admits(payload=os.urandom(1) * 90)
    assert door.admits()


def test_a_client_that_floods_is_held_back_and_others_are_not() -> None:
    door = Door()
    burst, per_s = PER_CLIENT
    assert door.admitted(burst + 50) in range(burst - 1, burst + 1)
    assert door.intake.refused["rate_exceeded"] >= 50
    assert door.admits(of=2)
    door.now += 10
    assert door.admitted(1000) in range(int(10 * per_s) - 1, int(10 * per_s) + 2)


def test_all_together_are_held_back_too() -> None:
    burst, _ = FOR_ALL
    door = Door({client_id(number) for number in range(burst // PER_CLIENT[0] + 2)})
    admitted = sum(door.admitted(PER_CLIENT[0], number) for number in range(len(door.ids)))
    assert admitted in range(burst - 1, burst + 1)
    assert set(door.intake.refused) - {"rate_exceeded"} == {"overload"}


def test_a_client_made_a_moment_ago_is_known_and_one_that_is_gone_is_not() -> None:
    door = Door()
    assert door.admits()
    door.ids = {client_id(2), client_id(3)}
    assert door.admits(of=3)
    assert not door.admits(of=1)
    assert door.reads == 3


def test_a_client_that_turns_out_to_be_gone_is_known_no_more() -> None:
    door = Door()
    assert door.admits()
    door.ids.remove(client_id(1))
    assert door.admits()
    door.intake.doubt()
    assert not door.admits()
    assert door.intake.refused == {"key_missing": 1}


def test_unknown_clients_make_the_database_work_seldom_and_a_new_one_is_known_soon() -> None:
    door = Door()
    burst, per_s = REREADS
    for of in range(100, 1100):
        assert not door.admits(of=of)
    assert door.reads == burst
    door.ids.add(client_id(7))
    assert not door.admits(of=7)
    door.now += 1 / per_s
    assert door.admits(of=7)
    assert door.reads == burst + 1


def test_known_clients_never_make_it_work() -> None:
    door = Door()
    door.admitted(500)
    assert door.reads == 1


def test_buckets_are_as_many_as_clients_at_most() -> None:
    door = Door({client_id(number) for number in range(100)})
    for number in range(300):
        door.admits(of=number)
    assert len(door.intake._each) == 100
    door.now += 3600
    door.admits(of=1000)
    assert len(door.intake._each) == 0


def test_a_bucket_fills_again_and_never_overflows() -> None:
    limit = Limit(4, 2.0)
    assert [limit.take(0.0) for _ in range(5)] == [True] * 4 + [False]
    assert [limit.take(0.5) for _ in range(2)] == [True, False]
    assert [limit.take(1e6) for _ in range(5)] == [True] * 4 + [False]
    assert limit.take(0.0, "another")


def test_a_hundred_thousand_devices_are_heard_with_their_second_hello_after_a_restart_of_the_broker() -> None:
    """Each says hello within 30 s, again 30 s later if it is not heard, and else acknowledges the answer."""
    together, rng = Limit(*FOR_ALL), random.Random(4)
    due = sorted(rng.uniform(0, 30) for _ in range(100_000))
    unheard, unacknowledged = [], 0
    for now in due:
        if together.take(now):
            unacknowledged += not together.take(now)
        else:
            unheard.append(now + 30)
    assert all(together.take(now) and together.take(now) for now in unheard)
    assert 0 < len(unheard) < 20_000
    assert unacknowledged < 20_000, "the next report of such a device makes up for it"


def test_each_kind_of_refusal_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    with caplog.at_level(logging.INFO, "e4c2.intake"):
        for seconds in (0, 1, 58, 2, 1):
            door.now += seconds
            door.admits(payload=b"")
            door.intake.refuse(Tampered())
    assert [(each.levelname, each.message.rpartition("(")[2]) for each in caplog.records] == [
        ("INFO", "bad_length, 1 times)"),
        ("ERROR", "tampered, 1 times)"),
        ("INFO", "bad_length, 4 times)"),
        ("ERROR", "tampered, 4 times)"),
    ]


def test_ids_are_read_from_an_index_and_are_those_of_all_clients(sk: World) -> None:
    ids = {sk.add(name).id for name in "abc"}
    assert sk.store.run(senders) == ids
    plan = sk.store.run(lambda db: db.execute(sa.text("EXPLAIN QUERY PLAN SELECT id FROM client")).all())
    assert "COVERING INDEX" in str(plan)


def test_the_report_of_a_client_that_was_removed_says_so(sk: World) -> None:
    a = sk.add("a")
    hello = Incoming(report_topic(a.id), a.hello(sk.clock.now))
    sk.do(clients.remove, "a")
    (error,) = sk.do(receive_all, [hello])
    assert isinstance(error, UnknownKey)
