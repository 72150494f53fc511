# SPDX-License-Identifier: Apache-2.0
"""Drivers of which each makes or opens wraps in a wrong way. For tests alone."""

from __future__ import annotations

import os
from dataclasses import replace

from e4core.errors import Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from tests.conformance.kms.broken import Right


class LosesZeros(Right):
    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return Secret(super().unwrap(wrapped, context).rstrip(b"\0"))


class NamesUnprintably(Right):
    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        return replace(super().wrap(secret, context), key_id="v\n0")


class OnlyThisHandle(Right):
    def __init__(self, seed: str) -> None:
        super().__init__(f"{seed} {os.urandom(8).hex()}")


class ShowsTheSecret(Right):
    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        wrapped = super().wrap(secret, context)
        return replace(wrapped, mechanism=f"{wrapped.mechanism} {secret.hex()}")


class CutsContexts(Right):
    def _bound(self, context: bytes) -> bytes:
        return context.decode().encode()


class TakesTruncated(Right):
    """Whatever is there of a tag is compared."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._made: list[tuple[Wrapped, bytes]] = []

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        self._made.append((super().wrap(secret, context), context))
        return self._made[-1][0]

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        for made, bound in self._made:
            if bound == context and len(wrapped.blob) > 44 and made.blob.startswith(wrapped.blob):
                return super().unwrap(made, context)
        return super().unwrap(wrapped, context)


class IgnoresTheRest(Right):
    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return super().unwrap(replace(wrapped, blob=wrapped.blob[:60]), context)


class TakesShort(Right):
    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return super().unwrap(wrapped, context) if len(wrapped.blob) > 16 else Secret(bytes(32))


class TakesNoContext(Right):
    """An empty one stands for all."""

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        self._last = context or getattr(self, "_last", b"")
        return super().unwrap(wrapped, self._last)


class IgnoresMechanism(Right):
    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return super().unwrap(replace(wrapped, mechanism="aes-256-gcm"), context)


class OneKeyForAll(Right):
    def __init__(self, seed: str) -> None:
        super().__init__(f"all&pin={seed.partition('&pin=')[2]}")


class RewrapsToOthers(Right):
    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        return self.wrap(Secret(self.unwrap(wrapped, context)[::-1]), context)


class RewrapsAnything(Right):
    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        try:
            return super().rewrap(wrapped, context)
        except Tampered:
            return self.wrap(Secret(bytes(32)), context)
