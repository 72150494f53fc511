# SPDX-License-Identifier: Apache-2.0
"""SQLite keeps whatever is written to it, of any type: to use it is an alarm, and harms only whom it is about."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, deks, idempotency, identities, ledger, links, plans, tokens, topics
from e4c2.access.marks import FoundBy, Mark
from e4c2.enrolment import tokens as enrolments
from e4c2.events import webhooks
from e4c2.idempotency import Answer, Request
from e4c2.model import GRANTING, Delivery, Reason, metadata
from e4c2.rows import Realm, find_all
from e4c2.store.first_start import open_realm
from e4c2.store.sqlite import NoText
from e4core.errors import StorageError, Tampered
from e4kms import file as kek_file
from tests.c2 import waiting
from tests.c2.conftest import Worlds
from tests.c2.world import World
from tests.core.suites2 import SIV_PK

VALUES: list[Any] = [1.5, 7, -7, 2**63 - 1, "text", b"\xff"]


def peopled(pk2: World) -> None:
    for name in "ab":
        pk2.add(name)
    pk2.do(links.send, "a", "b")
    pk2.topic("t", "a", "b")
    pk2.topic("planned", "a", "b")
    pk2.do(tokens.create, "admin", 60.0)
    pk2.do(plans.begin, "planned", plans.Terms())
    pk2.do(enrolments.create, "line 1", "plant/*", ["t"], 2, 600.0)
    waiting.decided(pk2)
    pk2.do(webhooks.create, "hook", "https://receiver.example/")
    pk2.do(identities.create, "somebody", Mark(FoundBy.SAN, "", "dns:press.example"))
    pk2.do(c2keys.new, Reason.ROUTINE)


@pytest.fixture
def fleet(worlds: Worlds) -> World:
    return worlds.peopled(SIV_PK.name, peopled)


def columns(table: sa.Table) -> list[sa.Column[Any]]:
    """All that the MAC is about; a flag is one whatever is in its place."""
    names = (*table.primary_key.columns.keys(), *GRANTING[table.name], "generation", "mac")
    return [table.c[name] for name in names if not isinstance(table.c[name].type, sa.Boolean)]


def read_changed(db: sa.Connection, realm: Realm, column: sa.Column[Any], value: Any) -> None:
    """In one transaction, so that the next finds the database as it was."""
    table = column.table
    key = ", ".join(table.primary_key.columns.keys())
    one = f"UPDATE {table.name} SET {column.name} = :it WHERE ({key}) = (SELECT {key} FROM {table.name} LIMIT 1)"
    db.execute(sa.text(one), {"it": value})
    find_all(db, realm, table)


@pytest.mark.parametrize("name", GRANTING)
def test_cell_of_another_type_is_found_when_it_is_used(fleet: World, name: str) -> None:
    for column, value in product(columns(metadata.tables[name]), VALUES):
        with fleet.refuses(Tampered, StorageError):  # some the database refuses by itself
            fleet.do(read_changed, column, value)


@pytest.mark.parametrize(
    "change", ["generation = 1.5", "mac = 7", "key = 'text'", "name = CAST(x'ff' AS TEXT)", "mac = CAST(mac AS TEXT)"]
)
def test_one_row_of_another_type_stops_nobody_else(fleet: World, change: str) -> None:
    fleet.settle_down()
    fleet.do(topics.rotate, "t")
    fleet.greet("a", "b")
    with closing(sqlite3.connect(fleet.database)) as db, db:
        assert db.execute(f"UPDATE client SET {change} WHERE name = 'b'").rowcount == 1
    assert [error.kind for error in fleet.receive()] == ["tampered"]
    assert {each.client for each in fleet.claim()} == {fleet.devices["a"].id}
    assert "refused" in {state for _, kind, state in fleet.states() if kind == "topic"}


@pytest.mark.parametrize("raw", [b"\xff", b"a\xffb", "\u00e9".encode("latin-1")])
def test_text_that_is_no_utf_8_is_neither_text_nor_bytes(fleet: World, raw: bytes) -> None:
    found = fleet.store.run(lambda db: db.scalar(sa.text("SELECT CAST(:raw AS TEXT)"), {"raw": raw}))
    assert found == NoText(raw)
    assert fleet.store.run(lambda db: db.scalar(sa.text("SELECT :text"), {"text": "\u00e9"})) == "\u00e9"


# Rows without a MAC, and those that are read before one can be verified

FORGED = [
    "UPDATE dek_wrap SET version = 'x' WHERE purpose = 'audit'",
    "UPDATE dek_wrap SET purpose = x'ff' WHERE purpose = 'audit'",
    "UPDATE dek_wrap SET slot = 'q' WHERE purpose = 'audit'",
    "UPDATE dek_wrap SET slot = 0.5 WHERE purpose = 'audit'",
    "UPDATE dek_wrap SET uri = x'ff'",
    "UPDATE dek_wrap SET uri = CAST(x'ff' AS TEXT)",
    "UPDATE dek_wrap SET key_id = x'ff'",
    "UPDATE dek_wrap SET mechanism = x'ff'",
    "UPDATE dek_wrap SET blob = 'text'",
    "UPDATE dek_wrap SET blob = 5",
    "UPDATE dek_wrap SET blob = CAST(blob AS TEXT)",
    "UPDATE dek SET check_value = 'text'",
    "UPDATE dek SET check_value = 5",
    "UPDATE dek SET check_value = '\u00e9'",
    "UPDATE dek SET check_value = x'00'",
    "UPDATE dek SET state = x'ff'",
    "UPDATE dek SET state = CAST(x'ff' AS TEXT)",
    "UPDATE dek SET purpose = x'ff' WHERE purpose = 'audit'",
    "UPDATE dek SET version = 'x' WHERE purpose = 'audit'",
    "UPDATE dek SET version = 0 WHERE purpose = 'audit'",
    f"UPDATE dek SET version = {2**32} WHERE purpose = 'audit'",
    "UPDATE dek SET mac = 'text'",
    "UPDATE dek SET generation = 'text'",
    "UPDATE topic SET mac = 'text'",
    "UPDATE ledger SET sum = 'text'",
    "UPDATE ledger SET sum = 5",
    "INSERT INTO ledger VALUES (2, x'00')",
    "DELETE FROM ledger",
]
FORGED_REALM = [
    "UPDATE realm SET database_id = 'text'",
    "UPDATE realm SET database_id = x'00'",
    "UPDATE realm SET suite = x'ff'",
    "UPDATE realm SET created = 'text'",
    "INSERT INTO realm VALUES (2, x'00', 'pk', 1.0)",
    "INSERT INTO realm SELECT 2, database_id, suite, created FROM realm",
    "DELETE FROM realm",
]


def forge(world: World, statement: str) -> None:
    with closing(sqlite3.connect(world.database)) as db, db:  # which minds no foreign key
        assert db.execute(statement).rowcount > 0


@pytest.mark.parametrize("statement", [*FORGED, *FORGED_REALM])
def test_a_database_with_a_row_that_was_never_written_is_not_opened(fleet: World, statement: str) -> None:
    forge(fleet, statement)
    kms = {fleet._kek_uri: kek_file.open_kms(fleet._kek_uri)}
    with fleet.refuses(Tampered):
        fleet.store.run(open_realm, fleet.suite, kms, fleet.clock)


@pytest.mark.parametrize("statement", FORGED)
def test_a_row_that_was_never_written_is_an_alarm_while_the_c2_serves(fleet: World, statement: str) -> None:
    stored = fleet.store.run(deks.load)
    forge(fleet, statement)
    with fleet.refuses(Tampered):
        fleet.do(deks.verify_as_read, stored)


@pytest.mark.parametrize("change", ["sum = 'text'", "sum = 5", "sum = CAST(x'ff' AS TEXT)"])
def test_nothing_is_granted_while_the_ledger_is_not_one(fleet: World, change: str) -> None:
    forge(fleet, f"UPDATE ledger SET {change}")
    for use_case in (
        lambda db, realm: ledger.require(db, realm.keyring),
        lambda db, realm: topics.create(db, realm, "u"),
    ):
        with fleet.refuses(Tampered):
            fleet.do(use_case)


def test_reports_are_refused_one_by_one_while_the_ledger_is_not_one(fleet: World) -> None:
    fleet.settle_down()
    fleet.do(topics.rotate, "t")
    fleet.carry()
    fleet.obey()
    forge(fleet, "UPDATE ledger SET sum = 'text'")
    before = fleet.dump()
    assert [error.kind for error in fleet.receive()] == ["tampered", "tampered"]
    assert fleet.dump() == before


ASKED = Request("token", "key", bytes(32))


def ask(db: sa.Connection, realm: Realm) -> Answer:
    return idempotency.once(db, realm, ASKED, bytes(32), lambda: Answer(200, b"done"))


@pytest.mark.parametrize("change", ["answer = 'text'", "answer = 5", "answer = CAST(x'ff' AS TEXT)"])
def test_an_answer_of_another_type_is_never_given(fleet: World, change: str) -> None:
    fleet.do(ask)
    forge(fleet, f"UPDATE idempotency SET {change}")
    with fleet.refuses(Tampered):
        fleet.do(ask)


# Deliveries, which carry no MAC

NEVER_WRITTEN = [
    "kind = 'nonesuch'",
    "kind = ''",
    "kind = 5",
    "kind = x'ff'",
    "kind = CAST(x'ff' AS TEXT)",
    "object = 'text'",
    "object = x'00'",
    "object = 5",
    "client = 'text'",
    "client = x'00'",
    "client = zeroblob(16)",
    "attempts = 'text'",
    "attempts = -1",
    f"attempts = {2**63 - 1}",
]


@pytest.mark.parametrize("change", NEVER_WRITTEN)
def test_a_delivery_that_was_never_written_is_refused_alone(
    fleet: World, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.settle_down()
    for topic in "uv":
        fleet.topic(topic)
        fleet.do(topics.join, topic, ["a", "b"])
    (first,) = [each.id for each in fleet.deliveries("a") if each.state == "pending"][:1]
    forge(fleet, f"UPDATE outbox SET {change} WHERE id = {first}")
    carried(fleet)
    assert outbox_state(fleet, first) == ("refused", "tampered")
    assert (fleet.count(Delivery.PENDING, Delivery.SENDING), fleet.count(Delivery.REFUSED)) == (0, 1)
    assert f"delivery {first} to the device" in caplog.text


@pytest.mark.parametrize("change", ["kind = 'nonesuch'", "kind = x'ff'", "second = 'text'", "second = 1.5e300"])
def test_a_forged_delivery_of_the_past_holds_nobody_back(fleet: World, change: str) -> None:
    fleet.settle_down()
    fleet.do(topics.rotate, "t")
    fleet.settle(fleet.claim())
    forge(fleet, f"UPDATE outbox SET {change} WHERE second IS NOT NULL")
    fleet.do(topics.rotate, "t")
    before = fleet.count(Delivery.REFUSED)
    carried(fleet)
    assert fleet.count(Delivery.PENDING, Delivery.SENDING) == 0
    # in Format 2 what is not yet confirmed is still to be done, and what nobody knows cannot be
    open_then = 2 if fleet.realm.suite.format == 2 and change.startswith("kind") else 0
    assert fleet.count(Delivery.REFUSED) == before + open_then


def carried(fleet: World) -> None:
    for _ in range(10):
        fleet.carry()
        fleet.obey()
        fleet.receive()
        fleet.clock.now += 1


def outbox_state(fleet: World, delivery: int) -> tuple[str, str]:
    found = fleet.store.run(lambda db: db.execute(sa.text(f"SELECT state, refusal FROM outbox WHERE id = {delivery}")))
    state, refusal = found.one()
    return state, refusal
