# SPDX-License-Identifier: Apache-2.0
"""The extension in its three builds, and every path of this CPU."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from .build import Full, Installed, Probe, Selectable, SivKey, build, load

PATHS = {"x86_64": ("vaes", "aes-ni", "bitsliced"), "aarch64": ("armv8", "bitsliced")}.get(
    platform.machine(), ("bitsliced",)
)


@pytest.fixture(scope="session")
def builds() -> Path:
    """Where all processes of this run, and of the next one, find what one of them has built."""
    folder = Path(__file__).parents[3] / ".cache" / "e4fast"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def built(builds: Path) -> Path:
    return build(builds)


@pytest.fixture(scope="session")
def sanitized(builds: Path) -> Path:
    """The programs, under AddressSanitizer and UndefinedBehaviorSanitizer."""
    return build(builds, sanitize=True, targets=("check", "check_full"))


@pytest.fixture(scope="session")
def fast(built: Path) -> Installed:
    """What is installed: 10 rounds, no choice."""
    return cast(Installed, load(built, "_fast"))


@pytest.fixture(scope="session")
def probe(built: Path) -> Probe:
    """10 rounds, and a choice of the path."""
    return cast(Probe, load(built, "_fast_probe"))


@pytest.fixture(scope="session")
def full(built: Path) -> Full:
    """The standard algorithms, and a choice of the path."""
    return cast(Full, load(built, "_fast_full"))


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, full: Full) -> str:
    name = str(request.param)
    if name not in full.paths():
        pytest.skip(f"this CPU has no {name}")
    return name


def _on(module: Selectable, path: str) -> Iterator[Callable[[bytes], SivKey]]:
    module.use(path)
    yield module.SivKey
    module.use(module.paths()[0])


@pytest.fixture
def full_key(full: Full, path: str) -> Iterator[Callable[[bytes], SivKey]]:
    """Makes keys of the standard algorithm that take ``path``."""
    yield from _on(full, path)


@pytest.fixture
def probe_key(probe: Probe, path: str) -> Iterator[Callable[[bytes], SivKey]]:
    """Makes keys of the reduced algorithm that take ``path``."""
    yield from _on(probe, path)
