# SPDX-License-Identifier: Apache-2.0
"""Standard input, output and error as commands need them: whatever writes there, a library included, fails in the same few ways.

Output that cannot be written is an error of ours, once. What standard error does not take is lost, for there is nobody to tell.
A stream that was closed when we began fails like any other: else a file that is opened later would take its place.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from e4core.errors import StorageError


class ReaderGone(Exception):
    """Whoever read the output has closed it. (Typer would make a BrokenPipeError an exit of its own.)"""


def set_up() -> None:
    """Put them in place, before anything is read or written."""
    sys.stdin = _input(sys.stdin)
    sys.stdout = _output(sys.stdout, _Results)
    sys.stderr = _output(sys.stderr, _Remarks)


class _Results(io.FileIO):
    _failed = False

    # typeshed takes any buffer; what buffers us gives a memoryview
    def write(self, data: memoryview, /) -> int | None:  # type: ignore[override]
        if self._failed:  # what Python flushes at its end would complain once more
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            if isinstance(error, BrokenPipeError):
                raise ReaderGone from error
            raise StorageError(f"standard output cannot be written: {error.strerror}") from error


class _Remarks(io.FileIO):
    def write(self, data: memoryview, /) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _input(given: TextIO | None) -> TextIO:
    return given or io.TextIOWrapper(io.BufferedReader(io.FileIO(os.open(os.devnull, os.O_WRONLY), "r")))


def _output(given: TextIO | None, kind: type[io.FileIO]) -> TextIO:
    fd = given.fileno() if given else os.open(os.devnull, os.O_RDONLY)
    encoding = given.encoding if given else "utf-8"
    raw = kind(fd, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)
