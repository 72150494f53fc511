# SPDX-License-Identifier: Apache-2.0
"""How use of a part of the C2 is watched, by whoever wants to know how often, how long, and with what success."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from e4core.errors import E4Error, KmsError, StorageError

Watch = Callable[[str], AbstractContextManager[object]]
"""Around one use of something, which it names."""

OK = "ok"


def unwatched(_operation: str) -> AbstractContextManager[None]:
    """By nobody."""
    return nullcontext()


def both(one: Watch, other: Watch) -> Watch:
    """By two."""

    @contextmanager
    def watch(operation: str) -> Iterator[None]:
        with one(operation), other(operation):
            yield

    return watch


def outcome(error: BaseException) -> str:
    """Of a use that ended by ``error``, and of which there are only so many: the kind of what failed, else that it was refused."""
    if isinstance(error, (StorageError, KmsError)):
        return error.kind
    return "refused" if isinstance(error, E4Error) else "failed"
