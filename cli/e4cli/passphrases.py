# SPDX-License-Identifier: Apache-2.0
"""Where passphrases come from: a file, the environment, or the terminal; never from the command line, which others can see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from e4core import files
from e4core.errors import InvalidInput
from e4core.keys import Secret

VARIABLE = "E4_STATE_PASSPHRASE"
_MAX_LEN = 4095

PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help=f"Its first line is the passphrase (or ${VARIABLE})."),
]


def from_file(path: Path) -> Secret:
    """First line of ``path``, which may also be a pipe.

    Raises: StorageError: unreadable, or not private. InvalidInput: empty, or too long.
    """
    return _checked(files.first_line(path), f"the first line of {path}")


def given(path: Path | None) -> Secret | None:
    """The passphrase from ``path``, else from the environment, else none."""
    if path:
        return from_file(path)
    if (text := os.environ.get(VARIABLE)) is not None:
        return _checked(os.fsencode(text), f"${VARIABLE}")
    return None


def ask(what: str, *, twice: bool = False) -> Secret:
    """Ask at the terminal, even if stdin is something else. Raises: InvalidInput: no terminal, empty, or not the same twice."""
    from getpass import getpass

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        raise InvalidInput(
            f"{what} is needed, and there is no terminal to ask at; use --passphrase-file or ${VARIABLE}",
            kind="passphrase_missing",
        ) from error
    passphrase = _checked(getpass(f"{what}: ").encode(), what)
    if twice and passphrase != Secret(getpass("once more: ").encode()):
        raise InvalidInput("the two passphrases differ", kind="bad_passphrase")
    return passphrase


def _checked(passphrase: bytes, where: str) -> Secret:
    if not 0 < len(passphrase) <= _MAX_LEN:
        raise InvalidInput(f"{where} is empty or too long to be a passphrase", kind="bad_passphrase")
    return Secret(passphrase)
