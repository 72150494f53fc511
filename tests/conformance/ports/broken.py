# SPDX-License-Identifier: Apache-2.0
"""Ports that are wrong in one thing each. Over stdio: ``python -m tests.conformance.ports.broken NAME [--suite NAME]``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from e4conformance.played import Obeyed, Own
from e4conformance.ports.reference import ReferencePort, main
from e4conformance.ports.request import Request
from e4core import formats
from e4core.client import Tolerance
from e4core.errors import AuthenticationFailed, E4Error, Replayed, TooOld
from e4core.keys import ClientId
from e4core.message import Message
from e4core.state import State
from e4core.suite import AeadKey, Suite

Ok = dict[str, Any]
NOTHING_SEEN: Ok = {"mark": 0, "floor": 0, "seen": (), "clean": True}


class BrokenDevice(Own):
    def again(self, **changes: Any) -> Own:
        """The same device started anew, with something of its state changed."""
        return Own(self.suite, formats.dump(replace(self.state, **changes)))


class TakesReplays(BrokenDevice):
    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        try:
            return super().unprotect(data, topic, now)
        except Replayed:
            return self.again(**NOTHING_SEEN).unprotect(data, topic, now)


class ForgetsAtRestart(BrokenDevice):
    def restart(self) -> None:
        self._saved = formats.dump(replace(formats.load(self._saved), **NOTHING_SEEN))
        super().restart()


class IgnoresTopic(BrokenDevice):
    """One key for whatever is held."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.heard: dict[str, None] = {}
        super().__init__(*args, **named)

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        self.heard[topic] = None
        for name in ("home/light", *self.heard):
            try:
                return super().unprotect(data, name, now)
            except E4Error:
                continue
        return super().unprotect(data, topic, now)


class RepeatsSessions(BrokenDevice):
    def restart(self) -> None:
        self._random = bytes
        state: Any = formats.load(self._saved)
        self._saved = formats.dump(replace(state, starts=0))
        super().restart()


class TakesStaleCommands(BrokenDevice):
    def command(self, data: bytes, now: float) -> Obeyed:
        fresh: Ok = {"last": 0} if self.suite.format == 2 else {"command_second": 0, "command_tags": {}}
        try:
            obeyed = super().command(data, now)
        except (Replayed, TooOld):
            return self.again(**fresh).command(data, now)
        return obeyed if obeyed.kind not in ("replayed", "timestamp_old") else self.again(**fresh).command(data, now)


class DropsGrace(BrokenDevice):
    def command(self, data: bytes, now: float) -> Obeyed:
        obeyed = super().command(data, now)
        state: Any = self.state
        if isinstance(state, State):
            kept: Any = {topic: replace(held, previous=None, rotated=0) for topic, held in state.topics.items()}
        else:
            kept = {topic: held[-1:] for topic, held in state.topics.items()}
        self._saved = formats.dump(replace(state, topics=kept))
        Own.restart(self)
        return obeyed


class WrongEpochRule(BrokenDevice):
    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        try:
            return super().unprotect(data, topic, now)
        except E4Error as error:
            if error.kind == "epoch_unknown":
                error.kind = "epoch_retired"
            raise


class WrongSender(BrokenDevice):
    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        return super().unprotect(data, topic, now)._replace(sender=ClientId(bytes(16)))


class SendsTheSame(BrokenDevice):
    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        return self.again(sent=0).protect(payload, topic, int(now / 60) * 60)


class NoRandom(BrokenDevice):
    def restart(self) -> None:
        self._random = bytes
        super().restart()


class ObeysInPart(BrokenDevice):
    def command(self, data: bytes, now: float) -> Obeyed:
        obeyed = super().command(data, now)
        if obeyed.outcome == "refused":
            state: Any = self.state
            self._saved = formats.dump(replace(state, topics={}))
            Own.restart(self)
        return obeyed


class LosesNewKeys(BrokenDevice):
    """At a restart it has the key again with which it was provisioned."""

    first: Any = None

    def restart(self) -> None:
        state: Any = formats.load(self._saved)
        self.first = self.first or state
        self._saved = formats.dump(replace(state, private=self.first.private, c2_public=self.first.c2_public))
        super().restart()


class TakesLongCommands(BrokenDevice):
    """Says of what is long that it was obeyed, before it has seen the tag."""

    def command(self, data: bytes, now: float) -> Obeyed:
        try:
            return super().command(data, now)
        except E4Error:
            if len(data) <= 512:
                raise
            return Obeyed("applied", "", (), False)


class OnItsClock(BrokenDevice):
    def protect(self, payload: bytes, topic: str, _now: float) -> bytes:
        return super().protect(payload, topic, time.time())

    def unprotect(self, data: bytes, topic: str, _now: float) -> Message:
        return super().unprotect(data, topic, time.time())

    def command(self, data: bytes, _now: float) -> Obeyed:
        return super().command(data, time.time())


class CounterMode:
    """AES-GCM whose tag is looked at in part, or not at all.

    Args: least: bytes of the tag that must be there and right.  above: bytes up to which all of it is looked at.
    """

    def __init__(self, aead: Any, least: int, above: int) -> None:
        self._aead, self._least, self._above = aead, least, above
        self.key_len, self.nonce_len, self.tag_len = aead.key_len, aead.nonce_len, aead.tag_len

    def key(self, raw: bytes) -> AeadKey:
        return _Key(self._aead.key(raw), raw, self._least, self._above)


class _Key:
    def __init__(self, key: AeadKey, raw: bytes, least: int, above: int) -> None:
        self._key, self._raw, self._least, self._above = key, raw, least, above
        self.seal = key.seal

    def open(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
        if len(data) <= self._above:
            return self._key.open(nonce, data, associated)
        for tag_len in range(self._least, 17):
            payload = self._decrypted(nonce, data[: len(data) - tag_len])
            if not self._least or self.seal(nonce, payload, associated)[: len(data)] == data:
                return payload if self._least else self._decrypted(nonce, data[:-16])
        raise AuthenticationFailed

    def _decrypted(self, nonce: bytes, data: bytes) -> bytes:
        counter = algorithms.AES(self._raw), modes.CTR(nonce + b"\0\0\0\2")
        return Cipher(*counter).decryptor().update(data)


class BrokenPort(ReferencePort):
    """With another device, or other AEAD."""

    device_type: type[Own] = Own
    least: int | None = None
    above = -1

    def started(self, suite: Suite, saved: bytes, tolerance: Tolerance, has_clock: bool) -> Own:
        if self.least is not None:
            suite = replace(suite, aead=CounterMode(suite.aead, self.least, self.above))
        return self.device_type(suite, saved, tolerance, has_clock=has_clock)


def port_with(device: type[Own]) -> type[BrokenPort]:
    return type(device.__name__, (BrokenPort,), {"device_type": device})


class TakesShortTags(BrokenPort):
    least = 12


class TakesAnyTag(BrokenPort):
    least = 0


class StreamsWhatIsLong(TakesAnyTag):
    above = 256


class ObeysAgain(ReferencePort):
    """Without a clock, and obeys the same command as often as it comes."""

    def about(self, request: Request) -> Ok:
        return {**super().about(request), "capabilities": []}

    def command(self, device: Own, request: Request) -> Ok:
        return {**super().command(device, request), "outcome": "applied"}


class ShowsPairs(ReferencePort):
    """As a debugger shows bytes."""

    def show(self, device: Own, request: Request) -> Ok:
        return {**super().show(device, request), "memory": device.state.private.hex(":")}


class ShowsKeys(ReferencePort):
    def show(self, device: Own, request: Request) -> Ok:
        return {**super().show(device, request), "key": device.state.private.hex()}


class TellsKeys(ReferencePort):
    def provision(self, request: Request) -> Ok:
        print(f"provisioned with {request.text('private').upper()}", file=sys.stderr, flush=True)
        return super().provision(request)


class AnswersTwice(ReferencePort):
    def answer(self, line: bytes) -> bytes:
        return super().answer(line) * 2


class ForgetsIds(ReferencePort):
    def answer(self, line: bytes) -> bytes:
        return super().answer(line).replace(b'{"id":7,', b'{"id":1,')


class KeepsTheDevice(ReferencePort):
    def provision(self, request: Request) -> Ok:
        return {} if self.device else super().provision(request)


class WrongDigest(ReferencePort):
    def show(self, device: Own, request: Request) -> Ok:
        return {**super().show(device, request), "digest": "00" * 16}


class Hangs(ReferencePort):
    def hello(self, device: Own, request: Request) -> Ok:
        time.sleep(600)
        return super().hello(device, request)


class DiesOfGarbage(ReferencePort):
    def answer(self, line: bytes) -> bytes:
        line.decode("ascii")
        return super().answer(line)


class Garbles(ReferencePort):
    def hello(self, device: Own, request: Request) -> Ok:
        print("debug: hello", flush=True)
        return super().hello(device, request)


_PORTS: list[Callable[..., ReferencePort]] = [Hangs, DiesOfGarbage, Garbles, TellsKeys]

if __name__ == "__main__":
    chosen = next(port for port in _PORTS if getattr(port, "__name__", "") == sys.argv[1])
    sys.exit(main(chosen, sys.argv[2:]))
