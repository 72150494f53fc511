# SPDX-License-Identifier: Apache-2.0
"""The ``shamir:`` driver: any k of n KMSes open, k-1 never do, and what fails is told apart."""

from __future__ import annotations

import base64
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from urllib.parse import quote

import pytest
from Crypto.Protocol.SecretSharing import Shamir
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import InvalidInput, KmsDenied, KmsError, KmsUnavailable, PluginError, Tampered
from e4core.keys import Secret
from e4core.kms import HasShares, Kms, KmsFactory, Rewraps, Wrapped
from e4kms import file, passphrase
from e4kms.records import canonical
from e4kms.shamir import MOST_BLOB_LEN, ShamirKms, open_kms
from tests.kms.memory import MalleableKms, MemoryKms

SECRET = Secret(bytes(range(32)))
CONTEXT = b"the context"
PASSPHRASE = Secret(b"correct horse battery staple")
WRONG = Secret(b"another long passphrase")
SIZES = [(k, n) for n in range(2, 6) for k in range(2, n + 1)]


def uri_of(threshold: int, uris: list[str]) -> str:
    return f"shamir:{threshold}?" + "&".join(f"share={quote(uri, safe='')}" for uri in uris)


def load(uri: str, /) -> Kms:
    """The real drivers, also where the entry points of one are not installed."""
    factories: dict[str, KmsFactory] = {"file": file.open_kms, "passphrase": passphrase.open_kms}
    return factories[uri.partition(":")[0]](uri)


def file_uris(folder: Path, count: int) -> list[str]:
    paths = [folder / f"{number}.json" for number in range(count)]
    for path in paths:
        assert file.create(path)
    return [f"file://{path}" for path in paths]


@pytest.fixture
def uris(tmp_path: Path) -> list[str]:
    """Two KEK files and a passphrase."""
    (tmp_path / "passphrase").touch(0o600)
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    return [*file_uris(tmp_path, 2), f"passphrase://{tmp_path}/passphrase"]


@dataclass
class Services:
    """Working KMSes in memory, which can fail in every way: ``memory:1`` to ``memory:9``."""

    kmses: dict[str, Kms] = field(default_factory=lambda: {f"memory:{number}": MemoryKms() for number in range(1, 10)})

    def __call__(self, uri: str, /) -> Kms:
        return self.kmses[uri]

    def open(self, threshold: int, count: int) -> ShamirKms:
        return open_kms(uri_of(threshold, [f"memory:{number}" for number in range(1, count + 1)]), self)

    def memory(self, number: int) -> MemoryKms:
        kms = self.kmses[f"memory:{number}"]
        assert isinstance(kms, MemoryKms)
        return kms

    @contextmanager
    def off(self, *numbers: int) -> Iterator[None]:
        for number in numbers:
            self.memory(number).available = False
        yield
        for number in numbers:
            self.memory(number).available = True

    def put(self, number: int, kms: Kms) -> None:
        self.kmses[f"memory:{number}"] = kms


class Denying(MemoryKms):
    def _answer(self) -> None:
        raise KmsDenied("mend the policy")


class Spy(MemoryKms):
    """Keeps what it was given, to look for it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Secret] = []

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        self.seen.append(secret)
        return super().wrap(secret, context)


@pytest.fixture
def services() -> Services:
    return Services()


# Any k of n


def test_a_secret_comes_back_after_a_restart(uris: list[str]) -> None:
    kms = open_kms(uri_of(2, uris), load)
    assert isinstance(kms, Kms)
    kms.check()
    wrapped = kms.wrap(SECRET, CONTEXT)
    assert open_kms(uri_of(2, uris), load).unwrap(wrapped, CONTEXT) == SECRET


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


# What is missing, and what that means


def test_too_few_that_may_come_back_are_an_outage(services: Services) -> None:
    kms = services.open(2, 3)
    wrapped = kms.wrap(SECRET, CONTEXT)
    services.put(3, Denying())
    kms = services.open(2, 3)
    with services.off(2), pytest.raises(KmsUnavailable, match=r"2 KMSes are needed together and 1 can be used"):
        kms.unwrap(wrapped, CONTEXT)
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


def test_too_few_even_if_all_came_back_are_denied(services: Services) -> None:
    wrapped = services.open(2, 3).wrap(SECRET, CONTEXT)
    services.put(2, Denying())
    services.put(3, Denying())
    with pytest.raises(KmsDenied, match=r"memory:2 \(kms_denied\), memory:3 \(kms_denied\)"):
        services.open(2, 3).unwrap(wrapped, CONTEXT)


def test_keys_that_are_gone_are_neither(services: Services) -> None:
    wrapped = services.open(2, 3).wrap(SECRET, CONTEXT)
    services.put(2, MemoryKms())
    services.put(3, MemoryKms())
    with pytest.raises(KmsError, match=r"memory:3 \(kms_key_not_found\)") as caught:
        services.open(2, 3).unwrap(wrapped, CONTEXT)
    assert type(caught.value) is KmsError


def test_a_wrong_passphrase_is_denied(uris: list[str]) -> None:
    wrapped = open_kms(uri_of(3, uris), load).wrap(SECRET, CONTEXT)
    Path(uris[2].partition("://")[2]).write_bytes(WRONG)
    with pytest.raises(KmsDenied, match=r"\(kms_passphrase_wrong\)"):
        open_kms(uri_of(3, uris), load).unwrap(wrapped, CONTEXT)


def test_a_kms_that_comes_back_is_used_without_a_restart(tmp_path: Path) -> None:
    uris = file_uris(tmp_path, 2)
    wrapped = open_kms(uri_of(2, uris), load).wrap(SECRET, CONTEXT)
    (tmp_path / "1.json").rename(tmp_path / "away.json")
    kms = open_kms(uri_of(2, uris), load)
    with pytest.raises(KmsError, match=r"1\.json \(kms_key_not_found\)"):
        kms.unwrap(wrapped, CONTEXT)
    (tmp_path / "away.json").rename(tmp_path / "1.json")
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


def test_a_check_asks_all_and_warns_about_those_that_fail(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    kms = services.open(2, 3)
    kms.check()
    assert caplog.records == []
    with services.off(3):
        kms.check()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "memory:3" in caplog.text
    with services.off(1, 3), pytest.raises(KmsUnavailable, match=r"memory:1 \(kms_unavailable\), memory:3"):
        kms.check()


def test_a_check_that_nothing_can_mend_is_an_outage_too(services: Services) -> None:
    services.put(1, Denying())
    with pytest.raises(KmsUnavailable, match=r"memory:1 \(kms_denied\)"):
        services.open(2, 2).check()


# What was changed


def share_of(wrapped: Wrapped, number: int) -> bytes:
    return fields(wrapped.blob)[number]


def with_share(wrapped: Wrapped, number: int, share: bytes) -> Wrapped:
    parts = fields(wrapped.blob)
    parts[number] = share
    return replace(wrapped, blob=canonical(*parts))


def with_broken_share(wrapped: Wrapped, number: int) -> Wrapped:
    share = bytearray(share_of(wrapped, number))
    share[-1] ^= 1
    return with_share(wrapped, number, bytes(share))


def fields(data: bytes) -> list[bytes]:
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        found.append(data[4:end])
        data = data[end:]
    return found


@pytest.mark.parametrize("threshold", [2, 3])
def test_a_flipped_bit_at_every_byte_never_gives_another_secret(uris: list[str], threshold: int) -> None:
    kms = open_kms(uri_of(threshold, uris), load)
    wrapped = kms.wrap(SECRET, CONTEXT)
    opened = 0
    for at in range(len(wrapped.blob)):
        changed = replace(wrapped, blob=wrapped.blob[:at] + bytes([wrapped.blob[at] ^ 1]) + wrapped.blob[at + 1 :])
        try:
            assert kms.unwrap(changed, CONTEXT) == SECRET
            opened += 1
        except Tampered:
            pass
    # what a KMS wrapped may be damaged as long as enough others are not
    assert opened == (0 if threshold == 3 else sum(len(fields(share_of(wrapped, number))[3]) for number in (1, 2, 3)))


@pytest.mark.parametrize("name", ["key_id", "mechanism"])
def test_a_changed_name_is_an_alarm(services: Services, name: str) -> None:
    kms = services.open(2, 3)
    wrapped = kms.wrap(SECRET, CONTEXT)
    value = getattr(wrapped, name)
    for changed in ("", value[:-1], value + "0", value.replace("2", "1")):
        if changed != value:
            bad = Wrapped(
                **{"key_id": wrapped.key_id, "mechanism": wrapped.mechanism, name: changed}, blob=wrapped.blob
            )
            with pytest.raises(Tampered):
                kms.unwrap(bad, CONTEXT)


def test_every_other_length_is_an_alarm(services: Services) -> None:
    kms = services.open(2, 2)
    wrapped = kms.wrap(SECRET, CONTEXT)
    for blob in [wrapped.blob[:length] for length in range(len(wrapped.blob))] + [wrapped.blob + b"\0"]:
        with pytest.raises(Tampered):
            kms.unwrap(replace(wrapped, blob=blob), CONTEXT)


@settings(deadline=None)
@given(
    blob=st.one_of(st.binary(max_size=400), st.lists(st.binary(max_size=60), max_size=5).map(lambda f: canonical(*f)))
)
def test_garbage_is_an_alarm(blob: bytes) -> None:
    kms = Services().open(2, 2)
    with pytest.raises(Tampered):
        kms.unwrap(Wrapped("0" * 16, "shamir(2of2)+aes-256-gcm-siv", blob), CONTEXT)


def test_a_wrap_that_claims_to_be_huge_is_not_read(services: Services) -> None:
    huge = canonical(bytes(60), bytes(MOST_BLOB_LEN), b"")
    with pytest.raises(Tampered):
        services.open(2, 2).unwrap(Wrapped("0" * 16, "shamir(2of2)+aes-256-gcm-siv", huge), CONTEXT)


def test_another_context_is_an_alarm(services: Services) -> None:
    kms = services.open(2, 3)
    with pytest.raises(Tampered):
        kms.unwrap(kms.wrap(SECRET, CONTEXT), b"elsewhere")


def test_swapped_wraps_are_an_alarm_where_no_kms_binds_a_context(services: Services) -> None:
    for number in (1, 2):
        services.put(number, MemoryKms(binds_context=False))
    kms = services.open(2, 2)
    here, there = kms.wrap(SECRET, b"here"), kms.wrap(SECRET, b"there")
    for wrapped, context in ((there, b"here"), (here, b"there")):
        with pytest.raises(Tampered):
            kms.unwrap(wrapped, context)
    mixed = with_share(here, 1, share_of(there, 1))
    with pytest.raises(Tampered):
        kms.unwrap(mixed, b"here")


def test_swapped_shares_are_an_alarm(services: Services) -> None:
    kms = services.open(2, 2)
    wrapped = kms.wrap(SECRET, CONTEXT)
    first, second = share_of(wrapped, 1), share_of(wrapped, 2)
    with pytest.raises(Tampered):
        kms.unwrap(with_share(with_share(wrapped, 1, second), 2, first), CONTEXT)


def test_a_wrap_of_three_is_no_wrap_of_two(services: Services) -> None:
    wrapped = services.open(3, 3).wrap(SECRET, CONTEXT)
    for threshold in (2, 3):
        kms = services.open(threshold, 3)
        for claimed in ("shamir(2of3)+aes-256-gcm-siv", "shamir(3of3)+aes-256-gcm-siv"):
            if (threshold, claimed) != (3, wrapped.mechanism):
                with pytest.raises(Tampered):
                    kms.unwrap(replace(wrapped, mechanism=claimed), CONTEXT)


def test_a_damaged_share_is_reported_and_replaced_by_another(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    kms = services.open(2, 3)
    wrapped = with_broken_share(kms.wrap(SECRET, CONTEXT), 1)
    assert kms.unwrap(wrapped, CONTEXT) == SECRET
    assert "memory:1 cannot be used (tampered)" in caplog.text
    with services.off(3), pytest.raises(KmsUnavailable):
        kms.unwrap(wrapped, CONTEXT)
    with pytest.raises(Tampered):
        kms.unwrap(with_broken_share(wrapped, 2), CONTEXT)


def test_a_damaged_share_that_stops_it_is_an_alarm_whatever_else_fails(services: Services) -> None:
    wrapped = with_broken_share(services.open(2, 3).wrap(SECRET, CONTEXT), 1)
    services.put(2, Denying())
    with pytest.raises(Tampered, match=r"memory:1 \(tampered\), memory:2 \(kms_denied\)"):
        services.open(2, 3).unwrap(wrapped, CONTEXT)


def test_a_wrong_share_of_a_careless_kms_is_replaced_by_another(services: Services) -> None:
    services.put(1, MalleableKms())
    kms = services.open(2, 3)
    assert kms.unwrap(with_broken_share(kms.wrap(SECRET, CONTEXT), 1), CONTEXT) == SECRET


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


# Threads, forks, the end


def test_threads_share_it(services: Services) -> None:
    kms = services.open(2, 3)
    with ThreadPoolExecutor(8) as pool:
        wraps = list(pool.map(lambda _: kms.wrap(SECRET, CONTEXT), range(32)))
        assert list(pool.map(lambda wrapped: kms.unwrap(wrapped, CONTEXT), wraps)) == [SECRET] * 32


def test_a_forked_child_can_use_it(uris: list[str]) -> None:
    kms = open_kms(uri_of(3, uris), load)
    wrapped = kms.wrap(SECRET, CONTEXT)
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = kms.unwrap(wrapped, CONTEXT) == SECRET
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closing_closes_all(services: Services) -> None:
    kms = services.open(2, 3)
    wrapped = kms.wrap(SECRET, CONTEXT)
    kms.close()
    kms.close()
    assert all(services.memory(number).closed for number in (1, 2, 3))
    uses: list[Callable[[], object]] = [
        lambda: kms.wrap(SECRET, CONTEXT),
        lambda: kms.unwrap(wrapped, CONTEXT),
        lambda: kms.rewrap(wrapped, CONTEXT),
        lambda: kms.check_shares(wrapped, CONTEXT),
        kms.check,
    ]
    for use in uses:
        with pytest.raises(KmsError, match="closed"):
            use()


# Secrets show themselves nowhere


def shown(secret: bytes) -> list[str]:
    return [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1]]


def test_no_secret_is_in_a_log_a_repr_or_an_error(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    spies = [Spy(), Spy(), Spy()]
    for number, spy in enumerate(spies, 1):
        services.put(number, spy)
    kms = services.open(2, 3)
    wrapped = kms.wrap(SECRET, CONTEXT)
    kms.unwrap(with_broken_share(wrapped, 1), CONTEXT)
    texts = [repr(kms), repr(kms._providers), repr(wrapped)]
    broken = with_broken_share(with_broken_share(wrapped, 1), 2)
    for wrap, context in ((wrapped, b"elsewhere"), (broken, CONTEXT), (replace(wrapped, blob=b""), CONTEXT)):
        with pytest.raises(Tampered) as caught:
            kms.unwrap(wrap, context)
        texts += traceback.format_exception(caught.value)
    texts.append(caplog.text)
    assert caplog.text
    shares = [share for spy in spies for share in spy.seen]
    assert len(shares) == 3
    secrets = [form for secret in (SECRET, *shares, *(share[:16] for share in shares)) for form in shown(bytes(secret))]
    assert [form for form in secrets for text in texts if form in text] == []
    assert not [share for share in shares if share in wrapped.blob]


# All shares, not only as many as are needed


def test_all_shares_are_asked_for_those_that_are_lost_or_damaged(services: Services) -> None:
    kms = services.open(3, 5)
    assert isinstance(kms, HasShares)
    wrapped = kms.wrap(SECRET, CONTEXT)
    assert kms.check_shares(None, b"") is None
    assert kms.check_shares(wrapped, CONTEXT) is None
    with services.off(2, 4):
        lost = "3 of 5 shares answer; these do not: memory:2 (kms_unavailable), memory:4 (kms_unavailable)"
        assert kms.check_shares(None, b"") == lost
        assert kms.check_shares(wrapped, CONTEXT) == lost
    damaged = with_broken_share(wrapped, 5)
    assert kms.unwrap(damaged, CONTEXT) == SECRET
    assert kms.check_shares(None, b"") is None
    assert kms.check_shares(damaged, CONTEXT) == "4 of 5 shares answer; these do not: memory:5 (tampered)"


def test_a_share_whose_key_is_another_is_named(services: Services) -> None:
    wrapped = services.open(2, 3).wrap(SECRET, CONTEXT)
    services.put(3, MemoryKms())
    kms = services.open(2, 3)
    assert kms.check_shares(None, b"") is None
    assert kms.check_shares(wrapped, CONTEXT) == "2 of 3 shares answer; these do not: memory:3 (kms_key_not_found)"


def test_too_few_shares_are_an_error_of_their_check(services: Services) -> None:
    kms = services.open(2, 3)
    wrapped = kms.wrap(SECRET, CONTEXT)
    with services.off(1, 2), pytest.raises(KmsUnavailable, match="2 KMSes are needed together and 1 can be used"):
        kms.check_shares(None, b"")
    with services.off(1, 2), pytest.raises(KmsUnavailable):
        kms.check_shares(wrapped, CONTEXT)
    with pytest.raises(Tampered):
        kms.check_shares(with_broken_share(with_broken_share(wrapped, 1), 2), CONTEXT)
    with pytest.raises(Tampered):
        kms.check_shares(replace(wrapped, blob=b""), CONTEXT)
    with pytest.raises(Tampered):
        kms.check_shares(wrapped, b"elsewhere")
