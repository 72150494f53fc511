# SPDX-License-Identifier: Apache-2.0
"""Who opens the keys of the database: wraps come, go and are proved, and keys are held for a lease only."""

from __future__ import annotations

import time
from functools import partial

import pytest

from e4c2 import deks, locksmith, topics
from e4c2.locksmith import Locksmith
from e4core.errors import Conflict, InvalidInput, KmsError, KmsUnavailable, Tampered
from e4kms import shamir
from e4kms.breaker import Breaker
from e4kms.deks import Purpose
from e4kms.keyring import Keyring, Lease
from tests.c2.shop import SPARE, Shop
from tests.c2.world import World
from tests.kms.memory import MemoryKms

# Wraps


def test_a_kms_that_is_added_opens_the_database_alone(shop: Shop) -> None:
    shop.add_spare()
    shop.restart(SPARE)
    assert shop.world.topic_key("t")


def test_a_kms_that_is_removed_opens_nothing_any_more(shop: Shop) -> None:
    shop.add_spare()
    for dek in shop.stored():
        left = shop.do(partial(Locksmith.remove_wrap, purpose=dek.purpose, version=dek.version, uri=shop.file))
        assert [wrap.uri for wrap in left.wraps] == [SPARE]
    with pytest.raises(KmsError, match="configure one of: memory:spare"):
        shop.restart(shop.file)
    shop.restart(SPARE)


def test_the_last_wrap_and_the_last_that_opens_now_are_kept(shop: Shop) -> None:
    with shop.world.refuses(Conflict):
        shop.do(lambda smith: smith.remove_wrap(Purpose.RECORDS, 1, shop.file))
    shop.add_spare()
    shop.spare.available = False
    with shop.world.refuses(Conflict):
        shop.do(lambda smith: smith.remove_wrap(Purpose.RECORDS, 1, shop.file))


def test_wraps_are_made_anew_and_proved(shop: Shop) -> None:
    before = shop.stored()[0]
    after = shop.do(lambda smith: smith.rewrap(before.purpose, 1, shop.file))
    assert after.wraps != before.wraps
    shop.do(lambda smith: smith.check_wrap(before.purpose, 1, shop.file))
    shop.world.sql("UPDATE dek_wrap SET blob = CAST(substr(blob, 2) || x'00' AS BLOB) WHERE purpose = 'records'")
    with shop.world.refuses(Tampered):
        shop.do(lambda smith: smith.check_wrap(Purpose.RECORDS, 1, shop.file))
    with shop.world.refuses(Tampered):
        shop.do(lambda smith: smith.rewrap(Purpose.RECORDS, 1, shop.file))


def test_a_kms_that_the_settings_do_not_name_is_never_asked(shop: Shop) -> None:
    for use in (
        lambda smith: smith.add_wrap(Purpose.RECORDS, 1, "file:/etc/passwd", False),
        lambda smith: smith.rewrap(Purpose.RECORDS, 1, "file:/etc/passwd"),
        lambda smith: smith.check_wrap(Purpose.RECORDS, 1, "file:/etc/passwd"),
    ):
        with shop.world.refuses(InvalidInput):
            shop.do(use)


def test_wraps_that_changed_meanwhile_are_not_overwritten(shop: Shop) -> None:
    before = shop.stored()[0]
    shop.add_spare()
    with shop.world.refuses(Conflict):
        shop.world.store.run(deks.put_wraps, before, before)


def test_each_kms_tells_whether_it_answers(shop: Shop) -> None:
    shop.spare.available = False
    told = {each.uri: each.failure for each in shop.do(lambda smith: smith.providers())}
    assert told == {shop.file: None, SPARE: "switched off"}


def test_a_lost_share_shows_among_the_providers_and_in_the_check_of_a_wrap(shop: Shop) -> None:
    kmses: dict[str, MemoryKms] = {f"memory:{name}": MemoryKms() for name in "abc"}
    several = "shamir:2?" + "&".join(f"share={uri}" for uri in kmses)
    shop.kmses[several] = Breaker(several, lambda uri: shamir.open_kms(uri, lambda share: kmses[share]))
    shop.do(lambda smith: smith.add_wrap(Purpose.RECORDS, 1, several, False))
    assert [each.failure for each in shop.do(lambda smith: smith.providers())] == [None, None, None]
    assert shop.do(lambda smith: smith.check_wrap(Purpose.RECORDS, 1, several)) is None
    kmses["memory:c"].available = False
    lost = "2 of 3 shares answer; these do not: memory:c (kms_unavailable)"
    assert [each.failure for each in shop.do(lambda smith: smith.providers())] == [None, None, lost]
    assert shop.do(lambda smith: smith.check_wrap(Purpose.RECORDS, 1, several)) == lost
    assert shop.do(lambda smith: smith.check_wrap(Purpose.RECORDS, 1, shop.file)) is None


# The lease


@pytest.fixture
def leased(sk: World, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """On the spare KMS alone, with a lease of a moment."""
    monkeypatch.setattr(locksmith, "LOOK_EVERY_S", 0.01)
    sk.add("a")
    sk.topic("t", "a")
    shop = Shop(sk, Lease(seconds=0.4))
    shop.add_spare()
    shop.kmses = {SPARE: shop.spare}
    shop.restart()
    shop.world.realm.keyring.renew(Keyring.unwrap(shop.stored(), shop.database_id, shop.kmses, shop.lease))
    return shop


def usable(shop: Shop) -> bool:
    try:
        shop.world.realm.keyring.require()
    except KmsUnavailable:
        return False
    return True


def test_keys_are_renewed_before_their_lease_is_over(leased: Shop) -> None:
    asked, begun = leased.spare.asked, time.monotonic()
    leased.work_until(lambda: leased.spare.asked >= asked + 12 or not usable(leased))
    assert usable(leased)
    assert time.monotonic() - begun > 0.4


def test_without_its_kms_the_c2_goes_on_until_the_lease_is_over_and_then_holds_no_key(leased: Shop) -> None:
    leased.spare.available = False
    leased.work_until(lambda: leased.locksmith.failure is not None)
    assert usable(leased)
    leased.work_until(lambda: not usable(leased) and not leased.world.realm.keyring._keys())
    with pytest.raises(KmsUnavailable):
        leased.world.do(topics.create, "u")
    with pytest.raises(KmsUnavailable):
        leased.world.claim()
    assert leased.world.realm.channels._made == {}
    leased.spare.available = True
    leased.work_until(lambda: usable(leased) and leased.locksmith.failure is None)
    leased.world.do(topics.rotate, "t")


def test_a_kms_that_takes_its_key_away_stops_the_c2_at_the_end_of_the_lease(leased: Shop) -> None:
    leased.spare.kek = bytes(32)
    leased.work_until(lambda: not usable(leased))
    assert leased.locksmith.failure
