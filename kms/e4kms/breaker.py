# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: a KMS that does not answer is left alone for a while, so that each use of the next one costs nothing more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TypeVar

from e4core.errors import KmsUnavailable
from e4core.keys import Secret
from e4core.kms import HasShares, Kms, KmsFactory, Rewraps, Wrapped

T = TypeVar("T")

PAUSE_S = 15.0


def _unwatched(_operation: str) -> AbstractContextManager[None]:
    return nullcontext()


class Breaker:
    """A `e4core.kms.Kms`, opened now or, if it does not answer now, when it is used.

    After one `KmsUnavailable` every use within the next ``pause_s`` seconds is the same error at once. ``watch`` is around each use
    that reaches the KMS, and told which it is.
    """

    def __init__(
        self,
        uri: str,
        open_kms: KmsFactory,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[str], AbstractContextManager[object]] = _unwatched,
    ) -> None:
        """Raises: InvalidInput; KmsError; PluginError: whatever time does not mend."""
        self._uri = uri
        self._open_kms = open_kms
        self._pause_s = pause_s
        self._clock = clock
        self._watch = watch
        self._opening = threading.Lock()
        self._kms: Kms | None = None
        self._last: KmsUnavailable | None = None
        self._again_at = 0.0
        with suppress(KmsUnavailable):
            self._guarded("open", lambda kms: None)

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        return self._guarded("wrap", lambda kms: kms.wrap(secret, context))

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return self._guarded("unwrap", lambda kms: kms.unwrap(wrapped, context))

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        return self._guarded("rewrap", lambda kms: _rewrap(kms, wrapped, context))

    def check(self) -> None:
        self._guarded("check", lambda kms: kms.check())

    def check_shares(self, wrapped: Wrapped | None, context: bytes, /) -> str | None:
        """Of a KMS that has none: as `check`; what it wrapped is not opened."""
        return self._guarded("check", lambda kms: _check_shares(kms, wrapped, context))

    def close(self) -> None:
        if self._kms is not None:
            self._kms.close()

    def _guarded(self, operation: str, use: Callable[[Kms], T]) -> T:
        last = self._last  # once, as another thread may clear it
        if last is not None and self._clock() < self._again_at:
            raise KmsUnavailable(str(last), kind=last.kind)
        try:
            with self._watch(operation):
                result = use(self._opened())
        except KmsUnavailable as error:
            self._last, self._again_at = error, self._clock() + self._pause_s
            raise
        self._last = None
        return result

    def _opened(self) -> Kms:
        with self._opening:
            if self._kms is None:
                self._kms = self._open_kms(self._uri)
            return self._kms


def _rewrap(kms: Kms, wrapped: Wrapped, context: bytes) -> Wrapped:
    if isinstance(kms, Rewraps):
        return kms.rewrap(wrapped, context)
    return kms.wrap(kms.unwrap(wrapped, context), context)


def _check_shares(kms: Kms, wrapped: Wrapped | None, context: bytes) -> str | None:
    if isinstance(kms, HasShares):
        return kms.check_shares(wrapped, context)
    if wrapped is None:
        kms.check()
    return None
