# SPDX-License-Identifier: Apache-2.0
"""A bar for long work, on stderr, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    def __call__(self, done: int, total: int | None, now: str = "", /) -> None:
        """How much is done, and of how much, if that is known; and what comes next."""


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    if not sys.stderr.isatty():
        yield lambda _done, _total, _now="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    now_column = TextColumn("{task.fields[now]}", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), now_column)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, now="")
        yield lambda done, total, now="": bar.update(task, completed=done, total=total, now=now)
