# SPDX-License-Identifier: Apache-2.0
"""Payloads and protected messages, in and out of commands: by files and pipes, never as arguments."""

from __future__ import annotations

import sys
from base64 import b64decode
from pathlib import Path
from typing import Annotated

import typer

from e4cli.output import write_bytes
from e4core.errors import InvalidInput, StorageError

InOption = Annotated[Path | None, typer.Option("--in", metavar="FILE", help="Read this instead of stdin.")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write this instead of stdout.")]
Base64Option = Annotated[bool, typer.Option("--base64", help="The protected message is base64 text.")]


def read(path: Path | None) -> bytes:
    """Args: path: None: stdin. Raises: StorageError."""
    try:
        return path.read_bytes() if path else sys.stdin.buffer.read()
    except OSError as error:
        raise StorageError(f"{path or 'stdin'} cannot be read: {error.strerror}") from error


def write(path: Path | None, data: bytes) -> None:
    """Args: path: None: stdout. Raises: StorageError."""
    if path is None:
        return write_bytes(data)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def unbase64(data: bytes) -> bytes:
    """Raises: InvalidInput (``bad_base64``)."""
    try:
        return b64decode(b"".join(data.split()), validate=True)
    except ValueError as error:
        raise InvalidInput("the message is no base64 text", kind="bad_base64") from error
