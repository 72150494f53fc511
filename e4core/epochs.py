# SPDX-License-Identifier: Apache-2.0
"""The epochs of one topic: which may be used, and what a SetTopicKey makes of them (`format2.md` sections 2, 3 and 5).

A retired epoch loses its key. The newest one, and the newest that may send, stay in the table without it, so that the state digest
tells what the C2 has said, whatever the clock of the device does, and so that errors can say what is the matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from e4core.command2 import SetTopicKey
from e4core.errors import Conflict
from e4core.report import Held
from e4core.state2 import Epoch

HELD_MOST = 8

Epochs = tuple[Epoch, ...]
"""By rising number, never none."""


def sending(epochs: Epochs) -> Epoch | None:
    """The newest epoch that may be used to protect; it may be retired."""
    return next((epoch for epoch in reversed(epochs) if epoch.use), None)


def held(epochs: Epochs) -> Held:
    """What the state digest has of the topic."""
    newest, sends = epochs[-1], sending(epochs)
    return Held(sends.number if sends else 0, newest.number, newest.fingerprint)


def is_over(epoch: Epoch, second: int) -> bool:
    return 0 < epoch.not_after < second or (epoch.until is not None and second >= epoch.until)


def ends(epoch: Epoch) -> float:
    """Unix second from which it `is_over`."""
    of_its_own = epoch.not_after + 1 if epoch.not_after else float("inf")
    return min(of_its_own, float("inf") if epoch.until is None else epoch.until)


def faded(epochs: Epochs, second: int) -> Epochs:
    """Without the keys that are over at ``second``; the same object where nothing changes."""
    gone = {epoch.number for epoch in epochs if epoch.key is None or is_over(epoch, second)}
    stay = {epochs[-1].number, held(epochs).sending}
    if all(epoch.key is None and epoch.number in stay for epoch in epochs if epoch.number in gone):
        return epochs
    return tuple(
        replace(epoch, key=None) if epoch.number in gone else epoch
        for epoch in epochs
        if epoch.number in stay or epoch.number not in gone
    )


def with_key(epochs: Sequence[Epoch], command: SetTopicKey, fingerprint: bytes) -> Epochs:
    """After SetTopicKey, with whatever it makes older not yet `faded`. Args: fingerprint: of its key.

    Raises: Conflict (``epoch_conflict``): another key of this epoch is held, or newer ones are and this is not.
    """
    table = {epoch.number: epoch for epoch in epochs}
    former = table.get(command.epoch)
    if not command.epoch or (former is None and epochs and command.epoch < epochs[-1].number):
        raise _conflict(command, "is older than what is held")
    if former is not None and (former.key != command.key if former.key else former.fingerprint != fingerprint):
        raise _conflict(command, "is held with another key")
    table[command.epoch] = Epoch(
        command.epoch,
        command.key,
        fingerprint,
        command.use,
        command.validity_s,
        command.not_after,
        former.until if former else None,
    )
    until = command.older_until
    for number, epoch in table.items():
        if number < command.epoch:
            # never later than before: an epoch that a newer one has ended does not come back
            table[number] = replace(epoch, until=until if epoch.until is None else min(until, epoch.until))
    return tuple(table[number] for number in sorted(table)[-HELD_MOST:])


def _conflict(command: SetTopicKey, why: str) -> Conflict:
    return Conflict(f"epoch {command.epoch} of {command.topic.hex()} {why}", kind="epoch_conflict")
