# SPDX-License-Identifier: Apache-2.0
"""Files that hold keys: read only when nobody else can, written so that a power cut leaves the old one or the new one."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from e4core.errors import Conflict, StorageError

PRIVATE = 0o600
PUBLIC = 0o644


def read(path: Path, *, private: bool = True) -> bytes:
    """All of ``path``.

    Raises: StorageError: missing, unreadable, no regular file, or ``private`` and open to others than its owner.
    """
    # O_NONBLOCK: a FIFO put in place of the file must not hang the caller; fstat: what is checked is what is read
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _check(os.fstat(file.fileno()), path, private)
            return file.read()
    except FileNotFoundError as error:
        raise StorageError(f"{path} does not exist") from error
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


def create(path: Path, data: bytes, mode: int, *, new: Path | None = None) -> None:
    """Make ``path``, whole or not at all, and never in place of another file.

    Args: new: as in `replace`; None: a name that nobody else has.
    Raises: Conflict: there is one. StorageError.
    """
    new = new or path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(new, data, mode)
        try:
            os.link(new, path)  # a rename would replace what is there
        finally:
            new.unlink()
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise Conflict(f"{path} exists already and is not overwritten; choose another name", kind="exists") from error
    except OSError as error:
        _refuse(path, error)


def replace(path: Path, data: bytes, *, new: Path) -> None:
    """Put ``data`` in place of what ``path`` holds, with mode 0600.

    Args: new: where it is written first, in the same folder; only the caller may use that name.
    Raises: StorageError: then the old content is still there, unless only the folder could not be flushed to the disk.
    """
    try:
        try:
            _write(new, data, PRIVATE)
            new.replace(path)
        except OSError:
            discard(new)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        _refuse(path, error)


def discard(path: Path) -> None:
    """Remove ``path`` if it is there and can be removed."""
    with suppress(OSError):
        path.unlink()


def _check(status: os.stat_result, path: Path, private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{path} is no regular file")
    if private and status.st_mode & 0o077:
        raise StorageError(
            f"{path} holds a secret and is open to others; run: chmod 600 {path}, and change the key if it may have been read"
        )


def _write(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, PRIVATE), "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse(path: Path, error: OSError) -> NoReturn:
    raise StorageError(f"{path} cannot be written: {error.strerror}") from error
