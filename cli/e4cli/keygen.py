# SPDX-License-Identifier: Apache-2.0
"""``e4 keygen``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from e4cli.output import Output, OutputOption, show_record
from e4cli.passphrases import from_file

if TYPE_CHECKING:
    from e4core.keys import Secret
    from e4core.suite import Identity


class Kind(StrEnum):
    SYMMETRIC = "symmetric"
    ED25519 = "ed25519"
    CURVE25519 = "curve25519"


class Owner(StrEnum):
    DEVICE = "device"
    C2 = "c2"


def keygen(
    out: Annotated[Path, typer.Option(metavar="PATH", help="Private key; the public one goes to PATH.pub.")],
    kind: Annotated[
        Kind | None, typer.Argument(metavar="KIND", help="Kind of the key: symmetric, ed25519 or curve25519.")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Instead of KIND: a key as this suite needs it.")] = None,
    owner: Annotated[Owner, typer.Option("--for", help="With --suite: whose key.")] = Owner.DEVICE,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Derive the key of this KIND from the first line of FILE, by Argon2id."),
    ] = None,
    in_token: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="With --suite: make it in a token, as pkcs11:token=...;object=NAME-{version}?...; PATH then only names it.",
        ),
    ] = None,
    salt: Annotated[
        str | None, typer.Option(metavar="HEX", help="With a passphrase: at least 16 bytes; else random, in PATH.salt.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a key: raw bytes in PATH (mode 0600). Nothing is ever overwritten."""
    from e4device import keyfiles

    if (kind is None) == (suite is None):
        raise typer.BadParameter("give either a KIND or --suite")
    if suite and passphrase_file:
        raise typer.BadParameter("a passphrase makes keys of a KIND, not of a suite")
    if salt and not passphrase_file:
        raise typer.BadParameter("--salt goes with --passphrase-file")
    if in_token and (kind or owner is Owner.C2):
        raise typer.BadParameter(
            "--in-token goes with --suite, for a device; a C2 makes its own, see its setting c2_key"
        )
    keyfiles.require_free(out)
    with _identity(kind, suite or "", owner, in_token) as identity:
        private, salt_bytes = (
            _derived(kind, passphrase_file, salt) if kind and passphrase_file else (_fresh(identity), b"")
        )
        written = keyfiles.write(out, identity, private, salt_bytes)
        public = None if identity.public_is_secret else identity.public(identity.load(private)).hex()
    show_record(output, {"files": [str(path) for path in written], "public_key": public})


@contextmanager
def _identity(kind: Kind | None, suite: str, owner: Owner, in_token: str | None) -> Iterator[Identity]:
    from e4core.plugins import load_suite
    from e4device import keyfiles
    from e4device.in_token import device_at

    if kind is not None:
        yield keyfiles.identity_of(kind.value)
    elif in_token is None:
        yield _of_suite(suite, owner)
    else:
        with closing(device_at(load_suite(suite), in_token)) as device:
            yield device


def _fresh(identity: Identity) -> Secret:
    from e4core.keys import Secret

    return Secret(identity.generate())


def _derived(kind: Kind, passphrase_file: Path, salt: str | None) -> tuple[Secret, bytes]:
    import os

    from e4device import keyfiles
    from e4device.passphrase import SALT_LEN

    salt_bytes = os.urandom(SALT_LEN) if salt is None else _hex(salt)
    return keyfiles.from_passphrase(kind.value, from_file(passphrase_file), salt_bytes), salt_bytes


def _of_suite(name: str, owner: Owner) -> Identity:
    from e4core.errors import UnsupportedSuite
    from e4core.plugins import load_suite

    suite = load_suite(name)
    identity = suite.device if owner is Owner.DEVICE else suite.c2
    if not identity.private_len:
        raise UnsupportedSuite(f"in the suite {name} the {owner} has no key")
    return identity


def _hex(text: str) -> bytes:
    from e4core.errors import InvalidInput

    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise InvalidInput("the salt is not written in hexadecimal", kind="bad_salt") from error
