# SPDX-License-Identifier: Apache-2.0
"""What the ``passphrase:`` driver makes its guesses cost, and that whoever wraps often pays once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e4core.errors import InvalidInput
from e4core.keys import Secret
from e4core.kms import Rewraps
from e4kms.passphrase import Cost, PassphraseKms, open_kms
from tests.kms.samples import CONTEXT, SECRET

PASSPHRASE = Secret(b"correct horse battery staple")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "passphrase", PASSPHRASE + b"\n")


@pytest.fixture
def kms(path: Path) -> PassphraseKms:
    return open_kms(f"passphrase://{path}")


def written(path: Path, data: bytes) -> Path:
    path.touch(0o600)
    path.write_bytes(data)
    return path


def test_a_wrap_of_another_cost_opens(path: Path, kms: PassphraseKms) -> None:
    dear = PassphraseKms("passphrase:test", PASSPHRASE, Cost(memory_kib=131_072, passes=2, lanes=1))
    wrapped = dear.wrap(SECRET, CONTEXT)
    assert wrapped.mechanism == "argon2id(m=131072,t=2,p=1)+aes-256-gcm-siv"
    assert kms.unwrap(wrapped, CONTEXT) == SECRET
    assert isinstance(kms, Rewraps)
    again = kms.rewrap(wrapped, CONTEXT)
    assert again.mechanism == "argon2id(m=65536,t=3,p=4)+aes-256-gcm-siv"
    assert kms.unwrap(again, CONTEXT) == SECRET


@pytest.mark.parametrize("cost", [(65_536, 0, 4), (-65_536, -3, 4), (65_536, 3, 0), (1 << 21, 1, 4), (8, 3, 1)])
def test_a_cost_out_of_bounds_is_refused(cost: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Cost(*cost)
    assert caught.value.kind == "bad_cost"


def test_one_instance_has_one_salt_and_never_the_same_wrap(kms: PassphraseKms, path: Path) -> None:
    first, second = kms.wrap(SECRET, CONTEXT), kms.wrap(SECRET, CONTEXT)
    assert first.blob[:16] == second.blob[:16]
    assert first.key_id == second.key_id
    assert first.blob[24:] != second.blob[24:]
    other = open_kms(f"passphrase://{path}").wrap(SECRET, CONTEXT)
    assert other.blob[:16] != first.blob[:16]
    assert other.key_id != first.key_id


def test_a_thousand_wraps_under_one_salt_need_one_derivation(kms: PassphraseKms) -> None:
    # two minutes, were it one each
    wraps = [kms.wrap(SECRET, b"%d" % i) for i in range(1000)]
    assert all(kms.unwrap(wrapped, b"%d" % i) == SECRET for i, wrapped in enumerate(wraps))


def test_threads_share_one_derivation(kms: PassphraseKms) -> None:
    with ThreadPoolExecutor(8) as pool:
        wraps = pool.map(lambda _: kms.wrap(SECRET, CONTEXT), range(64))
        assert len({wrapped.key_id for wrapped in wraps}) == 1


def test_a_forked_child_can_use_it_while_the_parent_derives(kms: PassphraseKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    with kms._lock:
        child = os.fork()
        if child == 0:
            good = False
            try:
                good = kms.unwrap(wrapped, CONTEXT) == SECRET
            finally:
                os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
