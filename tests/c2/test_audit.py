# SPDX-License-Identifier: Apache-2.0
"""The audit log: whatever is done to it in the database is found, and the first record is named that is not as it was written."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

import pytest
import sqlalchemy as sa

from e4c2 import topics
from e4c2.audit import chain, refusals, verifying
from e4c2.audit.chain import Filter, Place
from e4c2.audit.records import CHANGED, CUT_OFF, MISSING, Act, Record, beginning
from e4c2.audit.refusals import Refusal
from e4c2.locksmith import Locksmith
from e4c2.model import audit_head, audit_record, metadata
from e4c2.rows import Realm
from e4core.errors import Conflict, Tampered
from e4kms.deks import Purpose
from tests.c2.conftest import Worlds
from tests.c2.shop import Shop
from tests.c2.world import World

OTHER_BYTES = {"replica": bytes(16), "digest": bytes(36), "mac": b"\1" + bytes(35)}
ACTS = [
    Act("topics_rotate", "token:01 ann", "127.0.0.1", f"r{n}", (f"topic:{n:032x}",), bytes([n] * 36)) for n in range(8)
]


def fill(world: World) -> None:
    for number, act in enumerate(ACTS):
        world.clock.now += 1
        world.do(chain.append, act, "done" if number % 2 else "conflict", 1 + number)


@pytest.fixture
def sk(worlds: Worlds) -> World:
    return worlds.peopled("sk", fill)


def records(world: World, wanted: Filter = Filter()) -> list[Record]:  # noqa: B008
    return world.do(chain.page, wanted)


def head(world: World) -> Place:
    return world.do(chain.extent).head


def test_the_first_record_tells_of_the_first_start(sk: World) -> None:
    first = records(sk)[0]
    assert (first.number, first.action, first.principal, first.outcome) == (1, "c2_first_start", "c2", "done")
    assert len(records(sk)) == 1 + len(ACTS)


def test_anybody_computes_the_hash_from_what_is_shown(sk: World) -> None:
    upto = beginning(sk.store.run(chain.database_id))
    for shown in records(sk):
        document = json.loads(json.dumps({name: getattr(shown, name) for name in Record.__slots__}))
        upto = Record.parse(document).follows(upto)
    assert Place(1 + len(ACTS), upto) == head(sk) == sk.do(verifying.verify_all)


def test_what_cannot_be_recorded_does_not_happen(sk: World) -> None:
    def change(db: sa.Connection, realm: Realm) -> None:
        topics.create(db, realm, "t")
        chain.append(db, realm, Act("topics_create"))

    sk.sql("DELETE FROM audit_head")
    with sk.refuses(Tampered):
        sk.do(change)


@pytest.mark.parametrize(
    "column",
    [each.name for each in audit_record.c if each.name != "number"],
)
def test_each_column_is_bound(sk: World, column: str) -> None:
    rows = sk.store.run(lambda db: dict(db.execute(sa.select(audit_record.c.number, audit_record.c[column])).all()))
    others = {str: '["x"]', int: 77, float: 1.0, bytes: OTHER_BYTES.get(column)}
    other = others[type(rows[5])]
    sk.sql(f"UPDATE audit_record SET {column} = :other WHERE number = 5", other=other)
    with pytest.raises(Tampered, match=r"^record 5 ") as caught:
        sk.do(verifying.verify_all)
    assert caught.value.kind == CHANGED


@pytest.mark.parametrize(
    ("what", "kind", "text"),
    [
        ("DELETE FROM audit_record WHERE number = 4", MISSING, "record 4 is missing"),
        ("DELETE FROM audit_record WHERE number IN (4, 5)", MISSING, "records 4 to 5 are missing"),
        ("DELETE FROM audit_record WHERE number = 1", MISSING, "record 1 is missing"),
        ("DELETE FROM audit_record WHERE number > 7", CUT_OFF, "records 8 to 9 are missing at its end"),
        ("DELETE FROM audit_record", CUT_OFF, "records 1 to 9"),
        ("UPDATE audit_record SET number = number + 1 WHERE number = 9", MISSING, "record 9 is missing"),
        ("UPDATE audit_record SET mac = 'text' WHERE number = 3", CHANGED, "record 3 "),
        ("UPDATE audit_record SET objects = '{' WHERE number = 3", CHANGED, "record 3 "),
        ("UPDATE audit_record SET objects = '[1]' WHERE number = 3", CHANGED, "record 3 "),
        ("UPDATE audit_record SET time = 'noon' WHERE number = 3", CHANGED, "record 3 "),
        (
            "UPDATE audit_record SET number = CASE number WHEN 3 THEN -4 WHEN 4 THEN -3 ELSE number END;"
            "UPDATE audit_record SET number = -number WHERE number < 0",
            CHANGED,
            "record 3 ",
        ),
        (
            "CREATE TEMPORARY TABLE c AS SELECT * FROM audit_record WHERE number = 9; UPDATE c SET number = 10;"
            "INSERT INTO audit_record SELECT * FROM c",
            CHANGED,
            "record 10 ",
        ),
        (
            "CREATE TEMPORARY TABLE c AS SELECT * FROM audit_record WHERE number = 9; UPDATE c SET number = 0;"
            "INSERT INTO audit_record SELECT * FROM c",
            CHANGED,
            "record 0 ",
        ),
    ],
)
def test_whatever_is_changed_is_found(sk: World, what: str, kind: str, text: str) -> None:
    for statement in what.split(";"):
        sk.sql(statement)
    with pytest.raises(Tampered, match=text) as caught:
        sk.do(verifying.verify_all)
    assert caught.value.kind == kind


def test_the_head_is_not_put_back(sk: World) -> None:
    """Only the head says that there was more; it grants something, so that the ledger knows its newest state."""
    old = dict(sk.store.run(lambda db: db.execute(sa.select(audit_head)).mappings().one()))
    sk.do(chain.append, Act("more"))
    sk.sql("DELETE FROM audit_record WHERE number > 9")
    sk.store.run(lambda db: db.execute(sa.update(audit_head).values(old)) and None)
    with pytest.raises(Tampered):
        sk.do(verifying.verify_all)
    sk.store.close()
    with pytest.raises(Tampered):
        sk.open()


def test_portions_and_a_log_that_grows_meanwhile(sk: World) -> None:
    read = sk.do(verifying.verify, None, 4)
    assert (read.upto.number, read.is_end) == (4, False)
    sk.do(chain.append, Act("meanwhile"))
    read = sk.do(verifying.verify, read.upto, 6)
    assert (read.upto.number, read.is_end) == (10, True)
    assert sk.do(verifying.place_at, 4) == Place(4, sk.do(verifying.verify, None, 4).upto.hash)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(principal="c2"), [1]),
        (Filter(principal="token:01"), list(range(2, 10))),
        (Filter(principal="token:0"), []),
        (Filter(principal="token:01 ann"), list(range(2, 10))),
        (Filter(action="topics_rotate", outcome="done"), [3, 5, 7, 9]),
        (Filter(object=f"topic:{3:032x}"), [5]),
        (Filter(object="topic:"), []),
        (Filter(object=f"TOPIC:{3:032x}"), []),
    ],
)
def test_filters(sk: World, wanted: Filter, numbers: list[int]) -> None:
    assert [each.number for each in records(sk, wanted)] == numbers


def test_filters_of_time_and_paging(sk: World) -> None:
    times = [each.time for each in records(sk)]
    assert [each.number for each in records(sk, Filter(since=times[3], until=times[5]))] == [4, 5]
    assert [each.number for each in sk.do(chain.page, Filter(action="topics_rotate"), 4, 2)] == [5, 6]


def test_texts_from_outside_are_stored_whatever_they_are(sk: World) -> None:
    hostile = "\ud800\0ü" * 400
    sk.do(chain.append, Act(hostile, hostile, hostile, hostile, (hostile, "x" * 9000)), hostile)
    sk.do(chain.append, Act("many", objects=tuple(f"client:{n:032x}" for n in range(1000))))
    last, many = records(sk)[-2:]
    assert (len(last.principal), len(last.source), len(last.action)) == (512, 64, 64)
    assert many.objects[-1] == f"and {1001 - len(many.objects)} more"
    assert last.objects == (hostile.encode(errors="backslashreplace").decode().replace("\0", "\\0"), "and 1 more")
    assert sk.do(verifying.verify_all) == head(sk)


def test_it_goes_on_over_new_keys_and_outlives_the_former(shop: Shop) -> None:
    world = shop.world
    for version in (1, 2):
        world.do(chain.append, Act("before", str(version)))
        shop.do(partial(Locksmith.rotate, purpose=Purpose.AUDIT, version=version))
        world.do(chain.append, Act("after", str(version)))
    shop.do(partial(Locksmith.retire, purpose=Purpose.AUDIT, version=1))
    shop.do(partial(Locksmith.rotate, purpose=Purpose.RECORDS, version=1))
    shop.do(partial(Locksmith.rotate, purpose=Purpose.AUTHORITY, version=1))
    shop.work_until(lambda: not shop.behind())
    assert world.do(verifying.verify_all) == head(world)
    shop.restart()
    assert world.do(verifying.verify_all) == head(world)
    told = [(each.action, *each.objects) for each in records(world)]
    for act in ("dek_made", "dek_activated"):
        assert [each for each in told if each[0] == act][:3] == [
            (act, "dek:audit/2"),
            (act, "dek:audit/3"),
            (act, "dek:records/2"),
        ]
    assert {each for each in told if each[0] == "dek_retired"} >= {("dek_retired", "dek:audit/1")}
    world.sql("UPDATE audit_record SET principal = 'x' WHERE number = 2")
    with pytest.raises(Tampered) as caught:
        world.do(verifying.verify_all)
    assert caught.value.kind == CHANGED


def test_refusals_are_counted_and_few(sk: World) -> None:
    counted = refusals.Refusals()
    ann, bob = "token:01 ann", "token:02 bob"
    for number in range(3 * refusals.MOST):
        source = f"10.0.{number // 250}.{number % 250}"
        counted.count("unauthenticated", source)
        counted.count_act("forbidden", Act("topics_create", bob, source))
    for _ in range(70):
        counted.count_act("forbidden", Act("topics_create", ann, "10.0.0.1"))
    taken = counted.take()
    assert len(taken) <= 2 * refusals.MOST + 3
    assert sum(taken.values()) == 6 * refusals.MOST + 70
    assert not counted.take()
    assert taken[Refusal(refusals.NOBODY, refusals.OTHERS, "unauthenticated")] == 2 * refusals.MOST
    assert taken[Refusal(bob, refusals.OTHERS, "forbidden")] == 2 * refusals.MOST
    assert taken[Refusal(ann, refusals.OTHERS, "forbidden")] == 70
    counted.give_back(Counter({Refusal(ann, "10.0.0.1", "forbidden", ("action:topics_create",)): 70}))
    counted.count_act("forbidden", Act("topics_create", ann, "10.0.0.1"))
    sk.do(refusals.record, counted.take())
    found = records(sk, Filter(outcome="forbidden"))
    assert [(each.principal, each.source, each.count) for each in found] == [("token:01 ann", "10.0.0.1", 71)]
    assert sk.do(verifying.verify_all) == head(sk)


def test_no_stranger_covers_what_somebody_known_is_refused() -> None:
    counted = refusals.Refusals()
    for number in range(3 * refusals.MOST):
        counted.count("unauthenticated", f"2001:db8:0:{number:x}::1")
    counted.count_act("forbidden", Act("topics_create", "token:01 ann", "10.0.0.1"))
    of_ann = Refusal("token:01 ann", "10.0.0.1", "forbidden", ("action:topics_create",))
    assert counted.take()[of_ann] == 1


def test_the_addresses_of_one_network_are_one_source_of_refusals() -> None:
    counted = refusals.Refusals()
    for number in range(2 * refusals.MOST):
        counted.count("unauthenticated", f"2001:db8::{number:x}")
        counted.count_act("forbidden", Act("topics_create", "token:01 ann", f"2001:db8::{number:x}"))
    assert {(each.source, count) for each, count in counted.take().items()} == {("2001:db8::/64", 2 * refusals.MOST)}


def test_a_digest_is_keyed(sk: World) -> None:
    other = sk.do(lambda db, realm: chain.digest(realm, bytes(32)))
    assert len(other) == 36
    assert other != sk.do(lambda db, realm: chain.digest(realm, bytes(31) + b"1"))


def test_every_table_is_named(sk: World) -> None:
    """A log without a head cannot be begun anew beside its records."""
    assert {"audit_record", "audit_head", "audit_key", "audit_checkpoint"} <= set(metadata.tables)
    with sk.refuses(Conflict):
        sk.do(chain.begin)
