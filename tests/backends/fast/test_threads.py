# SPDX-License-Identifier: Apache-2.0
"""Keys are shared by threads; long messages let the others run meanwhile, short ones do not."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from e4core.errors import AuthenticationFailed

from .build import Probe, SivKey

Maker = Callable[[bytes], SivKey]
KEY = bytes(range(64))
SHORT, LONG = 32_000, 4_000_000


@pytest.fixture
def no_switches() -> Iterator[None]:
    """A thread runs until it gives up the GIL by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("length", [64, 40_000])
def test_threads_share_a_key(probe_key: Maker, path: str, length: int) -> None:
    key, texts = probe_key(KEY), [os.urandom(length) for _ in range(32)]
    sealed = [key.seal(b"", text, b"ad") for text in texts]

    def work(_: int) -> bool:
        return all(
            key.seal(b"", text, b"ad") == expected and key.open(b"", expected, b"ad") == text
            for text, expected in zip(texts, sealed, strict=True)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4 if path == "bitsliced" else 40)))


def test_threads_make_use_and_drop_keys_at_once(probe_key: Maker) -> None:
    def work(seed: int) -> None:
        raw = bytes([seed]) * 64
        for length in range(200):
            sealed = probe_key(raw).seal(b"", bytes(length), b"")
            assert probe_key(raw).open(b"", sealed, b"") == bytes(length)
            with pytest.raises(AuthenticationFailed):
                probe_key(KEY).open(b"", sealed, b"")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(1, 9)))


def _others_run_during(call: Callable[[], object]) -> bool:
    started, finished = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        call()
        finished.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    ran = not finished.is_set()
    thread.join()
    return ran


def _calls(probe: Probe, length: int) -> dict[str, Callable[[], object]]:
    """The slow path: so that a thread that may run has time to."""
    probe.use("bitsliced")
    key, text = probe.SivKey(KEY), bytes(length)
    probe.use(probe.paths()[0])
    sealed = key.seal(b"", text, b"")
    return {
        "seal": lambda: key.seal(b"", text, b""),
        "seal, long associated data": lambda: key.seal(b"", b"", text),
        "open": lambda: key.open(b"", sealed, b""),
        "hash": lambda: probe.sha3_256_r10(text),
    }


NAMES = ["seal", "seal, long associated data", "open", "hash"]


@pytest.mark.usefixtures("no_switches")
@pytest.mark.parametrize("name", NAMES)
def test_long_messages_let_other_threads_run(probe: Probe, name: str) -> None:
    call = _calls(probe, LONG)[name]
    assert any(_others_run_during(call) for _ in range(20))  # a busy machine may wake the other one too late


@pytest.mark.usefixtures("no_switches")
@pytest.mark.parametrize("name", NAMES)
def test_short_messages_do_not_give_up_the_interpreter(probe: Probe, name: str) -> None:
    call = _calls(probe, SHORT)[name]
    assert not any(_others_run_during(call) for _ in range(20))
