# SPDX-License-Identifier: Apache-2.0
"""State files as commands take them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from e4cli import passphrases

if TYPE_CHECKING:
    from e4core.client import Client
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
    if passphrase is None and StateFile(path).is_sealed():
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
def client_of(file: StateFile) -> Iterator[Client]:
    """The client with the state in ``file``, which is locked meanwhile; its replay memory is saved at the end. Raises: E4Error."""
    import time

    from e4core.client import Client
    from e4core.plugins import load_suite

    with file:
        state = file.load(time.time())
        client = Client(load_suite(state.suite), state, file.save)
        try:
            yield client
        finally:
            client.close()
