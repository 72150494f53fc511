# SPDX-License-Identifier: Apache-2.0
"""What no single row can tell: that all granting rows are there, each in its newest generation.

One sum for the whole database, modulo 2**256: of HMAC-SHA256 of every row's MAC. Each change of a row changes the sum, and is
counted, in the same transaction; `verify` adds it all up anew, at start and every hour. So a row that was put back to an older
state, with the MAC of that time, or that was deleted behind the C2's back, is found. (An exclusive or would forget pairs: what was
put back, and taken out twice, could be put back again.) The key of that HMAC is random, and sealed together with the sum, under the
newest DEK alone: who knew it could solve for a set of rows that fits. A rotation of that DEK draws a new one.

Between two sums `e4c2.roll` knows which MACs are valid. A row that it misses is not used before all was added up: either somebody
else of right wrote it, or it is an alarm. While the C2 runs the count never goes back, so the database as a whole does not either.

Cost: a change, of however many rows, reads and writes one more; `verify` grows with the number of rows (some microseconds each).
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from e4c2.model import GRANTING, ledger, ledger_change, metadata
from e4c2.roll import PART_LEN, State, is_present, part, roll_of
from e4core.errors import Tampered
from e4kms.deks import Purpose
from e4kms.keyring import Keyring
from e4kms.records import HEADER_LEN, VERSION_LEN, Cell

_LEN = 32
_OTHERS = tuple(purpose for purpose in Purpose if purpose is not Purpose.RECORDS)
_MODULUS = 1 << 8 * _LEN
_NUMBER_LEN = 8
_ID = 1
_CELL = Cell(ledger.name, "sum", _ID.to_bytes(8, "little"))
_THE_ROW = ledger.c.id == _ID
_SELECT, _UPDATE = sa.select(ledger.c.sum).where(_THE_ROW), sa.update(ledger).where(_THE_ROW)
_NEVER = State(-1, 0)
_OLDER = "the database was put back to an older state behind the C2's back; restore it from a backup"
_CHANGED = (
    "rows that grant something were removed, added or put back to an older state behind the C2's back;"
    " restore the database from a backup"
)


@dataclass(frozen=True, slots=True)
class _Held:
    """What is sealed: key (32 B) | number of changes (8 B) | newest version of each other DEK (4 B) | sum (32 B), little-endian."""

    key: bytes
    state: State

    def sealed(self, keyring: Keyring) -> bytes:
        number, total = self.state
        parts = (
            self.key,
            number.to_bytes(_NUMBER_LEN, "little"),
            *map(keyring.newest, _OTHERS),
            total.to_bytes(_LEN, "little"),
        )
        return keyring.seal(_CELL, b"".join(parts))


@dataclass(frozen=True, slots=True)
class _Change:
    """What other processes are told of one change: sum (32 B) | number of MACs added (8 B) | their parts, then of those removed."""

    total: int
    added: list[bytes]
    removed: list[bytes]

    def sealed(self, keyring: Keyring, number: int) -> bytes:
        head = self.total.to_bytes(_LEN, "little") + len(self.added).to_bytes(_NUMBER_LEN, "little")
        return keyring.seal(_change_cell(number), b"".join((head, *self.added, *self.removed)))

    @classmethod
    def opened(cls, keyring: Keyring, number: int, sealed: bytes) -> _Change:
        """Raises: Tampered."""
        content = bytes(keyring.open(_change_cell(number), sealed))
        added = int.from_bytes(content[_LEN : _LEN + _NUMBER_LEN], "little")
        parts = [content[at : at + PART_LEN] for at in range(_LEN + _NUMBER_LEN, len(content), PART_LEN)]
        return cls(int.from_bytes(content[:_LEN], "little"), parts[:added], parts[added:])


def _change_cell(number: int) -> Cell:
    return Cell(ledger_change.name, "change", number.to_bytes(8, "little"))


def begin(db: sa.Connection, keyring: Keyring) -> None:
    """The sum of an empty database, made with it."""
    held = _Held(os.urandom(_LEN), State(0, 0))
    db.execute(sa.insert(ledger).values(id=_ID, sum=held.sealed(keyring)))
    roll_of(db).fill(held.state, set())


def shift(
    db: sa.Connection, keyring: Keyring, *, added: Collection[bytes] = (), removed: Collection[bytes] = ()
) -> None:
    """Take rows into the sum, and out of it, by their MACs. Raises: Tampered: it is not as it was left."""
    if not added and not removed:
        return
    follow(db, keyring)
    held, roll = _held(db, keyring), roll_of(db)
    number, total = held.state
    total += _sum(held.key, added) - _sum(held.key, removed)
    if held.state != roll.state:
        _add_up(db, held, total)  # the rows are changed already
    state = _keep(db, keyring, held.key, number + 1, total)
    if roll.is_shared:
        _tell(db, keyring, state, added, removed)
    roll.shift(state, added, removed)


def follow(db: sa.Connection, keyring: Keyring) -> None:
    """In the turn of this process: learn what others have changed. Raises: Tampered."""
    roll = roll_of(db)
    if roll.is_current or not is_present(db) or roll.state is None:
        return
    roll.is_current = True
    held = _held(db, keyring)
    if held.state == roll.state:
        return
    table = ledger_change.c
    changes = db.execute(sa.select(ledger_change).where(table.number > roll.state.number).order_by(table.number)).all()
    if [row.number for row in changes] != list(range(roll.state.number + 1, held.state.number + 1)):
        _add_up(db, held, held.state.total)  # they were long ago, and are not kept for ever
        return
    told = [_Change.opened(keyring, row.number, row.change) for row in changes]
    if not told or told[-1].total != held.state.total:
        raise Tampered(_CHANGED)
    for number, change in enumerate(told, roll.state.number + 1):
        roll.learn(State(number, change.total), change.added, change.removed)


def prune(db: sa.Connection, before: float) -> None:
    """Forget changes from before ``before`` (Unix seconds): who was away for longer adds up all rows."""
    db.execute(sa.delete(ledger_change).where(ledger_change.c.created < before))


def renew(db: sa.Connection, keyring: Keyring, activate: Callable[[], object]) -> None:
    """Draw a new key for the sum, once ``activate`` has given the keyring a new DEK to seal it under. Raises: Tampered."""
    verify(db, keyring)
    number = _held(db, keyring).state.number
    activate()
    key = os.urandom(_LEN)
    db.execute(sa.delete(ledger_change))  # under former keys; other processes add up all rows
    roll_of(db).shift(_keep(db, keyring, key, number + 1, _sum(key, _macs(db))), (), ())


def restate(db: sa.Connection, keyring: Keyring, activate: Callable[[], object]) -> None:
    """Tell other processes of a DEK that ``activate`` gives the keyring to use. Raises: Tampered."""
    held = _held(db, keyring)
    activate()
    db.execute(_UPDATE, {"sum": held.sealed(keyring)})


def verify(db: sa.Connection, keyring: Keyring) -> None:
    """Add up all granting tables. Raises: Tampered: rows are missing, were added, or are not in their newest generation."""
    held = _held(db, keyring)
    if db.scalar(sa.select(sa.func.count()).select_from(ledger)) != 1:
        raise Tampered("the table ledger has a row too many; restore the database from a backup")
    _add_up(db, held, held.state.total)


def require_newest(db: sa.Connection, keyring: Keyring) -> None:
    """In the turn of this process. Raises: Tampered: the ledger was put back, or changed by nobody of right."""
    roll = roll_of(db)
    follow(db, keyring)
    held = _held(db, keyring)
    if held.state != roll.state:
        _add_up(db, held, held.state.total)


def require_valid(db: sa.Connection, keyring: Keyring, macs: Collection[bytes]) -> None:
    """Raises: Tampered: one of these is not the MAC of a row that is valid now, or this connection cannot tell."""
    roll = roll_of(db)
    follow(db, keyring)
    if roll.holds(macs):
        return
    # an alarm stands until all is right again: else whoever puts back rows could have everything added up at each request
    if is_present(db) and roll.failure is None:
        verify(db, keyring)
    if roll.failure or not roll.holds(macs):
        raise Tampered(roll.failure or _CHANGED)


def require(db: sa.Connection, keyring: Keyring) -> None:
    """Raises: Tampered: there is no sum to change, so nothing that grants something can be changed."""
    _held(db, keyring)


def _add_up(db: sa.Connection, held: _Held, expected: int) -> None:
    """Raises: Tampered: the rows do not come to ``expected``, or the ledger is older than this process knows it."""
    roll, parts = roll_of(db), set[bytes]()
    known = roll.state or _NEVER
    if is_present(db) and held.state != known and held.state.number <= known.number:
        raise Tampered(_OLDER)
    fits = hmac.compare_digest(_bytes(_sum(held.key, _noted(_macs(db), parts))), _bytes(expected))
    if is_present(db) and fits:
        roll.fill(held.state, parts)
    if not fits:
        roll.failure = _CHANGED
        raise Tampered(_CHANGED)


def _held(db: sa.Connection, keyring: Keyring) -> _Held:
    held = db.scalar(_SELECT)
    if held is None:
        raise Tampered("the ledger is gone from the database; restore it from a backup")
    if not isinstance(held, bytes):
        raise Tampered("the ledger holds what is never written there; restore the database from a backup")
    _follow_keys(keyring, Purpose.RECORDS, held[:HEADER_LEN])
    content = keyring.open(_CELL, held)
    number, total = content[_LEN : _LEN + _NUMBER_LEN], content[-_LEN:]
    for at, purpose in enumerate(_OTHERS):
        start = _LEN + _NUMBER_LEN + at * VERSION_LEN
        _follow_keys(keyring, purpose, bytes(content[start : start + VERSION_LEN]))
    return _Held(bytes(content[:_LEN]), State(int.from_bytes(number, "little"), int.from_bytes(total, "little")))


def _follow_keys(keyring: Keyring, purpose: Purpose, newest: bytes) -> None:
    """Another process may have taken newer keys into use. Raises: Tampered: older ones. KmsUnavailable: they are not held yet."""
    if newest != keyring.newest(purpose):
        keyring.follow(purpose, newest)
    if newest != keyring.newest(purpose):
        raise Tampered("the ledger is not under the newest keys; restore the database from a backup")


def _keep(db: sa.Connection, keyring: Keyring, key: bytes, number: int, total: int) -> State:
    state = State(number, total % _MODULUS)
    db.execute(_UPDATE, {"sum": _Held(key, state).sealed(keyring)})
    return state


def _tell(
    db: sa.Connection, keyring: Keyring, state: State, added: Collection[bytes], removed: Collection[bytes]
) -> None:
    change = _Change(state.total, [*map(part, added)], [*map(part, removed)])
    sealed = change.sealed(keyring, state.number)
    db.execute(sa.insert(ledger_change).values(number=state.number, change=sealed, created=time.time()))


def _macs(db: sa.Connection) -> Iterator[bytes]:
    for name in GRANTING:
        for mac in db.scalars(sa.select(metadata.tables[name].c.mac)):
            if not isinstance(mac, bytes):
                raise Tampered(f"a MAC in {name} is not one; restore the database from a backup")
            yield mac


def _noted(macs: Iterable[bytes], parts: set[bytes]) -> Iterator[bytes]:
    """The same, as they go by."""
    for mac in macs:
        parts.add(part(mac))
        yield mac


def _sum(key: bytes, macs: Iterable[bytes]) -> int:
    keyed = HMAC(key, SHA256())
    return sum(int.from_bytes(_term(keyed, mac), "little") for mac in macs)


def _term(keyed: HMAC, mac: bytes) -> bytes:
    state = keyed.copy()  # less than half of what keying anew costs
    state.update(mac)
    return state.finalize()


def _bytes(total: int) -> bytes:
    return (total % _MODULUS).to_bytes(_LEN, "little")
