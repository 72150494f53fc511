# SPDX-License-Identifier: Apache-2.0
"""How a client of Format 2 obeys the C2 and reports to it (`format2.md` sections 3 and 4)."""

from __future__ import annotations

from dataclasses import replace

from e4core import report, transition2
from e4core.command2 import Command2, NewIDKey, Sync, decode
from e4core.control2 import sequence_of
from e4core.errors import E4Error, Replayed
from e4core.kept2 import Kept2
from e4core.obeying import ALREADY_EVERY_S, Handled
from e4core.ready2 import digest
from e4core.report import Ack, Hello, Offer, Outcome

SYNC_WITHIN_S = 10
"""The time of a Sync is taken within this time after the hello that it answers."""
SYNC_BEFORE_MS = (1 << 32) * 1000
"""Of a Sync: no time from here on is taken; the numbers of epochs end there, too."""
HELLOS_KEPT = 8


class Obeying2(Kept2):
    """Takes commands and makes reports."""

    @property
    def synchronised(self) -> bool:
        """True once the C2 has answered the last `hello`, and where there is no other clock, told the time."""
        return self._synchronised

    def command(self, data: bytes, now: float) -> Handled[Command2]:
        """Obey one command from the control topic; the state is saved before this returns.

        Raises: InvalidInput (``bad_length``, ``bad_version``). Replayed. AuthenticationFailed (``bad_signature``,
        ``not_authentic``). And what ``save`` or a key in a token raises: then nothing was changed; but where only the report
        could not be signed, the command was obeyed, and its repetition is answered with `Outcome.ALREADY`.
        """
        self._check_open()
        sequence = sequence_of(self.suite, data)
        state = self._state
        if sequence < state.last:
            raise Replayed("a newer command has taken the place of this one")
        plain, way = self._ready.control.open(self.suite, state.client_id, data)
        if sequence == state.last:
            return self._already_done(sequence, now)
        try:
            commands = tuple(decode(plain, self.suite))
            after = transition2.apply(self.suite, state, way, commands, self._second(now))
        except E4Error as error:
            if error.kind not in report.REFUSALS:
                raise
            self._adopt(replace(state, last=sequence))
            return Handled(Outcome.REFUSED, (), error, (self._ack(sequence, Outcome.REFUSED, error.kind),))
        self._adopt(replace(after, last=sequence), self._horizon(now))
        self._synchronise(commands, now)
        reports = [self._ack(sequence, Outcome.APPLIED)]
        if any(isinstance(command, NewIDKey) for command in commands):
            reports.append(self._offer())
        return Handled(Outcome.APPLIED, commands, None, tuple(reports))

    def hello(self, now: float) -> bytes:
        """Report that asks the C2 for a Sync, and through it for whatever this device misses."""
        self._check_open()
        nonce = self._random(report.NONCE_LEN)
        self._hellos = {**dict(list(self._hellos.items())[1 - HELLOS_KEPT :]), nonce: now}
        self._synchronised = False
        return self._report(Hello(digest(self.suite, self._state), nonce, self._state.last))

    def _already_done(self, sequence: int, now: float) -> Handled[Command2]:
        error = Replayed("this command was answered before")
        if 0 <= now - self._already < ALREADY_EVERY_S:
            return Handled(Outcome.ALREADY, (), error, ())
        self._already = now
        # the offer again as well: the one before may have been lost
        offers = (self._offer(),) if self._state.offered else ()
        return Handled(Outcome.ALREADY, (), error, (self._ack(sequence, Outcome.ALREADY), *offers))

    def _synchronise(self, commands: tuple[Command2, ...], now: float) -> None:
        for command in commands:
            said = self._hellos.get(command.nonce) if isinstance(command, Sync) else None
            if said is None or not isinstance(command, Sync):
                continue
            if not self._clock_is_trusted:
                if not 0 <= now - said <= SYNC_WITHIN_S or command.time_ms >= SYNC_BEFORE_MS:
                    continue
                self._offset_s += command.time_ms / 1000 - now
                self._has_clock = True
            self._hellos.clear()
            self._synchronised = True

    def _ack(self, sequence: int, outcome: Outcome, refusal: str = "") -> bytes:
        state = self._state
        return self._report(
            Ack(digest(self.suite, state), report.subject(sequence), outcome, refusal, state.last),
        )

    def _offer(self) -> bytes:
        suite, state = self.suite, self._state
        private = suite.device.load(state.pending)
        public = suite.device.public(private)
        assert suite.signature
        message = report.offer_message(state.client_id, state.offered, public)
        signature = suite.signature.signer(private).sign(message)
        return self._report(Offer(digest(suite, state), state.offered, public, signature, state.last))

    def _report(self, content: report.Report) -> bytes:
        salt = self._random(report.SALT_LEN)
        return report.seal(self.suite, self._ready.control.reports, self._state.client_id, content, salt)
