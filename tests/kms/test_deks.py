# SPDX-License-Identifier: Apache-2.0
"""Wraps come and go without touching what the DEK sealed, and never so that nothing opens it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from e4core.errors import Conflict, KmsDenied, KmsError, KmsUnavailable, NotFound, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms.deks import Dek, Purpose, add_wrap, check_wrap, create, remove_wrap, rewrap, unwrap
from tests.kms.memory import MemoryKms

DATABASE = bytes(range(16))
A, B, C = "memory:a", "memory:b", "memory:c"


class Stand:
    def __init__(self) -> None:
        self.kmses = {uri: MemoryKms() for uri in (A, B, C)}
        self.dek = create(Purpose.RECORDS, 1, DATABASE, {A: self.kmses[A]})

    def root(self, dek: Dek, *uris: str) -> Secret:
        return unwrap(dek, DATABASE, {uri: self.kmses[uri] for uri in uris or self.kmses})

    def added(self, uri: str, dek: Dek | None = None, *, first: bool = False) -> Dek:
        dek = dek or self.dek
        return add_wrap(dek, DATABASE, self.root(dek), uri, self.kmses[uri], first=first)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_any_one_of_several_kmses_opens_the_dek(stand: Stand) -> None:
    dek = stand.added(C, stand.added(B))
    assert [wrap.uri for wrap in dek.wraps] == [A, B, C]
    assert {bytes(stand.root(dek, uri)) for uri in (A, B, C)} == {bytes(stand.root(stand.dek, A))}


def test_one_that_is_added_first_is_asked_first(stand: Stand) -> None:
    dek = stand.added(C, stand.added(B), first=True)
    assert [wrap.uri for wrap in dek.wraps] == [C, A, B]
    assert len({wrap.slot for wrap in dek.wraps}) == 3


def test_a_kms_is_added_once(stand: Stand) -> None:
    with pytest.raises(Conflict, match="already"):
        stand.added(A)


def test_a_wrap_that_does_not_open_is_never_added(stand: Stand) -> None:
    class Forgetful(MemoryKms):
        def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
            return Secret(bytes(32))

    with pytest.raises(Tampered):
        add_wrap(stand.dek, DATABASE, stand.root(stand.dek), B, Forgetful())


def test_a_removed_kms_opens_nothing_any_more(stand: Stand) -> None:
    dek = remove_wrap(stand.added(B), A)
    assert [wrap.uri for wrap in dek.wraps] == [B]
    assert stand.root(dek, B) == stand.root(stand.dek, A)
    with pytest.raises(NotFound):
        remove_wrap(dek, A)


def test_the_last_wrap_is_not_removed(stand: Stand) -> None:
    with pytest.raises(Conflict, match="last"):
        remove_wrap(stand.dek, A)


def test_a_dek_without_any_wrap_was_changed_in_the_database(stand: Stand) -> None:
    with pytest.raises(Tampered, match="all wraps of version 1 of the records DEK are gone"):
        stand.root(replace(stand.dek, wraps=()))


class Rotating(MemoryKms):
    """Rewraps by itself, and marks what it did."""

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        return replace(self.wrap(self.unwrap(wrapped, context), context), mechanism="newest")


def test_a_wrap_made_anew_opens_to_the_same_and_keeps_its_place(stand: Stand) -> None:
    stand.kmses[B] = Rotating()
    before = stand.added(C, stand.added(B))
    for uri, mechanism in ((A, "aes-256-gcm"), (B, "newest")):
        after = rewrap(before, DATABASE, uri, stand.kmses[uri])
        assert [wrap.uri for wrap in after.wraps] == [A, B, C]
        assert after.wrap_at(uri).wrapped.blob != before.wrap_at(uri).wrapped.blob
        assert after.wrap_at(uri).wrapped.mechanism == mechanism
        assert stand.root(after, uri) == stand.root(before, uri)
        assert [w for w in after.wraps if w.uri != uri] == [w for w in before.wraps if w.uri != uri]


def test_a_changed_wrap_is_not_made_anew(stand: Stand) -> None:
    bad = replace(stand.dek, check_value=bytes(16))
    with pytest.raises(Tampered):
        rewrap(bad, DATABASE, A, stand.kmses[A])
    with pytest.raises(Tampered):
        check_wrap(bad, DATABASE, A, stand.kmses[A])
    check_wrap(stand.dek, DATABASE, A, stand.kmses[A])
    for use in (rewrap, check_wrap):
        with pytest.raises(NotFound):
            use(stand.dek, DATABASE, B, stand.kmses[B])


# A KMS that moved


def test_a_kms_that_moved_is_found_by_its_scheme(stand: Stand) -> None:
    assert unwrap(stand.dek, DATABASE, {B: stand.kmses[B], C: stand.kmses[A]}) == stand.root(stand.dek, A)


def test_no_other_scheme_is_asked_for_a_kms_that_moved(stand: Stand) -> None:
    with pytest.raises(KmsError, match=f"configure one of: {A}"):
        unwrap(stand.dek, DATABASE, {"file:a": stand.kmses[A]})
    assert stand.kmses[A].asked == 1  # when the wrap was made


def test_a_kms_that_moved_and_is_silent_means_try_later(stand: Stand) -> None:
    stand.kmses[A].available = False
    with pytest.raises(KmsUnavailable):
        unwrap(stand.dek, DATABASE, {B: stand.kmses[B], C: stand.kmses[A]})


def test_a_configured_kms_is_asked_for_its_own_wraps_only(stand: Stand) -> None:
    stand.kmses[A].available = False
    with pytest.raises(KmsUnavailable):
        unwrap(stand.dek, DATABASE, {A: stand.kmses[A], B: MemoryKms(stand.kmses[A].kek)})


class Denying(MemoryKms):
    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        raise KmsDenied("the policy forbids it")


@pytest.mark.parametrize("denying_first", [True, False])
def test_a_kms_that_moved_and_denies_is_told_so(stand: Stand, denying_first: bool) -> None:
    elsewhere = {B: Denying(), C: stand.kmses[C]} if denying_first else {B: stand.kmses[B], C: Denying()}
    with pytest.raises(KmsDenied, match=r"configure one of: memory:a; .* refused: the policy forbids it"):
        unwrap(stand.dek, DATABASE, elsewhere)


def test_a_kms_that_moved_without_its_key_is_told_so(stand: Stand) -> None:
    with pytest.raises(KmsError, match=r"none of the configured KMSes.*refused: there is no key") as caught:
        stand.root(stand.dek, B)
    assert type(caught.value) is KmsError


def test_one_that_moved_and_denies_is_told_beside_one_that_is_silent(stand: Stand) -> None:
    stand.kmses[B].available = False
    with pytest.raises(KmsUnavailable, match="the policy forbids it"):
        unwrap(stand.dek, DATABASE, {B: stand.kmses[B], C: Denying()})


# KMSes that are silent


def test_what_keeps_each_from_answering_is_told_once(stand: Stand) -> None:
    class Sealed(MemoryKms):
        def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
            raise KmsUnavailable("it is sealed; unseal it")

    dek = stand.added(C, stand.added(B))
    stand.kmses[A].available = stand.kmses[B].available = False
    with pytest.raises(
        KmsUnavailable, match=r"one of: memory:a, memory:b, memory:c \(switched off; it is sealed; unseal it\)$"
    ):
        unwrap(dek, DATABASE, {**stand.kmses, C: Sealed()})


# A KMS of several


def test_a_check_names_the_shares_that_do_not_open(stand: Stand) -> None:
    class Several(MemoryKms):
        def check_shares(self, wrapped: Wrapped | None, context: bytes, /) -> str | None:
            assert wrapped is not None
            self.unwrap(wrapped, context)
            return "1 of 2 shares answer"

    assert check_wrap(stand.dek, DATABASE, A, stand.kmses[A]) is None
    several = Several(stand.kmses[A].kek)
    assert check_wrap(stand.dek, DATABASE, A, several) == "1 of 2 shares answer"
    several.available = False
    with pytest.raises(KmsUnavailable):
        check_wrap(stand.dek, DATABASE, A, several)
