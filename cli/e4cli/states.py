# SPDX-License-Identifier: Apache-2.0
"""State files as commands take them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from e4cli import passphrases
from e4core import files
from e4core.errors import AuthenticationFailed, InvalidInput

if TYPE_CHECKING:
    from e4core.formats import AnyClient, AnyState
    from e4device.statefile import StateFile

StateOption = Annotated[
    Path, typer.Option("--state", "-s", metavar="FILE", envvar="E4_STATE", help="State of the device.")
]
NewStateOption = Annotated[
    Path, typer.Option("--state", "-s", metavar="FILE", envvar="E4_STATE", help="The state file to make.")
]
EncryptOption = Annotated[
    bool, typer.Option("--encrypt", help="Ask for a passphrase for the state, if no file or variable gives one.")
]


def existing(path: Path, passphrase_file: Path | None) -> StateFile:
    """The state file at ``path``, with its passphrase if it has one; not yet locked. Raises: E4Error."""
    from e4device.statefile import StateFile

    passphrase = passphrases.given(passphrase_file)
    if passphrase is None and _is_sealed(path):
        passphrase = passphrases.ask("passphrase of the state")
    return StateFile(path, passphrase)


def new(path: Path, passphrase_file: Path | None, encrypt: bool) -> StateFile:
    """A state file to create at ``path``; not yet locked. Raises: E4Error."""
    from e4device.statefile import StateFile

    passphrase = passphrases.given(passphrase_file)
    if passphrase is None and encrypt:
        passphrase = passphrases.ask("new passphrase of the state", twice=True)
    return StateFile(path, passphrase)


@contextmanager
def about(path: Path) -> Iterator[None]:
    """What is found wrong in the file ``path`` is told with its name."""
    try:
        yield
    except (InvalidInput, AuthenticationFailed) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}", kind=error.kind) from error


def load(file: StateFile) -> AnyState:
    """The state in ``file`` as of now. Raises: E4Error."""
    import time

    with about(file.path):
        return file.load(time.time())


def discard(file: StateFile) -> None:
    """Remove a state that was just made, and its lock, inside its ``with``."""
    files.discard(file.path)
    files.discard(file.path.with_name(f"{file.path.name}.lock"))


@contextmanager
def client_of(file: StateFile, *, clock_is_trusted: bool = True) -> Iterator[AnyClient]:
    """The client with the state in ``file``, which is locked meanwhile; its replay memory is saved at the end. Raises: E4Error."""
    from e4core.formats import new_client
    from e4core.plugins import load_suite
    from e4device.in_token import opened

    with file:
        state = load(file)
        with opened(load_suite(state.suite), state.private) as suite:
            client = new_client(suite, state, file.save, clock_is_trusted=clock_is_trusted)
            try:
                yield client
            finally:
                client.close()


def _is_sealed(path: Path) -> bool:
    from e4device.statefile import StateFile

    with about(path):
        return StateFile(path).is_sealed()
