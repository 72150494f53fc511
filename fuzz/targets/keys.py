# SPDX-License-Identifier: Apache-2.0
"""Key files: private and public keys of every kind, as they lie on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from e4core.errors import InvalidInput
from e4core.suite import Identity
from e4device import keyfiles
from fuzz.target import Check, Target, accepted, must
from fuzz.targets.fleet import bytes32, every_fleet


@cache
def _identities() -> tuple[Identity, ...]:
    of_suites = (identity for fleet in every_fleet() for identity in (fleet.suite.device, fleet.suite.c2))
    kinds = (keyfiles.identity_of(kind) for kind in keyfiles.KINDS)
    return tuple({id(identity): identity for identity in (*of_suites, *kinds)}.values())


@contextmanager
def _key_file() -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        path.touch(0o600)

        def check(data: bytes) -> None:
            path.write_bytes(data)
            for identity in _identities():
                private = accepted(partial(keyfiles.load_private, path, identity), InvalidInput)
                if private is not None:
                    must(bytes(private) == data, "a private key that was read is another one")
                    identity.check(identity.public(identity.load(private)))
                public = accepted(partial(keyfiles.load_public, path, identity), InvalidInput)
                must(public in (None, data), "a public key that was read is another one")

        yield check


def _seeds() -> Iterable[bytes]:
    for fleet in every_fleet():
        yield bytes(fleet.private("bob"))
        yield fleet.public("bob")
        yield bytes(fleet.c2_private)
        yield fleet.state("bob").c2_public
    yield bytes(32)
    yield bytes(31) + b"\x80"
    yield bytes32("key") + b"\n"


TARGETS = {"key-file": Target(_key_file, _seeds, (b"\x04", b"\xff" * 32, bytes(32)))}
