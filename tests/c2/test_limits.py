# SPDX-License-Identifier: Apache-2.0
"""Who asks too often waits, and who guesses waits longer; nobody else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from e4c2.access import limits
from e4c2.access.limits import LOCKED_OUT, MOST, TOO_MANY, Limits
from e4core.errors import RateExceeded
from tests.c2.served import ADMIN, bearer, created, problem, serving, settings_in
from tests.c2.world import Clock

HERE = "127.0.0.1"


@pytest.fixture
def clock() -> Clock:
    return Clock(0)


def waits(of: Limits, address: str = HERE, shown: str = "wrong") -> int:
    """Seconds that this source has to wait; 0: it may try."""
    error = of.lockout(address, shown)
    assert error is None or error.kind == LOCKED_OUT
    return (error and error.wait_s) or 0


def test_a_source_of_wrong_credentials_waits_and_no_other(clock: Clock) -> None:
    some = Limits(1, 6, clock)
    for _ in range(6):
        assert not waits(some)
        some.failed(HERE, "wrong")
    assert waits(some) == 10
    assert not waits(some, "127.0.0.2")
    clock.now += 9
    assert waits(some) == 1
    clock.now += 1
    assert not waits(some)
    some.failed(HERE, "wrong")
    assert waits(some) == 10


def test_who_is_known_from_there_is_let_in_all_the_same_until_refused(clock: Clock) -> None:
    some = Limits(1, 1, clock)
    some.check_principal(HERE, "right", "somebody")
    some.failed(HERE, "wrong")
    assert (waits(some), waits(some, shown="right")) == (60, 0)
    some.failed(HERE, "right")  # as it was revoked
    assert waits(some, shown="right") == 60


def test_many_addresses_of_one_network_are_one_source(clock: Clock) -> None:
    some = Limits(1, 1, clock)
    some.failed("2001:db8::1", "wrong")
    assert waits(some, "2001:db8::2")
    assert not waits(some, "2001:db8:0:1::1")


def test_an_address_of_ipv4_is_the_same_source_however_it_is_written_and_no_other(clock: Clock) -> None:
    some = Limits(1, 1, clock)
    some.failed("::ffff:192.0.2.1", "wrong")
    assert waits(some, "::ffff:192.0.2.1") and waits(some, "192.0.2.1") and waits(some, "::ffff:c000:201")
    for other in ("::ffff:192.0.2.2", "192.0.2.2", "::1", "fe80::1%eth0", "", "a socket"):
        assert not waits(some, other)


def test_a_principal_has_a_rate_of_its_own(clock: Clock) -> None:
    some = Limits(2, 1, clock)
    for _ in range(2 * int(limits.BURST_S)):
        some.check_principal(HERE, "right", "somebody")
    with pytest.raises(RateExceeded) as caught:
        some.check_principal(HERE, "right", "somebody")
    assert (caught.value.kind, caught.value.wait_s) == (TOO_MANY, 1)
    some.check_principal(HERE, "also right", "another")
    clock.now += 0.5
    some.check_principal(HERE, "right", "somebody")


def test_who_is_refused_too_often_waits_there(clock: Clock) -> None:
    some = Limits(500, 1, clock)
    for _ in range(int(limits.BURST_S)):
        some.check_principal(HERE, "right", "enrolment/1")
        some.refused(HERE, "enrolment/1")
    with pytest.raises(RateExceeded) as caught:
        some.check_principal(HERE, "right", "enrolment/1")
    assert (caught.value.kind, caught.value.wait_s) == (TOO_MANY, 1)
    some.check_principal("192.0.2.1", "right", "enrolment/1")
    some.check_principal(HERE, "right", "enrolment/2")
    clock.now += 1
    some.check_principal(HERE, "right", "enrolment/1")


def test_what_is_remembered_is_bounded(clock: Clock) -> None:
    some = Limits(1, 1, clock)
    for n in range(MOST + 100):
        some.failed(str(n), "wrong")
        some.check_principal(str(n), "right", str(n))
    assert all(len(kept) == MOST for kept in (some._failures._left, some._requests._left, some._known))


def test_the_api_says_how_long_to_wait(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, failures_per_min=1, requests_per_s=0.001)) as c2:
        other = created(c2.http.post("/v1/tokens", json={"name": "other", "grants": ADMIN}))["token"]
        with c2.stranger() as http:
            problem(http.get("/v1/self", headers=bearer("e4_wrong")), 401)
            refused = http.get("/v1/self", headers=bearer("e4_wrong"))
            problem(refused, 429, "locked_out")
            assert 0 < int(refused.headers["retry-after"]) <= 60
            problem(http.get("/v1/self", headers=bearer(other)), 429, "locked_out")  # not known from there
            problem(http.get("/v1/self"), 429, "locked_out")
        # known from there, and its one request of a thousand seconds was the first
        problem(c2.http.get("/v1/self"), 429, "too_many_requests")
        c2.http.get("/v1/health").raise_for_status()
