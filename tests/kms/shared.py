# SPDX-License-Identifier: Apache-2.0
"""KMSes of which several are needed together, real ones and such as can fail in every way, and what their wraps are made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from e4core.errors import KmsDenied
from e4core.keys import Secret
from e4core.kms import Kms, KmsFactory, Wrapped
from e4kms import file, passphrase
from e4kms.records import canonical
from e4kms.shamir import ShamirKms, open_kms
from tests.kms.memory import MemoryKms

PASSPHRASE = Secret(b"correct horse battery staple")
WRONG = Secret(b"another long passphrase")


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


def real_uris(folder: Path) -> list[str]:
    """Two KEK files and a passphrase."""
    (folder / "passphrase").touch(0o600)
    (folder / "passphrase").write_bytes(PASSPHRASE)
    return [*file_uris(folder, 2), f"passphrase://{folder}/passphrase"]


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
