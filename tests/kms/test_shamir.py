# SPDX-License-Identifier: Apache-2.0
"""The ``shamir:`` driver: any k of n KMSes open, k-1 never do, all are needed to wrap, and what its URI may be."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from urllib.parse import quote

import pytest
from Crypto.Protocol.SecretSharing import Shamir

from e4core.errors import InvalidInput, KmsDenied, KmsError, KmsUnavailable, PluginError, Tampered
from e4core.keys import Secret
from e4core.kms import Kms, Rewraps, Wrapped
from e4kms import file
from e4kms.shamir import MOST_BLOB_LEN, open_kms
from tests.kms.memory import MemoryKms
from tests.kms.samples import CONTEXT, SECRET
from tests.kms.shared import (
    Denying,
    Services,
    Spy,
    file_uris,
    load,
    real_uris,
    share_of,
    uri_of,
    with_share,
)

SIZES = [(k, n) for n in range(2, 6) for k in range(2, n + 1)]


@pytest.fixture
def uris(tmp_path: Path) -> list[str]:
    return real_uris(tmp_path)


@pytest.fixture
def services() -> Services:
    return Services()


# Any k of n


def test_the_files_are_opened_by_the_plugin_loader(tmp_path: Path) -> None:
    kms = open_kms(uri_of(2, file_uris(tmp_path, 2)))
    assert kms.unwrap(kms.wrap(SECRET, CONTEXT), CONTEXT) == SECRET


@pytest.mark.parametrize(("threshold", "count"), SIZES)
def test_any_k_of_n_open_it(services: Services, threshold: int, count: int) -> None:
    kms = services.open(threshold, count)
    wrapped = kms.wrap(SECRET, CONTEXT)
    numbers = set(range(1, count + 1))
    for up in combinations(numbers, threshold):
        with services.off(*numbers - set(up)):
            assert kms.unwrap(wrapped, CONTEXT) == SECRET


@pytest.mark.parametrize(("threshold", "count"), SIZES)
def test_no_k_less_one_open_it(services: Services, threshold: int, count: int) -> None:
    kms = services.open(threshold, count)
    wrapped = kms.wrap(SECRET, CONTEXT)
    numbers = set(range(1, count + 1))
    for up in combinations(numbers, threshold - 1):
        with services.off(*numbers - set(up)), pytest.raises(KmsUnavailable):
            kms.unwrap(wrapped, CONTEXT)


@pytest.mark.parametrize(("threshold", "count"), SIZES)
def test_k_less_one_shares_do_not_make_the_key(services: Services, threshold: int, count: int) -> None:
    spies = [Spy() for _ in range(count)]
    for number, spy in enumerate(spies, 1):
        services.put(number, spy)
    services.open(threshold, count).wrap(SECRET, CONTEXT)
    shares = [(number, spy.seen[0][:16]) for number, spy in enumerate(spies, 1)]
    keys = {Shamir.combine(list(some)) for some in combinations(shares, threshold)}
    assert len(keys) == 1
    assert keys.isdisjoint(Shamir.combine(list(some)) for some in combinations(shares, threshold - 1))


@pytest.mark.parametrize("gone", range(3))
def test_each_of_three_real_kmses_can_be_lost_but_no_two(uris: list[str], gone: int) -> None:
    wrapped = open_kms(uri_of(2, uris), load).wrap(SECRET, CONTEXT)
    Path(uris[gone].partition("://")[2]).unlink()
    kms = open_kms(uri_of(2, uris), load)
    kms.check()
    assert kms.unwrap(wrapped, CONTEXT) == SECRET
    Path(uris[gone - 1].partition("://")[2]).unlink()
    with pytest.raises(KmsError):
        open_kms(uri_of(2, uris), load).unwrap(wrapped, CONTEXT)


def test_sixteen_kmses_are_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(16):
        file.create(Path(f"{number}"))
    kms = open_kms(uri_of(16, [f"file:{number}" for number in range(16)]))
    assert kms.unwrap(kms.wrap(SECRET, CONTEXT), CONTEXT) == SECRET


def test_no_share_is_the_secret_and_no_wrap_like_another(services: Services) -> None:
    kms = services.open(2, 2)
    first, second = kms.wrap(SECRET, CONTEXT), kms.wrap(SECRET, CONTEXT)
    assert first.key_id != second.key_id
    for wrapped in (first, second):
        assert not [half for half in (SECRET[:16], SECRET[16:]) if half in wrapped.blob]


def test_only_as_many_are_asked_as_are_needed(services: Services) -> None:
    kms = services.open(2, 5)
    wrapped = kms.wrap(SECRET, CONTEXT)
    before = [services.memory(number).asked for number in range(1, 6)]
    kms.unwrap(wrapped, CONTEXT)
    assert [services.memory(number).asked for number in range(1, 6)] == [before[0] + 1, before[1] + 1, *before[2:]]


def test_who_did_not_answer_is_asked_last_the_next_time(services: Services) -> None:
    kms = services.open(2, 3)
    wrapped = kms.wrap(SECRET, CONTEXT)
    with services.off(1):
        kms.unwrap(wrapped, CONTEXT)
        before = services.memory(1).asked
        kms.unwrap(wrapped, CONTEXT)
        assert services.memory(1).asked == before


# Wrapping needs all


def test_a_wrap_needs_every_kms(services: Services) -> None:
    kms = services.open(2, 3)
    with services.off(3), pytest.raises(KmsUnavailable, match=r"memory:3 \(kms_unavailable\)"):
        kms.wrap(SECRET, CONTEXT)
    services.put(3, Denying())
    with pytest.raises(KmsDenied, match=r"memory:3 \(kms_denied\)"):
        services.open(2, 3).wrap(SECRET, CONTEXT)


def test_a_share_that_does_not_come_back_is_seen_when_it_is_made(services: Services) -> None:
    class Forgetful(MemoryKms):
        def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
            return Secret(bytes(32))

    services.put(3, Forgetful())
    with pytest.raises(KmsError, match="memory:3"):
        services.open(2, 3).wrap(SECRET, CONTEXT)


def test_wraps_too_long_for_the_database_are_not_made(services: Services) -> None:
    class Wordy(MemoryKms):
        def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
            return replace(super().wrap(secret, context), mechanism="long" * 2000)

    services.put(2, Wordy())
    with pytest.raises(KmsError, match=f"more than {MOST_BLOB_LEN} bytes"):
        services.open(2, 2).wrap(SECRET, CONTEXT)


def test_a_rewrap_is_split_anew(services: Services) -> None:
    kms = services.open(2, 3)
    assert isinstance(kms, Rewraps)
    old = kms.wrap(SECRET, CONTEXT)
    new = kms.rewrap(old, CONTEXT)
    assert kms.unwrap(new, CONTEXT) == SECRET
    for number in range(1, 3):
        with pytest.raises(Tampered):
            kms.unwrap(with_share(new, number, share_of(old, number)), CONTEXT)
    with services.off(3), pytest.raises(KmsUnavailable):
        kms.rewrap(old, CONTEXT)


# What a URI may be


@pytest.mark.parametrize(
    "uri",
    [
        "shamir:",
        "shamir:2",
        "shamir:2?",
        "shamir:2?share=memory:1",
        "shamir:1?share=memory:1&share=memory:2",
        "shamir:0?share=memory:1&share=memory:2",
        "shamir:3?share=memory:1&share=memory:2",
        "shamir:02?share=memory:1&share=memory:2",
        "shamir:\u0662?share=memory:1&share=memory:2",
        "shamir:2?share=memory:1&share=memory:1",
        "shamir:2?share=memory:1&share=memory%3A1",
        "shamir:2?share=memory:1&share=",
        "shamir:2?share=memory:1&share=memory:2&",
        "shamir:2?share=memory:1&share=memory:2&pin=1",
        "shamir:2?share=memory:1&share=memory:2#x",
        "shamir:2?share=memory:1&share=memory:%zz",
        "shamir:2?share=memory:1&share=memory:%ff",
        "shamir:2?share=memory:1&share=memory: 2",
        "shamir:2?share=memory:1&share=memory:2\n",
        "shamir:2?share=memory:1&share=" + quote("shamir:2?share=memory:2&share=memory:3", safe=""),
        "shamir:2?share=memory:1&share=SHAMIR:2",
        "shamir:2?" + "&".join(f"share=memory:{number}" for number in range(17)),
        "shamir:2?share=memory:1&share=memory:" + "2" * 1024,
        "file:2?share=memory:1&share=memory:2",
        "",
    ],
)
def test_a_bad_uri_is_refused(services: Services, uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_kms(uri, services)
    assert caught.value.kind == "bad_uri"
    assert "memory" not in str(caught.value)


def test_a_plus_in_a_uri_stays_a_plus() -> None:
    asked = []

    def load(uri: str, /) -> Kms:
        asked.append(uri)
        return MemoryKms()

    open_kms("shamir:2?share=vault+https://a/b?c=d%26e=%2525&share=memory:2", load)
    assert asked == ["vault+https://a/b?c=d&e=%25", "memory:2"]


def test_what_no_time_mends_is_said_at_once(tmp_path: Path) -> None:
    good = file_uris(tmp_path, 1)
    with pytest.raises(InvalidInput):
        open_kms(uri_of(2, [*good, "file://host/x"]))
    with pytest.raises(PluginError):
        open_kms(uri_of(2, [*good, "nothing-of-this-name:x"]))


def test_closing_closes_all(services: Services) -> None:
    services.open(2, 3).close()
    assert all(services.memory(number).closed for number in (1, 2, 3))
