# SPDX-License-Identifier: Apache-2.0
"""The ``shamir:`` driver when KMSes fail: what is missing and what that means, and what all shares say for themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from e4core.errors import KmsDenied, KmsError, KmsUnavailable, Tampered
from e4core.kms import HasShares
from e4kms.shamir import open_kms
from tests.kms.memory import MemoryKms
from tests.kms.samples import CONTEXT, SECRET
from tests.kms.shared import (
    WRONG,
    Denying,
    Services,
    file_uris,
    load,
    real_uris,
    uri_of,
    with_broken_share,
)


@pytest.fixture
def uris(tmp_path: Path) -> list[str]:
    return real_uris(tmp_path)


@pytest.fixture
def services() -> Services:
    return Services()


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
