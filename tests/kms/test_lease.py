# SPDX-License-Identifier: Apache-2.0
"""Keys are held on a lease: when it is over nothing is used any more, and a fresh ring brings everything back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from e4core.errors import KmsError, KmsUnavailable, Tampered
from e4kms.deks import Dek, Purpose, State, create
from e4kms.keyring import Keyring, Lease
from e4kms.records import UNKNOWN_VERSION
from tests.kms.memory import MemoryKms
from tests.kms.rings import CELL, DATABASE, ROW, URI


class Stand:
    def __init__(self) -> None:
        self.kms = MemoryKms()
        self.deks = [create(purpose, 1, DATABASE, {URI: self.kms}) for purpose in Purpose]

    def ring(self, lease: Lease, *more: Dek) -> Keyring:
        return Keyring.unwrap([*self.deks, *more], DATABASE, {URI: self.kms}, lease)

    def rotated(self, purpose: Purpose) -> Dek:
        self.deks = [replace(dek, state=State.DECRYPT_ONLY) if dek.purpose is purpose else dek for dek in self.deks]
        return create(purpose, 2, DATABASE, {URI: self.kms})


@pytest.fixture
def stand() -> Stand:
    return Stand()


def uses(ring: Keyring, record: bytes, mac: bytes, noted: bytes) -> list[Callable[[], object]]:
    return [
        ring.require,
        lambda: ring.seal(CELL, b"x"),
        lambda: ring.open(CELL, record),
        lambda: ring.mac(ROW),
        lambda: ring.verify_mac(ROW, mac),
        lambda: ring.audit_mac(b"x"),
        lambda: ring.verify_audit_mac(b"x", noted),
        lambda: ring.lookup(b"x"),
        lambda: ring.lookups(b"x"),
        lambda: ring.newest(Purpose.RECORDS),
        lambda: ring.newest(Purpose.AUTHORITY),
    ]


def made(ring: Keyring) -> tuple[bytes, bytes, bytes]:
    return ring.seal(CELL, b"key"), ring.mac(ROW), ring.audit_mac(b"x")


def after_its_seconds(stand: Stand) -> Keyring:
    ring = stand.ring(Lease(seconds=0.01))
    time.sleep(0.02)
    return ring


def after_its_uses(stand: Stand) -> Keyring:
    ring = stand.ring(Lease(uses=1))
    ring.require()
    return ring


def expired(stand: Stand) -> Keyring:
    ring = stand.ring(Lease())
    ring.expire()
    return ring


@pytest.mark.parametrize("over", [after_its_seconds, after_its_uses, expired])
def test_when_the_lease_is_over_every_use_waits_for_the_kms(stand: Stand, over: Callable[[Stand], Keyring]) -> None:
    things = made(stand.ring(Lease()))
    ring = over(stand)
    assert ring.seconds_left == 0
    for use in uses(ring, *things):
        with pytest.raises(KmsUnavailable):
            use()


@pytest.mark.parametrize("over", [after_its_seconds, after_its_uses, expired])
def test_a_fresh_ring_brings_everything_back(stand: Stand, over: Callable[[Stand], Keyring]) -> None:
    things = made(stand.ring(Lease()))
    ring = over(stand)
    ring.renew(stand.ring(Lease(seconds=60)))
    for use in uses(ring, *things):
        use()
    assert 50 < ring.seconds_left <= 60


def test_an_expired_ring_holds_no_key(stand: Stand) -> None:
    ring = stand.ring(Lease())
    keys = ring._keys()
    ring.expire()
    assert ring._keys() == []
    assert all(not any(key._raw) for key in keys)


def test_half_of_the_lease_is_time_to_renew(stand: Stand) -> None:
    assert not stand.ring(Lease()).half_over
    by_uses = stand.ring(Lease(uses=4))
    for due in (False, False, False, True):
        assert by_uses.half_over is due
        by_uses.require()
    by_time = stand.ring(Lease(seconds=0.04))
    assert not by_time.half_over
    time.sleep(0.03)
    assert by_time.half_over


def test_a_renewed_ring_knows_the_versions_of_the_fresh_one_alone(stand: Stand) -> None:
    old, new = stand.ring(Lease()), stand.rotated(Purpose.RECORDS)
    before = old.seal(CELL, b"old")
    old.renew(stand.ring(Lease(), new))
    after = old.seal(CELL, b"new")
    assert (old.open(CELL, before), old.open(CELL, after)) == (b"old", b"new")
    assert after.startswith(old.newest(Purpose.RECORDS))
    retired = [dek for dek in stand.deks if dek.purpose is not Purpose.RECORDS]
    dropped = old._openers[before[:7]]
    old.renew(Keyring.unwrap([*retired, new], DATABASE, {URI: stand.kms}))
    with pytest.raises(Tampered) as caught:
        old.open(CELL, before)
    assert caught.value.kind == UNKNOWN_VERSION
    assert not any(dropped._raw)
    assert old.open(CELL, after) == b"new"


def test_a_renewal_leaves_no_copy_of_a_key_behind(stand: Stand) -> None:
    ring, fresh = stand.ring(Lease()), stand.ring(Lease())
    spare = fresh._keys()
    ring.renew(fresh)
    assert all(not any(key._raw) for key in spare)
    assert all(any(key._raw) for key in ring._keys())


def test_a_prepared_version_opens_and_seals_only_when_it_is_activated(stand: Stand) -> None:
    for purpose in Purpose:
        prepared = create(purpose, 2, DATABASE, {URI: stand.kms}, State.PREPARED)
        ring = stand.ring(Lease(), prepared)
        assert ring.newest(purpose)[-4:] == b"\1\0\0\0"
        ring.activate(purpose, 2)
        assert ring.newest(purpose)[-4:] == b"\2\0\0\0"


@pytest.mark.parametrize("purpose", Purpose)
def test_a_version_that_is_not_held_is_never_activated(stand: Stand, purpose: Purpose) -> None:
    ring = stand.ring(Lease())
    with pytest.raises(KmsError, match="not held"):
        ring.activate(purpose, 2)
    assert ring.newest(purpose)[-4:] == b"\1\0\0\0"


def test_a_closed_ring_stays_closed(stand: Stand) -> None:
    ring = stand.ring(Lease())
    ring.close()
    with pytest.raises(KmsError, match="closed"):
        ring.renew(stand.ring(Lease()))
    with pytest.raises(KmsError, match="closed") as caught:
        ring.lookup(b"x")
    assert not isinstance(caught.value, KmsUnavailable)
