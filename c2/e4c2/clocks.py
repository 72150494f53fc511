# SPDX-License-Identifier: Apache-2.0
"""The command clock (rule 9): which seconds a device was sent commands in, and the next one it can be.

Per device, timestamps never go back; they are back-dated 5 s, as e4go tolerates no future; and commands on the same object never
share a second.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import sqlalchemy as sa

from e4c2.columns import among
from e4c2.model import Kind, outbox
from e4core.message import WINDOW_S

BACKDATE_S = 5
BARRIERS = frozenset({Kind.RESET_TOPICS, Kind.RESET_PEERS, Kind.ID_KEY, Kind.C2_KEY})
"""What touches more than one object: it shares its second with nothing."""
_KINDS = {kind.value: kind for kind in Kind}


@dataclass(slots=True)
class Clock:
    """Of one device: which seconds were used, and for what."""

    last: int = 0
    barrier: int = 0
    objects: dict[bytes, int] = field(default_factory=dict)

    def earliest(self, kind: Kind, target: bytes, now: int) -> int:
        if kind in BARRIERS:
            return max(now - BACKDATE_S, self.last + 1)
        return max(now - BACKDATE_S, self.last, self.barrier + 1, self.objects.get(target, 0) + 1)

    def use(self, kind: Kind, target: bytes, second: int) -> None:
        self.last = max(self.last, second)
        if kind in BARRIERS:
            self.barrier = max(self.barrier, second)
        self.objects[target] = max(self.objects.get(target, 0), second)


def of(db: sa.Connection, clients: Collection[bytes], now: int) -> dict[bytes, Clock]:
    """The clocks of these. Seconds long past need not be known: `Clock.earliest` is never below ``now`` less the back-dating."""
    used = [among(db, outbox.c.client, list(clients)), outbox.c.second >= now - BACKDATE_S]
    recent = sa.select(outbox.c.client, outbox.c.kind, outbox.c.object, outbox.c.second).where(*used)
    latest = now + WINDOW_S
    clocks = {identity: Clock() for identity in clients}
    wrong = set()
    for identity, kind, target, second in db.execute(recent).all():
        is_right = isinstance(second, int) and second <= latest
        # of a kind that nobody knows, nobody knows what it touched
        clocks[identity].use(_KINDS.get(kind, Kind.RESET_TOPICS), target, second if is_right else now)
        if not is_right:
            wrong.add(identity)
    if wrong:
        # the clock was wrong then: devices pull back by themselves (wire.md section 13), and so does the record
        db.execute(sa.update(outbox).where(outbox.c.client.in_(wrong), outbox.c.second > latest).values(second=now))
    return clocks
