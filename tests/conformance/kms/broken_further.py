# SPDX-License-Identifier: Apache-2.0
"""More drivers of which each is wrong in one way, as `tests.conformance.kms.broken`; with abilities that those do not have."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from e4core.errors import Conflict, InvalidInput, KeyNotFound, KmsDenied, KmsError, KmsUnavailable
from e4core.kms import Kms, Wrapped
from tests.conformance.kms import broken
from tests.conformance.kms.broken import IgnoresContext, Right
from tests.conformance.kms.broken_wraps import (
    CutsContexts,
    IgnoresMechanism,
    IgnoresTheRest,
    LosesZeros,
    NamesUnprintably,
    OneKeyForAll,
    OnlyThisHandle,
    RewrapsAnything,
    RewrapsToOthers,
    ShowsTheSecret,
    TakesNoContext,
    TakesShort,
    TakesTruncated,
)

HAPPENING: list[type[KmsError]] = []
"""What goes wrong at the back end."""
RESTARTS: list[str] = []
"""One entry for each."""
_MADE: set[str] = {"seed"}
"""Seeds of keys that exist."""


class Able(Right):
    """As it should be, with keys that are made, and a share."""

    def _ready(self) -> None:
        super()._ready()
        if HAPPENING:
            raise HAPPENING[0]("so it is")
        if self._seed.startswith("absent") and self._seed not in _MADE:
            raise KeyNotFound("there is no such key")

    def create_key(self) -> None:
        if self._seed in _MADE:
            raise Conflict("there is one")
        _MADE.add(self._seed)

    def check_shares(self, wrapped: Wrapped | None, context: bytes, /) -> KmsError | None:
        if wrapped is not None:
            self.unwrap(wrapped, context)
        return None


class SaysUnavailable(Able):
    """Of all that a service refuses."""

    def _ready(self) -> None:
        try:
            super()._ready()
        except KmsError:
            raise KmsUnavailable("no") from None


class EndsWithTheBackEnd(Able):
    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._restarts = len(RESTARTS)

    def _ready(self) -> None:
        super()._ready()
        if len(RESTARTS) > self._restarts:
            raise KmsError("the session is gone")


class ForgetsToRefuse(Right):
    """Whoever was refused is let in when it asks again."""

    def _refused(self) -> None:
        self._pin = "right"
        raise KmsDenied("wrong PIN")


class ChecksAndCloses(Right):
    def check(self) -> None:
        super().check()
        self.close()


class ClosesOnce(Right):
    def close(self) -> None:
        if self._closed:
            raise KmsError("closed")
        super().close()


class ClosesAll(Right):
    _opened: list[Right] = []  # noqa: RUF012  # wrong on purpose

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._opened.append(self)

    def close(self) -> None:
        for each in self._opened:
            Right.close(each)


class OpensOnce(Right):
    """What its handles share stays closed."""

    _users = 0
    _ended = False

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        OpensOnce._users += 1

    def _ready(self) -> None:
        super()._ready()
        if self._ended:
            raise KmsError("the module has ended")

    def close(self) -> None:
        OpensOnce._users -= not self._closed
        OpensOnce._ended |= not self._users
        super().close()


class MakesAnother(Able):
    def create_key(self) -> None:
        _MADE.add(self._seed)


class MakesAtFirstUse(Able):
    def _ready(self) -> None:
        _MADE.add(self._seed)
        super()._ready()


class FindsFault(Able):
    def check_shares(self, wrapped: Wrapped | None, context: bytes, /) -> KmsError | None:
        super().check_shares(wrapped, context)
        return KmsUnavailable("one of one")


class FindsNothing(Able):
    """Of its shares it asks none."""


class OneHandleAtATime(Right):
    _busy = threading.Lock()

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        if threading.current_thread() is not threading.main_thread() and not self._busy.acquire(blocking=False):
            raise KmsError("there is a session already")
        time.sleep(0.01)

    def close(self) -> None:
        if self._busy.locked() and not self._closed:
            self._busy.release()
        super().close()


class OfThisProcess(Right):
    _salt = os.urandom(8).hex()

    def __init__(self, seed: str) -> None:
        super().__init__(f"{seed} {self._salt}")


class ClosesInChildren(Right):
    """The session of the parent ends with the child's, as both have one socket."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._reading, self._writing = os.pipe()

    def _ready(self) -> None:
        super()._ready()
        os.set_blocking(self._reading, False)
        try:
            if os.read(self._reading, 1):
                raise KmsError("the other side has closed")
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.write(self._writing, b"x" * 100)
        super().close()


def takes_any(uri: str) -> Kms:
    try:
        return load(uri)
    except InvalidInput:
        return Right("seed")


def takes_any_option(uri: str) -> Kms:
    return load(uri.partition("&")[0])


def raises_raw(uri: str) -> Kms:
    if any(character in uri for character in "%\n\0é#[\ud800"):
        raise UnicodeError("no URI")
    return load(uri)


def load(uri: str) -> Kms:
    """As `broken.load`, of these."""
    way, _, seed = uri.removeprefix("broken:").partition("?")
    kind = _KINDS.get(way)
    if kind is None or not seed:
        return broken.load(uri)
    if "no-such-option" in seed:
        raise InvalidInput("there is no such option")
    return kind(seed)


FURTHER: dict[type[Right], str] = {
    LosesZeros: "E4-WRAP-001",
    NamesUnprintably: "E4-WRAP-002",
    ShowsTheSecret: "E4-WRAP-003",
    OnlyThisHandle: "E4-WRAP-004",
    CutsContexts: "E4-WRAP-006",
    TakesTruncated: "E4-WRAP-011",
    IgnoresTheRest: "E4-WRAP-012",
    TakesShort: "E4-WRAP-013",
    IgnoresContext: "E4-WRAP-014",
    TakesNoContext: "E4-WRAP-016",
    IgnoresMechanism: "E4-WRAP-018",
    OneKeyForAll: "E4-WRAP-019",
    ForgetsToRefuse: "E4-KERR-020",
    ChecksAndCloses: "E4-KLIF-001",
    ClosesOnce: "E4-KLIF-002",
    ClosesAll: "E4-KLIF-004",
    OpensOnce: "E4-KLIF-005",
    EndsWithTheBackEnd: "E4-KLIF-006",
    RewrapsToOthers: "E4-KROT-001",
    RewrapsAnything: "E4-KROT-002",
    MakesAnother: "E4-KROT-020",
    MakesAtFirstUse: "E4-KROT-021",
    FindsFault: "E4-KROT-030",
    FindsNothing: "E4-KROT-031",
    OneHandleAtATime: "E4-KCON-002",
    OfThisProcess: "E4-KCON-003",
    ClosesInChildren: "E4-KCON-005",
}
"""What is wrong -> the requirement that says so."""
LOADS: dict[Callable[[str], Kms], str] = {
    takes_any: "E4-KERR-001",
    takes_any_option: "E4-KERR-002",
    raises_raw: "E4-KERR-003",
}
"""Factories, likewise."""
_ALL: tuple[type[Right], ...] = (Able, SaysUnavailable, *FURTHER)
_KINDS = {kind.__name__: kind for kind in _ALL}
