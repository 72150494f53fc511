# SPDX-License-Identifier: Apache-2.0
"""What holds for every driver that needs no service: nothing that was changed or moved opens, all may share it, the end is the end.

The same in the database of a C2, and for the others too: `tests.kms.test_every_driver`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from e4core.errors import KmsError, Tampered
from e4core.kms import HasShares, Kms, Rewraps
from e4core.plugins import load_kms
from e4kms import file
from tests.kms.samples import CONTEXT, SECRET, flips, other_lengths


def file_uri(folder: Path) -> str:
    assert file.create(folder / "kek.json")
    return (folder / "kek.json").as_uri()


def passphrase_uri(folder: Path) -> str:
    (folder / "passphrase").touch(0o600)
    (folder / "passphrase").write_bytes(b"correct horse battery staple")
    return f"passphrase://{folder}/passphrase"


def shamir_uri(folder: Path) -> str:
    """Both are needed, so that a change of either matters."""
    uris = [file_uri(folder), passphrase_uri(folder)]
    return "shamir:2?" + "&".join(f"share={quote(uri, safe='')}" for uri in uris)


@pytest.fixture(params=[file_uri, passphrase_uri, shamir_uri], ids=["file", "passphrase", "shamir"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made: str = request.param(tmp_path)
    return made


@pytest.fixture
def kms(uri: str) -> Kms:
    return load_kms(uri)


def test_a_secret_comes_back_after_a_restart(uri: str, kms: Kms) -> None:
    assert isinstance(kms, Kms)
    wrapped = kms.wrap(SECRET, CONTEXT)
    reopened = load_kms(uri)
    reopened.check()
    assert reopened.unwrap(wrapped, CONTEXT) == SECRET


def test_every_flipped_bit_and_every_other_length_of_a_wrap_is_an_alarm(kms: Kms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    every = 8 if isinstance(kms, HasShares) else 1  # its wraps are long, and each is opened twice
    for blob in [*flips(wrapped.blob)[::every], *other_lengths(wrapped.blob)]:
        with pytest.raises(Tampered):
            kms.unwrap(replace(wrapped, blob=blob), CONTEXT)


def test_another_context_is_an_alarm(kms: Kms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    for context in (b"", b"the contexT", b"the context\0", b"the contex"):
        with pytest.raises(Tampered):
            kms.unwrap(wrapped, context)


def test_swapped_wraps_are_an_alarm(kms: Kms) -> None:
    here, there = kms.wrap(SECRET, b"here"), kms.wrap(SECRET, b"there")
    assert here.blob != there.blob
    for wrapped, context in ((there, b"here"), (here, b"there")):
        with pytest.raises(Tampered):
            kms.unwrap(wrapped, context)


def test_no_wrap_is_like_another(kms: Kms) -> None:
    assert kms.wrap(SECRET, CONTEXT).blob != kms.wrap(SECRET, CONTEXT).blob


def test_threads_share_it(kms: Kms) -> None:
    with ThreadPoolExecutor(8) as pool:
        wraps = list(pool.map(lambda _: kms.wrap(SECRET, CONTEXT), range(64)))
        assert list(pool.map(lambda wrapped: kms.unwrap(wrapped, CONTEXT), wraps)) == [SECRET] * 64


def test_a_forked_child_can_use_it(kms: Kms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = kms.unwrap(wrapped, CONTEXT) == SECRET
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_closed_kms_has_forgotten_its_keys(kms: Kms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    kms.close()
    kms.close()
    uses: list[Callable[[], object]] = [
        lambda: kms.wrap(SECRET, CONTEXT),
        lambda: kms.unwrap(wrapped, CONTEXT),
        kms.check,
    ]
    if isinstance(kms, Rewraps):
        rewraps = kms
        uses.append(lambda: rewraps.rewrap(wrapped, CONTEXT))
    if isinstance(kms, HasShares):
        shares = kms
        uses.append(lambda: shares.check_shares(wrapped, CONTEXT))
    for use in uses:
        with pytest.raises(KmsError, match="closed"):
            use()
