# SPDX-License-Identifier: Apache-2.0
"""The keys of the database are rotated and destroyed while the C2 works; no KMS that fails loses anything."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial

import pytest

from e4c2 import deks, tokens, topics
from e4c2.locksmith import Locksmith
from e4core.errors import Conflict, KmsUnavailable, NotFound, Tampered
from e4kms.deks import Purpose, State, create
from e4kms.records import AES_256_GCM, record_header
from tests.c2.shop import PATIENCE_S, SPARE, Shop

# Rotation


@pytest.mark.parametrize("purpose", Purpose)
def test_a_rotation_makes_a_version_that_all_kmses_open_and_all_rows_follow(shop: Shop, purpose: Purpose) -> None:
    made = shop.do(lambda smith: smith.rotate(purpose, 1))
    assert (made.version, made.state) == (2, State.ACTIVE)
    assert [wrap.uri for wrap in made.wraps] == [shop.file, SPARE]
    assert shop.states(purpose) == ["decrypt_only", "active"]
    shop.work_until(lambda: shop.behind() == 0)
    assert shop.world.realm.keyring.newest(purpose)[-4:] == b"\2\0\0\0"
    shop.restart(shop.file)
    assert shop.world.realm.keyring.newest(purpose)[-4:] == b"\2\0\0\0"
    shop.world.do(topics.rotate, "t")
    shop.world.settle_down()
    assert shop.world.digest_fits("a")


def test_a_rotation_is_asked_of_the_active_version_only(shop: Shop) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.AUDIT, 1))
    for version in (1, 3):
        with shop.world.refuses(Conflict):
            shop.do(partial(Locksmith.rotate, purpose=Purpose.AUDIT, version=version))


def test_a_rotation_waits_for_the_one_before(shop: Shop) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    with shop.world.refuses(Conflict):
        shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 2))
    shop.work_until(lambda: shop.behind() == 0)
    assert shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 2)).version == 3


def test_a_rotation_that_a_kms_does_not_wrap_changes_nothing(shop: Shop) -> None:
    shop.spare.available = False
    with shop.world.refuses(KmsUnavailable):
        shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    shop.spare.available = True
    assert shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1)).version == 2


def test_a_rotation_that_a_crash_interrupted_is_gone_on_with(shop: Shop) -> None:
    kmses = {shop.file: shop.kmses[shop.file]}
    shop.world.do(deks.add, create(Purpose.RECORDS, 2, shop.database_id, kmses, State.PREPARED))
    shop.restart()
    assert shop.states(Purpose.RECORDS) == ["active", "prepared"]
    shop.work_until(lambda: shop.states(Purpose.RECORDS) == ["retired", "active"] and shop.behind() == 0)
    assert shop.world.realm.keyring.newest(Purpose.RECORDS)[-4:] == b"\2\0\0\0"


def test_a_prepared_version_is_taken_up_by_the_next_rotation(shop: Shop) -> None:
    kmses = {shop.file: shop.kmses[shop.file]}
    prepared = create(Purpose.RECORDS, 2, shop.database_id, kmses, State.PREPARED)
    shop.world.do(deks.add, prepared)
    assert shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1)).check_value == prepared.check_value


def test_a_row_that_was_tampered_with_is_passed_over(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.world.do(topics.create, "u")
    shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    shop.world.sql("UPDATE topic SET generation = generation + 1 WHERE name = 't'")
    shop.work_until(lambda: shop.locksmith.stopped is not None)
    assert (shop.behind(), shop.locksmith.passed_over) == (1, 1)
    assert "backup: 1, one of them as the MAC of row" in str(shop.locksmith.stopped)
    assert caplog.text.count("resealing stopped") == 1
    assert caplog.text.count("stays under its former key") == 1
    shop.world.do(topics.rotate, "u")
    with shop.world.refuses(Conflict):
        shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 2))
    with shop.world.refuses(Conflict):
        shop.do(lambda smith: smith.retire(Purpose.RECORDS, 1))


def test_a_row_that_was_passed_over_is_told_once_and_follows_when_it_is_restored(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    shop.world.sql("UPDATE topic SET generation = generation + 1")

    async def again(smith: Locksmith) -> None:
        for _ in range(2):
            with pytest.raises(Tampered):
                await smith._reseal_all()
        assert smith.passed_over == 1
        await asyncio.to_thread(shop.world.sql, "UPDATE topic SET generation = generation - 1")
        await smith._reseal_all()
        assert smith.passed_over == 0

    shop.do(again)
    assert caplog.text.count("stays under its former key") == 1
    assert shop.behind() == 0


@pytest.mark.parametrize("change", ["key = 'text'", "mac = zeroblob(36)"])
def test_a_version_under_which_a_damaged_row_may_be_restored_is_not_destroyed(shop: Shop, change: str) -> None:
    for purpose in (Purpose.RECORDS, Purpose.AUTHORITY):
        shop.do(partial(Locksmith.rotate, purpose=purpose, version=1))
    shop.world.sql(f"UPDATE topic SET {change}")
    shop.work_until(lambda: shop.locksmith.stopped is not None)
    for purpose in (Purpose.RECORDS, Purpose.AUTHORITY):
        with shop.world.refuses(Conflict):
            shop.do(partial(Locksmith.retire, purpose=purpose, version=1))


def test_resealing_stops_where_nothing_can_be_changed(shop: Shop) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    shop.world.sql("UPDATE ledger SET sum = 'text'")
    shop.work_until(lambda: "ledger" in str(shop.locksmith.stopped))
    assert shop.locksmith.passed_over == 0


# A spare KMS


@pytest.mark.parametrize("purpose", Purpose)
def test_a_rotation_that_a_spare_kms_would_not_open_is_refused(shop: Shop, purpose: Purpose) -> None:
    shop.add_spare()
    del shop.kmses[SPARE]
    before = shop.stored()
    with pytest.raises(Conflict, match=f"name them and start the C2 anew, or give them up .*: {SPARE}$"):
        shop.do(lambda smith: smith.rotate(purpose, 1))
    assert shop.stored() == before
    shop.kmses[SPARE] = shop.spare
    made = shop.do(lambda smith: smith.rotate(purpose, 1))
    assert [wrap.uri for wrap in made.wraps] == [shop.file, SPARE]


def test_a_rotation_is_possible_once_the_spare_kms_is_given_up(shop: Shop) -> None:
    shop.add_spare()
    del shop.kmses[SPARE]
    shop.do(lambda smith: smith.remove_wrap(Purpose.RECORDS, 1, SPARE))
    assert [wrap.uri for wrap in shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1)).wraps] == [shop.file]


def test_a_spare_kms_of_another_purpose_is_not_in_the_way(shop: Shop) -> None:
    shop.do(lambda smith: smith.add_wrap(Purpose.AUDIT, 1, SPARE, False))
    del shop.kmses[SPARE]
    assert shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1)).version == 2


def test_a_kms_at_another_uri_is_no_spare_one_unless_there_is_another(shop: Shop) -> None:
    moved = shop.file.replace("file:", "file:/./")
    shop.add_spare()
    shop.kmses = {moved: shop.kmses[shop.file]}
    with shop.world.refuses(Conflict):
        shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    for dek in shop.stored():
        shop.do(partial(Locksmith.remove_wrap, purpose=dek.purpose, version=1, uri=SPARE))
    assert [wrap.uri for wrap in shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1)).wraps] == [moved]


def test_a_former_version_is_destroyed_once_nothing_names_it(shop: Shop) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    for version in (1, 2):
        with shop.world.refuses(Conflict):
            shop.do(partial(Locksmith.retire, purpose=Purpose.RECORDS, version=version))
    with shop.world.refuses(NotFound):
        shop.do(lambda smith: smith.retire(Purpose.RECORDS, 3))
    old = {table: rows for table, rows in shop.world.dump().items() if table == "topic"}
    shop.work_until(lambda: shop.behind() == 0)
    retired = shop.do(lambda smith: smith.retire(Purpose.RECORDS, 1))
    assert (retired.state, retired.wraps) == (State.RETIRED, ())
    with shop.world.refuses(Conflict):
        shop.do(lambda smith: smith.add_wrap(Purpose.RECORDS, 1, SPARE, False))
    shop.restart()
    shop.world.sql("UPDATE topic SET key = :key", key=old["topic"][0][2])
    with shop.world.refuses(Tampered):
        shop.world.do(topics.rotate, "t")


def test_a_version_with_tokens_under_it_is_not_destroyed(shop: Shop) -> None:
    shop.world.do(tokens.create, "kept")
    shop.do(lambda smith: smith.rotate(Purpose.LOOKUP, 1))
    shop.work_until(lambda: shop.behind() == 0)
    with shop.world.refuses(Conflict):
        shop.do(lambda smith: smith.retire(Purpose.LOOKUP, 1))


@pytest.mark.parametrize("change", ["state = 'active'", "state = 'retired'", "check_value = zeroblob(16)"])
def test_a_version_that_somebody_changed_in_the_database_is_found_at_the_start(shop: Shop, change: str) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.AUDIT, 1))
    shop.world.sql(f"UPDATE dek SET {change} WHERE purpose = 'audit' AND version = 1")
    with pytest.raises(Tampered):
        shop.restart()


def test_a_version_that_was_put_back_while_the_c2_serves_is_never_used(shop: Shop) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.AUDIT, 1))  # whose former versions are not destroyed by themselves
    shop.world.sql("UPDATE dek SET state = 'active' WHERE purpose = 'audit' AND version = 1")
    shop.world.sql("UPDATE dek SET state = 'decrypt_only' WHERE purpose = 'audit' AND version = 2")
    with pytest.raises(Tampered):
        shop.do(lambda smith: smith._renew())
    assert shop.world.realm.keyring.newest(Purpose.AUDIT) == b"\2\0\0\0"


# Cancelled in the midst


@pytest.mark.parametrize("times", [1, 2])
def test_a_rotation_cancelled_while_it_is_committed_is_in_use_afterwards(shop: Shop, times: int) -> None:
    """What is sealed from then on is under the version that the database says."""
    shop.world.do(deks.add, create(Purpose.RECORDS, 2, shop.database_id, shop.kmses, State.PREPARED))

    async def cancelled(smith: Locksmith) -> None:
        with closing(sqlite3.connect(shop.world.database, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            rotation = asyncio.create_task(smith.rotate(Purpose.RECORDS, 1))
            keyring = shop.world.realm.keyring
            async with asyncio.timeout(PATIENCE_S):
                while record_header(AES_256_GCM, 2) not in keyring._openers:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)  # it waits for the database now
            smith._behind.clear()
            for _ in range(times):
                rotation.cancel()
                await asyncio.sleep(0.01)
            assert not rotation.done()
            db.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await rotation
        assert not smith._changing.locked()
        assert smith._behind.is_set()

    shop.do(cancelled)
    assert shop.states(Purpose.RECORDS) == ["decrypt_only", "active"]
    assert shop.world.realm.keyring.newest(Purpose.RECORDS)[-4:] == b"\2\0\0\0"
