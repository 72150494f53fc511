# SPDX-License-Identifier: Apache-2.0
"""A KMS that does not answer is left alone for a while, and asked again after it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from e4core.errors import InvalidInput, KeyNotFound, KmsUnavailable
from e4core.keys import Secret
from e4core.kms import HasShares, Kms, Rewraps, Wrapped
from e4kms.breaker import Breaker
from tests.kms.memory import MemoryKms

SECRET = Secret(bytes(range(32)))
PAUSE_S = 10.0


class Service:
    """A KMS at a URI, and a clock."""

    def __init__(self) -> None:
        self.kms = MemoryKms()
        self.now = 0.0
        self.opened = 0
        self.failure: Exception | None = None

    def open_kms(self, uri: str, /) -> Kms:
        self.opened += 1
        if self.failure is not None:
            raise self.failure
        return self.kms

    def breaker(self) -> Breaker:
        return Breaker("memory:it", self.open_kms, PAUSE_S, lambda: self.now)


@pytest.fixture
def service() -> Service:
    return Service()


def test_it_is_the_kms_while_that_answers(service: Service) -> None:
    breaker = service.breaker()
    wrapped = breaker.wrap(SECRET, b"here")
    assert breaker.unwrap(wrapped, b"here") == SECRET
    breaker.check()
    assert service.opened == 1


def test_an_error_that_time_does_not_mend_is_raised_at_once_and_every_time(service: Service) -> None:
    service.failure = InvalidInput("the URI is wrong")
    with pytest.raises(InvalidInput):
        service.breaker()
    service.failure = None
    breaker, other = service.breaker(), MemoryKms().wrap(SECRET, b"")
    for _ in range(2):
        with pytest.raises(KeyNotFound):
            breaker.unwrap(other, b"")
    assert service.kms.asked == 2


def test_a_silent_kms_is_not_asked_again_within_the_pause(service: Service) -> None:
    breaker = service.breaker()
    wrapped = breaker.wrap(SECRET, b"")
    service.kms.available = False
    for _ in range(5):
        with pytest.raises(KmsUnavailable, match="switched off"):
            breaker.unwrap(wrapped, b"")
    assert service.kms.asked == 1
    service.now += PAUSE_S
    with pytest.raises(KmsUnavailable):
        breaker.unwrap(wrapped, b"")
    assert service.kms.asked == 2


def test_it_is_used_again_when_it_answers_again(service: Service) -> None:
    breaker = service.breaker()
    wrapped = breaker.wrap(SECRET, b"")
    service.kms.available = False
    with pytest.raises(KmsUnavailable):
        breaker.check()
    service.kms.available = True
    with pytest.raises(KmsUnavailable):
        breaker.check()
    service.now += PAUSE_S
    assert breaker.unwrap(wrapped, b"") == SECRET
    breaker.check()


def test_one_that_cannot_be_reached_at_the_start_is_opened_when_it_can(service: Service) -> None:
    service.failure = KmsUnavailable("not yet", kind="kms_sealed")
    breaker = service.breaker()
    service.failure = None
    with pytest.raises(KmsUnavailable) as caught:
        breaker.check()
    assert caught.value.kind == "kms_sealed"
    service.now += PAUSE_S
    breaker.check()
    assert service.opened == 2


def test_a_wrap_is_made_anew_by_kmses_that_have_no_way_of_their_own(service: Service) -> None:
    breaker = service.breaker()
    assert not isinstance(service.kms, Rewraps)
    old = breaker.wrap(SECRET, b"here")
    new = breaker.rewrap(old, b"here")
    assert new != old
    assert breaker.unwrap(new, b"here") == SECRET


def test_closed_is_closed(service: Service) -> None:
    breaker = service.breaker()
    breaker.close()
    breaker.close()
    assert service.kms.closed
    service.failure = KmsUnavailable("gone")
    service.breaker().close()


@pytest.mark.parametrize("use", [lambda b: b.wrap(SECRET, b""), lambda b: b.check()])
def test_two_silent_kmses_do_not_share_a_pause(service: Service, use: Callable[[Breaker], object]) -> None:
    first, second = service.breaker(), service.breaker()
    service.kms.available = False
    with pytest.raises(KmsUnavailable):
        use(first)
    service.kms.available = True
    use(second)


class Several(MemoryKms):
    """With shares, of which one is lost."""

    def check_shares(self, wrapped: Wrapped | None, context: bytes, /) -> str | None:
        self._answer()
        return f"lost {wrapped} {context!r}"


def test_shares_are_those_of_the_kms_behind_it(service: Service) -> None:
    breaker = service.breaker()
    assert isinstance(breaker, HasShares)
    wrapped = breaker.wrap(SECRET, b"here")
    asked = service.kms.asked
    assert breaker.check_shares(None, b"") is None
    assert breaker.check_shares(wrapped, b"here") is None
    assert service.kms.asked == asked
    service.kms.available = False
    with pytest.raises(KmsUnavailable):
        breaker.check_shares(None, b"")
    service.kms = Several()
    assert service.breaker().check_shares(wrapped, b"here") == f"lost {wrapped} b'here'"
