# SPDX-License-Identifier: Apache-2.0
"""Where drivers with the real thing behind them are made ready for tests, and what may happen to them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from e4conformance.kms import KmsHooks
from e4core.errors import KmsError
from e4kms import file as kek_file
from tests.kms.conftest import AnyToken


@dataclass(frozen=True)
class Failure:
    """Something that happens to a KMS and ends, and the error that it is to whoever wants a key opened meanwhile."""

    happens: Callable[[], AbstractContextManager[None]]
    error: type[KmsError]
    kind: str


@dataclass(frozen=True)
class Driver:
    """``hooks``: for the conformance kit."""

    name: str
    uri: str
    secrets: tuple[bytes, ...]
    failures: dict[str, Failure]
    hooks: KmsHooks


@dataclass
class Site:
    """Where drivers are made ready, for a module of tests; all ends with ``stack``."""

    folder: Path
    stack: ExitStack
    any_token: AnyToken
    environment: pytest.MonkeyPatch
    makers: Mapping[str, Callable[[Site], Driver]]
    _drivers: dict[str, Driver] = field(default_factory=dict)
    _count: int = 0

    def ready(self, name: str) -> Driver:
        """One of `tests.kms.drivers.DRIVERS`."""
        if name not in self._drivers:
            self._drivers[name] = self.makers[name](self)
        return self._drivers[name]

    def private(self, text: bytes) -> Path:
        self._count += 1
        path = self.folder / f"private-{self._count}"
        path.touch(0o600)
        path.write_bytes(text)
        return path

    def kek(self) -> tuple[Path, bytes]:
        """A new KEK file, and the key in it."""
        self._count += 1
        path = self.folder / f"kek-{self._count}.json"
        assert kek_file.create(path)
        return path, base64.b64decode(json.loads(path.read_bytes())["key"])

    def new_kek_uri(self) -> str:
        return self.kek()[0].as_uri()

    def absent_kek_uri(self) -> str:
        return (self.folder / f"absent-{os.urandom(4).hex()}.json").as_uri()


def phrase() -> bytes:
    return base64.b64encode(os.urandom(18))


def between(begin: Callable[[], object], end: Callable[[], object]) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def happens() -> Iterator[None]:
        begin()
        try:
            yield
        finally:
            end()

    return happens


def gone(path: Path) -> Callable[[], AbstractContextManager[None]]:
    away = path.with_name(f"{path.name}.away")
    return between(lambda: path.rename(away), lambda: away.rename(path))


def holds(path: Path, other: bytes) -> Callable[[], AbstractContextManager[None]]:
    right = path.read_bytes()
    return between(lambda: path.write_bytes(other), lambda: path.write_bytes(right))


def readable(path: Path) -> Callable[[], AbstractContextManager[None]]:
    return between(lambda: path.chmod(0o644), lambda: path.chmod(0o600))
