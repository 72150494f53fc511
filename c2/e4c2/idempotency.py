# SPDX-License-Identifier: Apache-2.0
"""A request that is sent twice is done once (`design.md` section 5, rule 6).

The answer is stored in the very transaction of the change: a crash leaves both or none, and whoever sends the request again after
it gets the first answer or the first change. Answers may hold a new token's text, and are sealed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2.model import idempotency
from e4c2.rows import Realm, typed
from e4core.errors import Conflict, Denied, InvalidInput, Tampered
from e4kms.records import Cell, canonical

KEPT_S = 24 * 3600
KEY_MAX = 255


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks (a principal), under which key of their choice (1 to 255 visible ASCII characters), and for what."""

    caller: str
    key: str
    digest: bytes
    """SHA-256 over all that the answer depends on, 32 B: see `digest`."""

    def __post_init__(self) -> None:
        if not (1 <= len(self.key) <= KEY_MAX and all("!" <= c <= "~" for c in self.key)):
            raise InvalidInput(f"an Idempotency-Key is 1 to {KEY_MAX} visible ASCII characters")


@dataclass(frozen=True, slots=True)
class Answer:
    """HTTP status and body (JSON, or nothing)."""

    status: int
    body: bytes


def digest(method: str, path: str, query: bytes, body: bytes) -> bytes:
    """What tells one request from another: 32 B."""
    return hashlib.sha256(canonical(method.encode(), path.encode(), query, body)).digest()


def once(db: sa.Connection, realm: Realm, request: Request | None, may: bytes, act: Callable[[], Answer]) -> Answer:
    """The answer of ``act``, or of the same request within the last 24 h.

    Args: may: SHA-256 over all that the caller may do, 32 B; who may do something else by now is not given the answer of before.

    What fails is not kept: it changed nothing, and may succeed when repeated.
    Raises: Conflict (``idempotency_key_reused``): the key belongs to another request. Denied. Tampered; what ``act`` raises.
    """
    if request is None:
        return act()
    db.execute(sa.delete(idempotency).where(idempotency.c.created < realm.clock() - KEPT_S))
    asked = canonical(b"idempotency", request.caller.encode(), request.key.encode())
    known = sa.select(idempotency).where(idempotency.c.key.in_(realm.keyring.lookups(asked)))
    rows = db.execute(known).mappings().all()
    if len(rows) > 1:  # each is written only where no other is
        raise Tampered(
            "the answer to this request was put back behind the C2's back; restore the database from a backup"
        )
    for row in rows:
        return _stored(realm.keyring.open(_cell(row["key"]), typed(idempotency, row)["answer"]), request, may)
    answer = act()
    key = realm.keyring.lookup(asked)
    sealed = realm.keyring.seal(_cell(key), request.digest + may + answer.status.to_bytes(2, "little") + answer.body)
    db.execute(sa.insert(idempotency).values(key=key, answer=sealed, created=realm.clock()))
    return answer


def _cell(key: bytes) -> Cell:
    return Cell(idempotency.name, "answer", key)


def _stored(record: bytes, request: Request, may: bytes) -> Answer:
    """From request digest (32 B) | ``may`` (32 B) | status (2 B) | body: sealed together, so that none of them can be exchanged."""
    if not hmac.compare_digest(record[:32], request.digest):
        raise Conflict(
            "this Idempotency-Key was used for another request; choose a new one", kind="idempotency_key_reused"
        )
    if not hmac.compare_digest(record[32:64], may):
        raise Denied(
            "this was done, but what you may do has changed since; ask how things are instead of repeating it",
            kind="forbidden",
        )
    return Answer(int.from_bytes(record[64:66], "little"), bytes(record[66:]))
