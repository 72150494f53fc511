# SPDX-License-Identifier: Apache-2.0
"""The keyring takes a DEK only if it is the one that was made, and asks a second KMS only if the first is away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from e4core.errors import InvalidInput, KeyNotFound, KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.kms import Kms, Wrapped
from e4kms.deks import Dek, Purpose, State, Wrap, create
from e4kms.keyring import Keyring
from tests.kms.memory import MalleableKms, MemoryKms
from tests.kms.rings import CELL, DATABASE, OTHER_DATABASE, SPARE, URI, GlassKms, Stand
from tests.kms.samples import flips


@pytest.fixture
def stand() -> Stand:
    return Stand()


# Only the DEK that was made is used


@pytest.fixture(params=["binding", "careless", "malleable"])
def any_stand(request: pytest.FixtureRequest) -> Stand:
    """Whatever the KMS itself notices, the keyring notices too."""
    kinds: dict[str, Callable[[], Kms]] = {
        "binding": MemoryKms,
        "careless": lambda: MemoryKms(binds_context=False),
        "malleable": MalleableKms,
    }
    return Stand(kinds[request.param]())


def test_the_wraps_of_two_purposes_swapped_are_an_alarm(any_stand: Stand) -> None:
    audit, authority = any_stand.deks[Purpose.AUDIT], any_stand.deks[Purpose.AUTHORITY]
    for swapped in (replace(audit, wraps=authority.wraps), replace(authority, purpose=Purpose.AUDIT)):
        with pytest.raises(Tampered):
            any_stand.unwrap(swapped)


def test_the_wraps_of_two_versions_swapped_are_an_alarm(any_stand: Stand) -> None:
    first, second = any_stand.deks[Purpose.RECORDS], any_stand.make(Purpose.RECORDS, 2)
    for swapped in (replace(first, wraps=second.wraps), replace(first, version=2), replace(second, version=1)):
        with pytest.raises(Tampered):
            any_stand.unwrap(swapped)


def test_a_dek_of_another_database_is_an_alarm(any_stand: Stand) -> None:
    with pytest.raises(Tampered):
        any_stand.unwrap(any_stand.make(Purpose.RECORDS, 1, OTHER_DATABASE))
    with pytest.raises(Tampered):
        Keyring.unwrap(any_stand.deks.values(), OTHER_DATABASE, {URI: any_stand.kms})


def test_every_flipped_bit_of_a_wrap_is_an_alarm(any_stand: Stand) -> None:
    dek = any_stand.deks[Purpose.RECORDS]
    wrapped = dek.wraps[0].wrapped
    for blob in [*flips(wrapped.blob), *(wrapped.blob[:length] for length in range(len(wrapped.blob)))]:
        with pytest.raises(Tampered):
            any_stand.unwrap(replace(dek, wraps=(Wrap(0, URI, replace(wrapped, blob=blob)),)))


def test_every_flipped_bit_of_a_check_value_is_an_alarm(stand: Stand) -> None:
    dek = stand.deks[Purpose.LOOKUP]
    for changed in [*flips(dek.check_value), dek.check_value[:15], b""]:
        with pytest.raises(Tampered):
            stand.unwrap(replace(dek, check_value=changed))


def test_one_bad_dek_spoils_the_ring_even_if_it_is_old(stand: Stand) -> None:
    old = replace(stand.make(Purpose.AUDIT, 1), state=State.DECRYPT_ONLY, check_value=bytes(16))
    with pytest.raises(Tampered):
        stand.unwrap(old, stand.make(Purpose.AUDIT, 2))


@pytest.mark.parametrize("purpose", Purpose)
def test_a_purpose_without_an_active_version_is_an_error(stand: Stand, purpose: Purpose) -> None:
    for deks in (
        [dek for dek in stand.deks.values() if dek.purpose is not purpose],
        [replace(dek, state=State.DECRYPT_ONLY) if dek.purpose is purpose else dek for dek in stand.deks.values()],
    ):
        with pytest.raises(KmsError, match=f"no active version of the {purpose} DEK"):
            Keyring.unwrap(deks, DATABASE, {URI: stand.kms})


@pytest.mark.parametrize("stored", ["", "Active", "destroyed"])
def test_a_stored_word_that_was_never_written_is_an_alarm(stored: str) -> None:
    for vocabulary in (State, Purpose):
        with pytest.raises(Tampered):
            vocabulary(stored)


@pytest.mark.parametrize(
    ("version", "database_id"),
    [(0, DATABASE), (-1, DATABASE), (2**32, DATABASE), (1, b""), (1, bytes(15)), (1, bytes(17))],
)
def test_a_version_or_database_id_of_another_form_is_refused(stand: Stand, version: int, database_id: bytes) -> None:
    with pytest.raises(InvalidInput):
        stand.make(Purpose.RECORDS, version, database_id)
    with pytest.raises(InvalidInput):
        Keyring.unwrap([replace(dek, version=version) for dek in stand.deks.values()], database_id, {URI: stand.kms})


def test_two_deks_never_have_one_root(stand: Stand) -> None:
    glass = GlassKms()
    assert len({create(Purpose.RECORDS, 1, DATABASE, {URI: glass}).wraps[0].wrapped.blob for _ in range(100)}) == 100


def test_a_dek_whose_wrap_does_not_open_is_never_made() -> None:
    class Forgetful(MemoryKms):
        def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
            return Secret(bytes(32))

    with pytest.raises(KmsError):
        create(Purpose.RECORDS, 1, DATABASE, {URI: Forgetful()})


# Failover


class Pair:
    """Every DEK wrapped by two KMSes, the main one first."""

    def __init__(self) -> None:
        self.main = MemoryKms()
        self.spare = MemoryKms(self.main.kek)
        # listed backwards, for it is the slot that orders
        self.deks = [
            replace(dek, wraps=(Wrap(1, SPARE, dek.wraps[0].wrapped), *dek.wraps))
            for dek in Stand(self.main).deks.values()
        ]
        self.main.asked = 0

    def unwrap(self, deks: list[Dek] | None = None) -> Keyring:
        return Keyring.unwrap(deks or self.deks, DATABASE, {URI: self.main, SPARE: self.spare})


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_the_first_slot_is_asked_first_and_alone(pair: Pair) -> None:
    assert pair.unwrap().passed_over == frozenset()
    assert (pair.main.asked, pair.spare.asked) == (4, 0)


def test_an_unavailable_kms_is_passed_over_and_named(pair: Pair) -> None:
    record = pair.unwrap().seal(CELL, b"key")
    pair.main.available = False
    ring = pair.unwrap()
    assert ring.open(CELL, record) == b"key"
    assert ring.passed_over == {URI}


def test_a_kms_that_is_no_longer_configured_is_passed_over(pair: Pair) -> None:
    ring = Keyring.unwrap(pair.deks, DATABASE, {SPARE: pair.spare})
    assert ring.passed_over == frozenset()
    assert pair.spare.asked == 4


def test_no_kms_that_answers_means_try_later(pair: Pair) -> None:
    pair.main.available = pair.spare.available = False
    with pytest.raises(KmsUnavailable, match="memory:main, memory:spare"):
        pair.unwrap()


def test_no_configured_kms_is_an_error_of_the_configuration(pair: Pair) -> None:
    with pytest.raises(KmsError, match="configure one of") as caught:
        Keyring.unwrap(pair.deks, DATABASE, {"memory:other": MemoryKms()})
    assert not isinstance(caught.value, KmsUnavailable)


def test_a_tampered_wrap_never_fails_over(pair: Pair) -> None:
    def tampered(wrap: Wrap) -> Wrap:
        return (
            replace(wrap, wrapped=replace(wrap.wrapped, blob=flips(wrap.wrapped.blob)[0])) if wrap.uri == URI else wrap
        )

    deks = [replace(dek, wraps=tuple(map(tampered, dek.wraps))) for dek in pair.deks]
    with pytest.raises(Tampered):
        pair.unwrap(deks)
    assert (pair.main.asked, pair.spare.asked) == (1, 0)


def test_a_root_that_fails_its_check_value_never_fails_over(pair: Pair) -> None:
    with pytest.raises(Tampered):
        pair.unwrap([replace(dek, check_value=bytes(16)) for dek in pair.deks])
    assert (pair.main.asked, pair.spare.asked) == (1, 0)


def test_a_key_that_is_gone_never_fails_over(pair: Pair) -> None:
    pair.main = MemoryKms()
    with pytest.raises(KeyNotFound):
        pair.unwrap()
    assert pair.spare.asked == 0
