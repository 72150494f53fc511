# SPDX-License-Identifier: Apache-2.0
"""What a key object does with good and bad arguments, and what it leaves behind."""

from __future__ import annotations

import copy
import ctypes
import gc
import os
import pickle
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import AuthenticationFailed
from e4core.keys import Secret
from e4core.suite import AeadKey

from .build import SANITIZE, Installed, Probe, SivKey, load, on_every_path

Maker = Callable[[bytes], SivKey]
KEY = bytes(range(64))
NOT_BYTES: list[Any] = [None, "text", 5, bytearray(64), memoryview(bytes(64)), [1]]
RAW_LENS = [0, 1, 16, 32, 63, 65, 128]


@pytest.fixture
def key(fast: Installed) -> Any:
    return fast.SivKey(KEY)


def test_a_key_is_an_aead_key(fast: Installed) -> None:
    ready: AeadKey = fast.SivKey(KEY)
    assert ready.open(b"", ready.seal(b"", b"text", b"ad"), b"ad") == b"text"


def test_the_path_is_told_and_cannot_be_chosen_in_the_installed_build(fast: Installed, probe: Probe) -> None:
    assert fast.path() == fast.SivKey(KEY).path == probe.paths()[0]
    assert not hasattr(fast, "use") and not hasattr(fast, "paths")


def test_a_key_keeps_its_path(probe: Probe, probe_key: Maker, path: str) -> None:
    key = probe_key(KEY)
    probe.use("bitsliced")
    assert key.path == path
    assert probe.path() == "bitsliced"


@pytest.mark.parametrize("name", ["", "aes", "vaes ", "Bitsliced"])
def test_an_unknown_path_is_refused(probe: Probe, name: str) -> None:
    with pytest.raises(ValueError, match="this CPU has no path"):
        probe.use(name)


@pytest.mark.parametrize("length", RAW_LENS)
def test_a_key_of_the_wrong_length_is_refused(fast: Installed, length: int) -> None:
    with pytest.raises(ValueError, match=f"the key is 64 bytes long, not {length}"):
        fast.SivKey(bytes(length))


def test_a_secret_is_a_key_and_bytes_like_objects_are_none(fast: Installed) -> None:
    assert fast.SivKey(Secret(KEY)).seal(b"", b"", b"") == fast.SivKey(KEY).seal(b"", b"", b"")
    for raw in NOT_BYTES:
        with pytest.raises(TypeError):
            fast.SivKey(raw)


@pytest.mark.parametrize("method", ["seal", "open"])
@pytest.mark.parametrize("wrong", NOT_BYTES, ids=lambda value: type(value).__name__)
def test_only_bytes_are_taken(key: Any, method: str, wrong: Any) -> None:
    call = getattr(key, method)
    with pytest.raises(TypeError):
        call(b"", wrong, b"")
    with pytest.raises(TypeError):
        call(b"", bytes(64), wrong)


@pytest.mark.parametrize("method", ["seal", "open"])
@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_three_arguments_are_taken(key: Any, method: str, count: int) -> None:
    with pytest.raises(TypeError, match="takes 3 arguments"):
        getattr(key, method)(*[bytes(64)] * count)


def test_no_keywords_are_taken(fast: Any, key: Any) -> None:
    with pytest.raises(TypeError):
        fast.SivKey(raw=KEY)
    with pytest.raises(TypeError):
        fast.SivKey(KEY, path="bitsliced")
    with pytest.raises(TypeError):
        key.seal(b"", plaintext=b"", associated_data=b"")


@pytest.mark.parametrize("wrong", NOT_BYTES, ids=lambda value: type(value).__name__)
def test_the_hash_takes_only_bytes(fast: Any, wrong: Any) -> None:
    with pytest.raises(TypeError):
        fast.sha3_256_r10(wrong)


def test_the_nonce_is_ignored(fast: Installed) -> None:
    key = fast.SivKey(KEY)
    assert key.seal(b"", b"text", b"ad") == key.seal(bytes(12), b"text", b"ad")


@pytest.mark.parametrize("length", range(16))
def test_what_is_shorter_than_a_tag_is_not_authentic(fast: Installed, length: int) -> None:
    with pytest.raises(AuthenticationFailed):
        fast.SivKey(KEY).open(b"", bytes(length), b"")


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 33, 64, 100])
def test_every_flipped_bit_is_refused(probe_key: Maker, length: int) -> None:
    key, ad = probe_key(KEY), bytes(range(26))
    sealed = key.seal(b"", os.urandom(length), ad)
    for bit in range(8 * len(sealed)):
        with pytest.raises(AuthenticationFailed):
            key.open(b"", _flipped(sealed, bit), ad)
    for bit in range(8 * len(ad)):
        with pytest.raises(AuthenticationFailed):
            key.open(b"", sealed, _flipped(ad, bit))


def test_every_truncation_and_every_other_key_is_refused(probe_key: Maker) -> None:
    sealed = probe_key(KEY).seal(b"", bytes(100), b"ad")
    for end in range(len(sealed)):
        with pytest.raises(AuthenticationFailed):
            probe_key(KEY).open(b"", sealed[:end], b"ad")
    for bit in range(8 * len(KEY)):
        with pytest.raises(AuthenticationFailed):
            probe_key(_flipped(KEY, bit)).open(b"", sealed, b"ad")


def test_a_refusal_says_nothing_of_the_text_and_the_key(fast: Installed) -> None:
    key = fast.SivKey(KEY)
    with pytest.raises(AuthenticationFailed) as refused:
        key.open(b"", bytes(80), b"ad")
    assert str(refused.value) == str(AuthenticationFailed())
    assert refused.value.__context__ is None
    assert KEY[:4].hex() not in repr(key) and repr(KEY[:4])[2:-1] not in repr(key)


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=300), ad=st.binary(max_size=40))
def test_garbage_is_never_authentic(probe: Probe, data: bytes, ad: bytes) -> None:
    for key in on_every_path(probe, KEY):
        with pytest.raises(AuthenticationFailed):
            key.open(b"", data, ad)


def test_a_key_cannot_be_copied_pickled_changed_or_derived_from(fast: Any, key: Any) -> None:
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            attempt(key)
    with pytest.raises(AttributeError):
        key.path = "bitsliced"
    with pytest.raises(TypeError):
        fast.SivKey.seal = None
    with pytest.raises(TypeError):
        type("Derived", (fast.SivKey,), {})


@pytest.mark.skipif(SANITIZE in os.environ, reason="the sanitizer forbids to look at freed memory")
def test_the_key_schedule_is_wiped_when_a_key_goes(fast: Any) -> None:
    raw = os.urandom(64)
    key = fast.SivKey(raw)
    address, size = id(key), fast.SivKey.__basicsize__
    assert raw[:16] in ctypes.string_at(address, size)  # the first round keys are the raw key itself
    del key
    left = ctypes.string_at(address, size)
    assert not any(raw[i : i + 8] in left for i in range(57))
    assert not any(left[64:])


def _flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def _use_all(module: Any) -> None:
    key = module.SivKey(KEY)
    long = bytes(40000)
    for text in (b"", bytes(70), long):
        assert key.open(b"", key.seal(b"", text, long), long) == text
        module.sha3_256_r10(text)
        refused: list[tuple[Callable[..., object], tuple[object, ...]]] = [
            (key.open, (b"", bytes(20) + text, b"")),
            (key.open, (b"", b"short", b"")),
            (key.open, (b"", b"", 5)),
            (key.seal, (b"", None, b"")),
            (key.seal, ()),
            (module.SivKey, (b"short",)),
            (module.SivKey, (None,)),
            (module.SivKey, (KEY, KEY)),
            (module.sha3_256_r10, ("text",)),
        ]
        for call, arguments in refused:
            with pytest.raises((AuthenticationFailed, TypeError, ValueError)):
                call(*arguments)
    assert key.path == module.path()


def test_no_call_keeps_memory_or_references(fast: Any) -> None:
    watched = [KEY, None, b"", AuthenticationFailed, fast.SivKey]
    for _ in range(20):
        _use_all(fast)
    gc.collect()
    tracemalloc.start()
    memory, counts = tracemalloc.get_traced_memory()[0], [sys.getrefcount(thing) for thing in watched]
    for _ in range(200):
        _use_all(fast)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - memory
    tracemalloc.stop()
    changes = [sys.getrefcount(thing) - count for thing, count in zip(watched, counts, strict=True)]
    assert max(map(abs, changes)) < 100, changes
    assert grown < 20_000  # one lost key per turn would be 90,000 bytes


def test_a_module_can_go_while_its_keys_live_on(built: Path) -> None:
    module = cast(Installed, load(built, "_fast"))
    key = module.SivKey(KEY)
    del module
    gc.collect()
    assert key.open(b"", key.seal(b"", b"text", b""), b"") == b"text"
    with pytest.raises(AuthenticationFailed):
        key.open(b"", bytes(20), b"")


def test_loading_again_and_again_keeps_nothing(built: Path) -> None:
    before = sys.getrefcount(AuthenticationFailed)
    for _ in range(50):
        _use_all(load(built, "_fast"))
    gc.collect()
    assert abs(sys.getrefcount(AuthenticationFailed) - before) < 10


def test_many_random_calls_in_a_row_agree(probe: Probe) -> None:
    chance = random.Random(4)
    keys = [on_every_path(probe, chance.randbytes(64)) for _ in range(8)]
    for _ in range(3000):
        same = chance.choice(keys)
        text, ad = chance.randbytes(chance.randrange(500)), chance.randbytes(chance.randrange(60))
        sealed = chance.choice(same).seal(b"", text, ad)
        assert chance.choice(same).open(b"", sealed, ad) == text
