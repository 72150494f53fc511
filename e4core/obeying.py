# SPDX-License-Identifier: Apache-2.0
"""How a client of Format 1 obeys the C2 and reports to it (`wire.md` sections 7 and 13, `format2.md` section 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

from e4core import order, report, transition
from e4core.command import Command, RemoveTopic, decode
from e4core.errors import E4Error, InvalidInput, Replayed, TooOld
from e4core.kept import Kept
from e4core.message import WINDOW_S, check_window
from e4core.report import Ack, Hello, Outcome
from e4core.state import State

C = TypeVar("C")

ALREADY_EVERY_S = 10
"""A command that was applied before is acknowledged again once in this time (`format2.md` section 3)."""

DECLINED_KEPT = 1024


class Handled(NamedTuple, Generic[C]):
    """What became of a command that was authentic; in Format 2 there may be several in one."""

    outcome: Outcome
    commands: tuple[C, ...]
    """Those that were obeyed."""
    error: E4Error | None
    reports: tuple[bytes, ...]
    """For the C2: an ack, or nothing where the same was acknowledged just before; then what else was asked for."""

    @property
    def report(self) -> bytes | None:
        return self.reports[0] if self.reports else None


class Obeying(Kept):
    """Takes commands and makes reports."""

    @property
    def synchronised(self) -> bool:
        """True once the C2 has answered the last `hello`."""
        return self._synchronised

    def command(self, data: bytes, now: float) -> Handled[Command]:
        """Obey one command from the control topic; the state is saved before this returns.

        Raises: InvalidInput (``too_short``). InFuture. TooOld. AuthenticationFailed. And what ``save`` or a key in a token raises:
        then nothing was changed.
        """
        if len(data) <= 24:
            raise InvalidInput("a command has more than 24 bytes", kind="too_short")
        sent = int.from_bytes(data[:8], "little")
        check_window(sent, now, WINDOW_S, self._skew)
        plain = self._channel.command_key.open(b"", data[8:], data[:8])
        tag = data[8:24]
        state = self._state
        try:
            order.check(state, tag, sent, now + self._skew)
        except TooOld as error:
            return self._declined(tag, Outcome.OUTDATED, error)
        except Replayed as error:
            return self._already_done(tag, error, now)
        try:
            command = decode(plain, self.suite)
            after = transition.apply(self.suite, state, command, now)
        except E4Error as error:
            if error.kind not in report.REFUSALS:
                raise
            return self._declined(tag, Outcome.REFUSED, error)
        self._obey(order.obeyed(after, tag, sent), now - WINDOW_S)
        if isinstance(command, RemoveTopic) and command.topic == self._nonce:
            self._nonce, self._synchronised = b"", True
        return self._handled(tag, Outcome.APPLIED, (command,))

    def hello(self, _now: float = 0) -> bytes:
        """Report that asks the C2 for a Sync, and through it for whatever this device misses."""
        self._nonce, self._synchronised = self._nonce or self._random(report.NONCE_LEN), False
        return self._report(Hello(self._digest(), self._nonce))

    def _obey(self, after: State, horizon: float) -> None:
        self._adopt(replace(after, floor=self._memories.floor(after, horizon)), self._memories)
        self._memories.forget(after, horizon)

    def _handled(
        self, tag: bytes, outcome: Outcome, commands: tuple[Command, ...] = (), error: E4Error | None = None
    ) -> Handled[Command]:
        refusal = error.kind if error is not None and outcome is Outcome.REFUSED else ""
        return Handled(outcome, commands, error, (self._report(Ack(self._digest(), tag, outcome, refusal)),))

    def _declined(self, tag: bytes, outcome: Outcome, error: E4Error) -> Handled[Command]:
        """Not obeyed. Told once: who replays one command must not make a device talk without end."""
        if tag in self._declined_tags:
            return Handled(outcome, (), error, ())
        if len(self._declined_tags) >= DECLINED_KEPT:
            self._declined_tags.clear()
        self._declined_tags.add(tag)
        return self._handled(tag, outcome, error=error)

    def _already_done(self, tag: bytes, error: Replayed, now: float) -> Handled[Command]:
        if 0 <= now - self._already < ALREADY_EVERY_S:
            return Handled(Outcome.ALREADY, (), error, ())
        self._already = now
        return self._handled(tag, Outcome.ALREADY, error=error)

    def _report(self, content: report.Report) -> bytes:
        salt = self._random(report.SALT_LEN)
        return report.seal(self.suite, self._channel, self._state.client_id, content, salt)

    def _digest(self) -> bytes:
        assert self._ready is not None
        return self._ready.digest(self.suite)
