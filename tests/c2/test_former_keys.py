# SPDX-License-Identifier: Apache-2.0
"""Who knows the former keys of the database, and writes to it, forges nothing: neither while rows follow to new ones, nor after."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest
import sqlalchemy as sa

from e4c2 import deks, ledger, resealing, tokens, topics
from e4c2.locksmith import Locksmith
from e4c2.model import ledger as ledger_table
from e4c2.model import membership
from e4c2.resealing import Mark
from e4c2.rows import find_all
from e4core.errors import Denied, StorageError, Tampered
from e4kms.deks import Purpose, State, create
from e4kms.records import Cell
from tests.c2.shop import Shop
from tests.c2.thief import Thief


@pytest.fixture
def thief(shop: Shop) -> Thief:
    shop.world.do(tokens.create, "operator")
    return Thief(shop.world.database, shop.kmses)


def rotate_all(shop: Shop) -> None:
    for purpose in Purpose:
        shop.do(partial(Locksmith.rotate, purpose=purpose, version=1))


def follow(shop: Shop) -> None:
    """Until no version that rows followed from is left."""
    retired = [State.RETIRED.value, State.ACTIVE.value]
    shop.work_until(lambda: all(shop.states(purpose) == retired for purpose in resealing.RESEALED))


def uses(shop: Shop, text: str) -> list[Callable[[], object]]:
    do = shop.world.do
    return [
        lambda: do(tokens.authenticate, text),
        lambda: do(find_all, membership),
        lambda: do(topics.create, "his"),
    ]


def test_the_former_key_is_given_up_as_soon_as_all_rows_have_left_it(shop: Shop) -> None:
    for purpose in resealing.RESEALED:
        shop.do(partial(Locksmith.rotate, purpose=purpose, version=1))
    before = shop.world.dump()
    follow(shop)
    former = [dek for dek in shop.stored() if dek.version == 1 and dek.purpose in resealing.RESEALED]
    assert [dek.wraps for dek in former] == [(), ()]
    keyring = shop.world.realm.keyring
    cell = Cell("topic", "key", before["topic"][0][0])
    with pytest.raises(Tampered, match="names version 1"):
        keyring.open(cell, before["topic"][0][2])
    shop.restart()
    shop.world.do(topics.rotate, "t")
    shop.world.settle_down()
    assert shop.world.digest_fits("a")


def test_a_rotation_draws_a_new_key_for_the_ledger(shop: Shop, thief: Thief) -> None:
    for version, purpose in ((1, Purpose.RECORDS), (2, Purpose.RECORDS)):
        former = shop.world.store.run(ledger._held, shop.world.realm.keyring)
        shop.do(partial(Locksmith.rotate, purpose=purpose, version=version))
        shop.work_until(lambda: shop.behind() == 0)
        held = shop.world.store.run(ledger._held, shop.world.realm.keyring)
        assert held.key != former.key
        assert held.state.number > former.state.number
    assert thief.ledger_key not in (held.key, former.key)


@pytest.mark.parametrize("moment", ["rows follow", "all have followed"])
@pytest.mark.parametrize("balanced", [False, True])
def test_what_is_forged_with_former_keys_grants_nothing(shop: Shop, thief: Thief, moment: str, balanced: bool) -> None:
    rotate_all(shop)
    if moment == "all have followed":
        follow(shop)
    member = thief.sql("SELECT topic, client FROM membership")[0]
    thief.sql("DELETE FROM membership WHERE topic = :topic AND client = :client", topic=member[0], client=member[1])
    thief.insert(membership, topic=member[0], client=member[1], generation=7)
    thief.insert_token("e4_forged")
    if balanced:
        thief.balance()
    for use in uses(shop, "e4_forged")[: 3 if balanced else 2]:
        with shop.world.refuses(Tampered):
            use()
    before = shop.world.dump()
    shop.work_until(lambda: moment != "rows follow" or shop.locksmith.stopped is not None)
    forged = [row for row in before["token"] if "forged" in row]
    assert [row for row in shop.world.dump()["token"] if "forged" in row] == forged, "not put under a new key"
    with pytest.raises(Tampered):
        shop.restart()


def test_a_ledger_under_a_former_key_is_never_put_under_the_new_one(shop: Shop, thief: Thief) -> None:
    """Also at the moment when the rows before it have followed."""
    before = resealing.TABLES[resealing.TABLES.index(ledger_table) - 1]
    shop.do(partial(Locksmith.rotate, purpose=Purpose.RECORDS, version=1))
    thief.balance()
    last = tuple(b"\xff" * 36 for _ in before.primary_key)
    with shop.world.refuses(Tampered):
        shop.world.do(resealing.reseal, Mark(before.name, last))


def test_tokens_of_a_look_up_key_that_is_retired_are_not_even_found(shop: Shop, thief: Thief) -> None:
    rotate_all(shop)
    follow(shop)
    shop.world.do(tokens.create, "new")
    for each in shop.world.do(tokens.page):
        if each.name != "new":
            shop.world.do(tokens.revoke, each.id)
    shop.do(partial(Locksmith.retire, purpose=Purpose.LOOKUP, version=1))
    thief.insert_token("e4_forged")
    with shop.world.refuses(Denied):
        shop.world.do(tokens.authenticate, "e4_forged")


def test_a_rotation_that_is_not_committed_leaves_the_keys_as_they_were(shop: Shop) -> None:
    def activate(db: sa.Connection) -> None:
        deks.activate(db, shop.world.realm, Purpose.RECORDS, 2)
        db.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        db.execute(sa.text("INSERT INTO membership SELECT topic, x'00', generation, mac, created FROM membership"))

    shop.world.do(deks.add, create(Purpose.RECORDS, 2, shop.database_id, shop.kmses, State.PREPARED))
    shop.do(Locksmith._renew)
    newest = shop.world.realm.keyring.newest(Purpose.RECORDS)
    with shop.world.refuses(StorageError):
        shop.world.store.run(activate)
    assert shop.world.realm.keyring.newest(Purpose.RECORDS) == newest
    shop.world.do(topics.rotate, "t")


def test_a_backup_opens_with_its_kms_whatever_was_destroyed_since(shop: Shop) -> None:
    """It has wraps of its own: only the end of their KEK makes it useless."""
    backup = shop.world.database.with_name("backup")
    with closing(sqlite3.connect(shop.world.database)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    backup.chmod(0o600)
    rotate_all(shop)
    follow(shop)
    shop.do(partial(Locksmith.retire, purpose=Purpose.AUDIT, version=1))
    assert {dek.state for dek in shop.stored() if dek.version == 1 and dek.purpose is not Purpose.LOOKUP} == {
        State.RETIRED
    }
    shop.world.store.close()
    for beside in ("-wal", "-shm"):
        shop.world.database.with_name(shop.world.database.name + beside).unlink(missing_ok=True)
    shutil.copy(backup, shop.world.database)
    shop.restart()
    assert {dek.state for dek in shop.stored()} == {State.ACTIVE}
    shop.world.do(topics.rotate, "t")
    assert shop.world.do(resealing.look).checked
