# SPDX-License-Identifier: Apache-2.0
"""All rows follow to the newest DEKs, a few at a time, and every row can be looked through."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import sqlalchemy as sa

from e4c2 import clients, deks, idempotency, identities, ledger, plans, resealing, tokens, topics
from e4c2.access import marks
from e4c2.access.marks import FoundBy
from e4c2.enrolment import tokens as enrolments
from e4c2.events import webhooks
from e4c2.idempotency import Answer, Request
from e4c2.model import GRANTING, SEALED, Reason, metadata
from e4c2.resealing import TABLES, Mark, Resealed
from e4c2.rows import Realm, find_all
from e4core.errors import InvalidInput, Tampered
from e4kms import file as kek_file
from e4kms.deks import Purpose, State, create
from e4kms.keyring import Keyring
from tests.c2 import waiting
from tests.c2.conftest import Worlds
from tests.c2.world import World
from tests.core.suites2 import SIV_PK

RESEALED = (Purpose.RECORDS, Purpose.AUTHORITY)
ASKED = Request("token", "key", bytes(32))


def peopled(pk2: World) -> None:
    """Something in every table."""
    for name in "abc":
        pk2.add(name)
    pk2.befriend("a", "b")
    pk2.topic("t", "a", "b")
    pk2.topic("planned", "a", "b")
    pk2.do(clients.new_key, "c", Reason.ROUTINE)
    pk2.carry()
    pk2.obey()
    pk2.receive()  # its offer
    pk2.do(tokens.create, "operator")
    pk2.do(plans.begin, "planned", plans.Terms())
    pk2.do(enrolments.create, "line 1", "plant/*", ["t"], 2, 600.0)
    pk2.do(webhooks.create, "hook", "https://receiver.example/")
    waiting.decided(pk2)
    pk2.do(identities.create, "somebody", marks.Mark(FoundBy.SAN, "", "dns:press.example"))
    pk2.do(lambda db, realm: idempotency.once(db, realm, ASKED, bytes(32), lambda: Answer(200, b"done")))


@pytest.fixture
def fleet(worlds: Worlds) -> World:
    return worlds.peopled(SIV_PK.name, peopled)


def rotate(world: World, purpose: Purpose) -> None:
    """As the locksmith does, at once."""
    stored = world.store.run(deks.load)
    database_id = world.store.run(lambda db: db.execute(sa.text("SELECT database_id FROM realm")).scalar_one())
    kms = {world._kek_uri: kek_file.open_kms(world._kek_uri)}
    version = max(dek.version for dek in stored if dek.purpose is purpose) + 1
    world.do(deks.add, create(purpose, version, database_id, kms, State.PREPARED))
    world.realm.keyring.renew(Keyring.unwrap(world.store.run(deks.load), database_id, kms))
    world.do(deks.activate, purpose, version)


def reseal_all(world: World, limit: int = resealing.BATCH) -> dict[str, Tampered]:
    """What was passed over."""
    passed_over: dict[str, Tampered] = {}
    mark: Mark | None = None
    while True:
        done = world.do(resealing.reseal, mark, limit)
        passed_over |= done.passed_over
        if (mark := done.after) is None:
            return passed_over


def look_all(world: World, limit: int = 7) -> int:
    """The number of rows."""
    looked = world.do(resealing.look, None, limit)
    count = looked.checked
    while looked.after is not None:
        looked = world.do(resealing.look, Mark.parse(str(looked.after)), limit)
        count += looked.checked
    return count


def verify_ledger(db: sa.Connection, realm: Realm) -> None:
    ledger.verify(db, realm.keyring)


def begins(world: World, table: str, column: str, length: int) -> set[bytes]:
    rows = world.dump()[table]
    at = list(metadata.tables[table].c.keys()).index(column)
    return {row[at][:length] for row in rows if row[at] is not None}


def test_every_row_has_something_that_is_looked_at(fleet: World) -> None:
    assert all(fleet.dump()[table.name] for table in TABLES)
    assert look_all(fleet) == fleet.store.run(resealing.total) == sum(len(fleet.dump()[t.name]) for t in TABLES)


@pytest.mark.parametrize("purpose", RESEALED)
def test_all_rows_come_under_the_new_version_and_mean_the_same(fleet: World, purpose: Purpose) -> None:
    key = fleet.topic_key("t")
    rotate(fleet, purpose)
    assert fleet.do(resealing.behind)[purpose] > 0
    reseal_all(fleet)
    assert fleet.do(resealing.behind) == dict.fromkeys(Purpose, 0)
    newest = fleet.realm.keyring.newest(purpose)
    columns = SEALED if purpose is Purpose.RECORDS else dict.fromkeys(GRANTING, ("mac",))
    for table, names in columns.items():
        for column in names:
            assert begins(fleet, table, column, len(newest)) <= {newest}, (table, column)
    fleet.do(verify_ledger)
    assert fleet.topic_key("t") == key
    assert look_all(fleet) == fleet.store.run(resealing.total)
    fleet.crash()
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    assert fleet.digest_fits("a")
    assert not fleet.do(clients.show, "c").key_change


def test_what_is_new_is_never_behind(fleet: World) -> None:
    for purpose in Purpose:
        rotate(fleet, purpose)
    reseal_all(fleet)
    before = fleet.do(resealing.behind)
    fleet.add("d")
    fleet.do(topics.create, "u")
    fleet.do(topics.join, "u", ["a", "d"])
    fleet.do(tokens.create, "another")
    assert fleet.do(resealing.behind) == before


@pytest.mark.parametrize("limit", [1, 3])
def test_it_goes_on_after_a_crash_and_among_changes(fleet: World, limit: int) -> None:
    rotate(fleet, Purpose.RECORDS)
    rotate(fleet, Purpose.AUTHORITY)
    left = [sum(fleet.do(resealing.behind).values())]
    for step in range(6):
        mark = fleet.do(resealing.reseal, None, limit).after
        fleet.do(resealing.reseal, mark, limit)
        left.append(sum(fleet.do(resealing.behind).values()))
        fleet.crash()
        fleet.do(topics.create, f"new {step}")
        fleet.do(topics.join, f"new {step}", ["a"])
    assert all(later < earlier or later == earlier == 0 for earlier, later in pairwise(left))
    reseal_all(fleet, limit)
    assert sum(fleet.do(resealing.behind).values()) == 0
    assert look_all(fleet) == fleet.store.run(resealing.total)


def test_nothing_is_done_when_nothing_is_behind(fleet: World) -> None:
    before = fleet.dump()
    assert fleet.do(resealing.reseal) == Resealed(None, {})
    assert fleet.dump() == before


def test_a_token_and_a_repeated_request_are_known_after_their_key_was_rotated(fleet: World) -> None:
    token, text = fleet.do(tokens.create, "kept")
    rotate(fleet, Purpose.LOOKUP)
    assert fleet.do(tokens.authenticate, text.decode()).id == token.id
    again = fleet.do(lambda db, realm: idempotency.once(db, realm, ASKED, bytes(32), lambda: Answer(500, b"twice")))
    assert again == Answer(200, b"done")
    assert fleet.do(resealing.behind)[Purpose.LOOKUP] == 4
    assert fleet.store.run(resealing.is_named, Purpose.LOOKUP, 1)


def test_what_a_version_is_named_by_is_found(fleet: World) -> None:
    for purpose in Purpose:
        assert fleet.store.run(resealing.is_named, purpose, 1) is (purpose is not Purpose.AUDIT)
        assert not fleet.store.run(resealing.is_named, purpose, 2)
    for purpose in RESEALED:
        rotate(fleet, purpose)
    reseal_all(fleet)
    assert [fleet.store.run(resealing.is_named, purpose, 1) for purpose in RESEALED] == [False, False]
    assert [fleet.store.run(resealing.is_named, purpose, 2) for purpose in RESEALED] == [True, True]


def sealed_cells() -> list[tuple[str, str]]:
    return [(table, column) for table, columns in SEALED.items() for column in columns]


@pytest.mark.parametrize(("table", "column"), [*sealed_cells(), *((table, "mac") for table in GRANTING)])
def test_a_changed_cell_is_found_by_looking_and_stays_as_it_is(fleet: World, table: str, column: str) -> None:
    # what || gives is text in SQLite, and never equal to a blob
    last, other = (f"CAST(substr({column}, 1, length({column}) - 1) || {end} AS BLOB)" for end in ("x'00'", "x'01'"))
    forge = f"CASE WHEN {column} = {last} THEN {other} ELSE {last} END"
    for purpose in RESEALED:
        rotate(fleet, purpose)
    fleet.sql(f"UPDATE {table} SET {column} = {forge} WHERE {column} IS NOT NULL")
    with fleet.refuses(Tampered):
        look_all(fleet)
    before = fleet.dump()
    if table == "ledger":
        with pytest.raises(Tampered):
            reseal_all(fleet)
        assert fleet.dump() == before
        return
    at = list(metadata.tables[table].c.keys()).index(column)
    passed_over = reseal_all(fleet)
    bad = [row for row in before[table] if row[at] is not None]
    assert len(passed_over) == len(bad) > 0
    assert {mark.split("/")[0] for mark in passed_over} == {table}
    assert {row for row in fleet.dump()[table] if row in before[table]} == set(bad)
    counts = fleet.do(resealing.behind)
    assert max(counts[purpose] for purpose in RESEALED) == len(bad)


FORGED = {
    "client": ["name = CAST(x'ff' AS TEXT)", "generation = 1.5", "mac = 'text'", "key = 7", "key = CAST(key AS TEXT)"],
    "token": ["id = 'text'", "id = 7", "id = CAST(x'ff' AS TEXT)", "lookup = 'text'", "expires = 'never'"],
    "idempotency": ["answer = 7", "answer = 'text'", "key = 'text'", "key = 7", "created = x'00'"],
}


def answer(db: sa.Connection, realm: Realm, asked: Request = ASKED) -> Answer:
    return idempotency.once(db, realm, asked, bytes(32), lambda: Answer(200, b"done"))


@pytest.mark.parametrize("limit", [1, 2, 500])
@pytest.mark.parametrize(("table", "change"), [(table, change) for table in FORGED for change in FORGED[table]])
def test_one_bad_row_holds_no_other_back(fleet: World, table: str, change: str, limit: int) -> None:
    for number in range(4):
        fleet.do(tokens.create, f"token {number}")
        asked = replace(ASKED, key=f"key-{number}")
        fleet.do(answer, asked)
    for purpose in RESEALED:
        rotate(fleet, purpose)
    fleet.sql(f"UPDATE {table} SET {change} WHERE rowid = (SELECT rowid FROM {table} LIMIT 1 OFFSET 1)")
    passed_over = reseal_all(fleet, limit)
    assert [mark.split("/")[0] for mark in passed_over] == [table]
    counts = fleet.do(resealing.behind)
    assert [counts[purpose] for purpose in RESEALED] == [int(table != "token"), int(table != "idempotency")]
    assert reseal_all(fleet, limit).keys() == passed_over.keys()
    with fleet.refuses(Tampered):
        look_all(fleet)


def test_more_rows_of_foreign_keys_than_fit_into_a_batch_are_passed_over(fleet: World) -> None:
    for number in range(9):
        fleet.do(tokens.create, f"token {number}")
    fleet.sql("UPDATE token SET id = 'text ' || name WHERE name != 'token 8'")
    rotate(fleet, Purpose.AUTHORITY)
    assert len(reseal_all(fleet, 2)) == 9
    assert fleet.do(resealing.behind)[Purpose.AUTHORITY] == 9


def test_a_row_that_is_gone_is_found_by_looking(fleet: World) -> None:
    fleet.sql("DELETE FROM link WHERE 1")
    with fleet.refuses(Tampered):
        look_all(fleet)


def test_a_resealed_cell_in_the_place_of_another_is_found(fleet: World) -> None:
    fleet.do(topics.create, "u")
    rotate(fleet, Purpose.RECORDS)
    reseal_all(fleet)
    fleet.sql("UPDATE topic SET key = (SELECT key FROM topic WHERE name = 'u')")
    with fleet.refuses(Tampered):
        fleet.do(topics.rotate, "t")


def test_the_older_state_of_a_resealed_row_is_found(fleet: World) -> None:
    old = dict(zip(metadata.tables["link"].c.keys(), fleet.dump()["link"][0], strict=True))
    rotate(fleet, Purpose.AUTHORITY)
    reseal_all(fleet)
    fleet.sql(
        "UPDATE link SET mac = :mac, generation = :generation WHERE holder = :holder AND peer = :peer",
        **{name: old[name] for name in ("mac", "generation", "holder", "peer")},
    )
    for use in (lambda: fleet.do(find_all, metadata.tables["link"]), lambda: fleet.do(verify_ledger)):
        with fleet.refuses(Tampered):
            use()


def test_marks_are_read_as_they_are_written(fleet: World) -> None:
    for mark in (
        Mark("client", (bytes(16),)),
        Mark("membership", (bytes(16), b"\xff" * 16)),
        Mark("dek", ("records", 7)),
        Mark("ledger", (1,)),
    ):
        assert Mark.parse(str(mark)) == mark


@pytest.mark.parametrize(
    "text",
    ["", "/", "client", "client/zz", "client/00/00", "outbox/1", "realm/1", "dek/records", "dek/records/x"],
)
def test_a_mark_that_was_not_made_here_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Mark.parse(text)


def test_two_answers_to_one_request_are_an_alarm(fleet: World) -> None:
    """As one that was made under a former key may be put back."""
    fleet.sql("CREATE TABLE former AS SELECT * FROM idempotency")
    fleet.sql("DELETE FROM idempotency")
    rotate(fleet, Purpose.LOOKUP)
    fleet.do(answer)
    fleet.sql("INSERT INTO idempotency SELECT * FROM former")
    with fleet.refuses(Tampered):
        fleet.do(answer)
