# SPDX-License-Identifier: Apache-2.0
"""Private files: read only when nobody else can, written so that a crash or a full disk leaves the old content or the new.

*Private* is what belongs to the user who runs this and is open to nobody else. The core itself uses no files: this stands here
for the rooms above it, which do not see each other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from e4core.errors import Conflict, StorageError

PRIVATE = 0o600
PUBLIC = 0o644
LINE_MAX_LEN = 65_535
"""Bytes; what MQTT allows for a password."""
MISSING = "missing"
"""Kind of the error about a file that does not exist."""

_FOLDER = 0o700


def read(path: Path, *, private: bool = True, follow: bool = True) -> bytes:
    """All of a regular file.

    Args: private: it must be.  follow: ``path`` may be a symbolic link; who owns that does not matter.
    Raises: StorageError: (``missing``); unreadable, no regular file, or not private.
    """
    # O_NONBLOCK: a FIFO put in place of the file must not hang the caller; fstat: what is checked is what is read
    with _reading(path, os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)) as fd:
        status = os.fstat(fd)
        _require_regular(status, path)
        if private:
            _require_private(status, path, PRIVATE)
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read()


def first_line(path: Path) -> bytes:
    """First line of a file with a secret, without its end; ``path`` may also be a pipe.

    Raises: StorageError: (``missing``); unreadable, a file that is not private, or a line of more than 65,535 bytes.
    """
    with _reading(path, 0) as fd:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            _require_private(status, path, PRIVATE)
        with os.fdopen(fd, "rb", closefd=False) as file:
            line = file.readline(LINE_MAX_LEN + 1).rstrip(b"\r\n")
    if len(line) > LINE_MAX_LEN:
        raise StorageError(f"the first line of {path} is too long to be a secret; name another file")
    return line


def create(path: Path, data: bytes | Iterable[bytes], mode: int = PRIVATE, *, new: Path | None = None) -> None:
    """Make a file, whole or not at all, and never in place of another.

    Args: data: all of it, or piece by piece.  new: as in `replace`.
    Raises: Conflict (``exists``). StorageError: then there is none, unless only the folder could not be flushed to the disk.
    """
    with _written(path, data, mode, new) as written:
        try:
            os.link(written, path)  # a rename would replace what is there
        except FileExistsError as error:
            raise Conflict(
                f"{path} exists already and is not overwritten; choose another name", kind="exists"
            ) from error
        written.unlink()


def replace(path: Path, data: bytes, *, new: Path | None = None) -> None:
    """Put a private file with ``data`` in place of what ``path`` is, if anything; when this returns, it survives a power cut.

    Args: new: where it is written first, in the same folder; only the caller may use that name, and `discard` what a crash left
        there. None: a name that nobody has.
    Raises: StorageError: then the old content is still there, unless only the folder could not be flushed to the disk.
    """
    with _written(path, data, PRIVATE, new) as written:
        written.replace(path)


def discard(path: Path) -> None:
    """Remove ``path`` if it is there and can be removed."""
    with suppress(OSError):
        path.unlink()


def check(path: Path) -> None:
    """For files that others open. Raises: StorageError: it exists, but is no regular file, or not private."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    _require_regular(status, path)
    _require_private(status, path, PRIVATE)


def make_folder(path: Path) -> None:
    """Make a private folder, unless there is one. Raises: StorageError: it cannot be made, or what is there is not private."""
    try:
        path.mkdir(_FOLDER, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise StorageError(f"{path} cannot be a folder for private files: {error.strerror}") from error
    _require_private(status, path, _FOLDER)


@dataclass(frozen=True, slots=True)
class Lock:
    """What one process alone holds until it releases it or ends, however that happens."""

    fd: int
    owner: int

    @classmethod
    def take(cls, path: Path, in_use: str) -> Lock:
        """Lock the file ``path``, which is made if need be, and stays.

        Args: in_use: what to say if another process has it.
        Raises: Conflict (``in_use``). StorageError.
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if isinstance(error, BlockingIOError):
                raise Conflict(in_use, kind="in_use") from None
            raise StorageError(f"{path} cannot be locked: {error.strerror}") from error
        return cls(fd, os.getpid())

    @property
    def is_ours(self) -> bool:
        """False in a child that was forked since."""
        return self.owner == os.getpid()

    def release(self) -> None:
        os.close(self.fd)


@contextmanager
def _reading(path: Path, flags: int) -> Iterator[int]:
    try:
        with _opened(path, os.O_RDONLY | flags) as fd:
            yield fd
    except FileNotFoundError as error:
        raise StorageError(f"{path} does not exist", kind=MISSING) from error
    except OSError as error:
        why = "it is a symbolic link; name the file itself" if error.errno == errno.ELOOP else error.strerror
        raise StorageError(f"{path} cannot be read: {why}") from error


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC, PRIVATE)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _written(path: Path, data: bytes | Iterable[bytes], mode: int, new: Path | None) -> Iterator[Path]:
    """``data`` on the disk beside ``path``, for the caller to bring there; nothing stays if anything fails."""
    new = new or path.parent / f".{path.name}.{os.urandom(8).hex()}"
    try:
        try:
            _write(new, [data] if isinstance(data, bytes) else data, mode)
            yield new
        except BaseException:
            discard(new)
            raise
        with _opened(path.parent, os.O_RDONLY | os.O_DIRECTORY) as folder:
            os.fsync(folder)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def _write(path: Path, data: Iterable[bytes], mode: int) -> None:
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW) as fd:
        with os.fdopen(fd, "wb", closefd=False) as file:
            for piece in data:
                file.write(piece)
        os.fchmod(fd, mode)
        os.fsync(fd)


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{path} is no regular file; name another one")


def _require_private(status: os.stat_result, path: Path, mode: int) -> None:
    user, name = os.geteuid(), shlex.quote(str(path))
    if status.st_uid != user:
        raise StorageError(
            f"{path} belongs to user {status.st_uid}, not to user {user} who runs this; "
            f"run it as user {status.st_uid}, or: chown {user} {name} && chmod {mode:o} {name}"
        )
    if status.st_mode & 0o077:
        raise StorageError(
            f"{path} is open to others than its owner; change what it holds if they may have read it, "
            f"and run: chmod {mode:o} {name}"
        )
