# SPDX-License-Identifier: Apache-2.0
"""The ``shamir:`` driver against who changes its wraps: an alarm, or other shares in place of the damaged ones; no secret shows."""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import KmsUnavailable, Tampered
from e4core.kms import Wrapped
from e4kms.records import canonical
from e4kms.shamir import MOST_BLOB_LEN, open_kms
from tests.kms.memory import MalleableKms, MemoryKms
from tests.kms.samples import CONTEXT, SECRET, shown
from tests.kms.shared import (
    Denying,
    Services,
    Spy,
    fields,
    load,
    real_uris,
    share_of,
    uri_of,
    with_broken_share,
    with_share,
)


@pytest.fixture
def uris(tmp_path: Path) -> list[str]:
    return real_uris(tmp_path)


@pytest.fixture
def services() -> Services:
    return Services()


def test_a_flipped_bit_at_every_byte_never_gives_another_secret(uris: list[str]) -> None:
    kms = open_kms(uri_of(2, uris), load)
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
    assert opened == sum(len(fields(share_of(wrapped, number))[3]) for number in (1, 2, 3))


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
