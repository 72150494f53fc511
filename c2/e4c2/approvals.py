# SPDX-License-Identifier: Apache-2.0
"""Four eyes: what somebody asks for is done when another, who may do the same, has approved that very request.

An approval is bound to who asked and to the digest of the exact request, lasts an hour, and is used up in the transaction of the
act. Whoever decides has to be another principal, with the same permission over all that the request was found to touch; both are
looked at again when it is used. Its row carries a MAC as any that grants something.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from e4c2 import events, principals
from e4c2.access.grants import Permission
from e4c2.access.marks import FoundBy, Mark, PrincipalKind, Shown
from e4c2.access.needs import Needs
from e4c2.access.principal import Access, Principal
from e4c2.audit import chain
from e4c2.audit.records import Act
from e4c2.commands import parse_id
from e4c2.model import approval
from e4c2.rows import Realm, Row, checked, delete, find_all, find_by, insert, update
from e4core.errors import ApprovalNeeded, Conflict, Denied, NotFound

LASTS_S = 3600.0
"""From the request on, in seconds."""
KEPT_S = 24 * 3600.0
"""After its end it is still shown for so long, in seconds."""
WAITING_MAX = 20
"""Of one principal at a time."""
NOT_APPROVED, OWN_REQUEST = "not_approved", "own_request"


class State(StrEnum):
    """What has become of it; `EXPIRED` is never stored."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as somebody is to judge it: method, path, query and body (JSON; of such routes it holds no secret)."""

    action: str
    digest: bytes
    method: str
    path: str
    query: str
    body: str


@dataclass(frozen=True, slots=True)
class Approval:
    """What may be shown of one. ``clients`` and ``topics``: names that it touches; principals are as ``KIND/ID``."""

    id: str
    state: State
    action: str
    method: str
    path: str
    query: str
    body: str
    digest: str
    permission: Permission
    whole_fleet: bool
    clients: tuple[str, ...]
    topics: tuple[str, ...]
    requested_by: str
    requested_by_name: str
    decided_by: str | None
    decided_by_name: str | None
    created: float
    expires: float


def ask(db: sa.Connection, realm: Realm, principal: Principal, asked: Asked, needs: Needs, attempt: Act) -> str:
    """Id of the approval that this request needs: a new one, or the one that waits or was given for the same.

    Raises: Conflict: too many of this principal wait.
    """
    prune(db, realm)
    live = approval.c.state.in_([State.WAITING, State.APPROVED])
    by_them = (approval.c.requester == str(principal), approval.c.expires > realm.clock(), live)
    mine = find_all(db, realm, approval, *by_them)
    for row in mine:
        if row["digest"] == asked.digest and _needs(row) == needs:
            return str(row["id"].hex())
    if len(mine) >= WAITING_MAX:
        raise Conflict(f"{WAITING_MAX} requests of yours wait for approval; have some of them decided first")
    about = {
        "name": principal.name,
        "marks": _marks(principal),
        "needs": needs.dump(),
        "request": [asked.action, asked.method, asked.path, asked.query, asked.body],
    }
    now = realm.clock()
    row = insert(
        db,
        realm,
        approval,
        id=os.urandom(16),
        requester=str(principal),
        digest=asked.digest,
        about=_dump(about),
        state=State.WAITING.value,
        decider=None,
        expires=now + LASTS_S,
        created=now,
    )
    identity = str(row["id"].hex())
    chain.append(db, realm, attempt.of(f"approval:{identity}"), ApprovalNeeded.kind)
    told = {"action": asked.action, "requested_by": str(principal), "name": principal.name}
    events.tell(db, realm, events.Kind.APPROVAL_ASKED, approval=identity, **told)
    return identity


def use(db: sa.Connection, realm: Realm, principal: Principal, identity: str, digest: bytes, needs: Needs) -> None:
    """Use an approval up, for this request of this principal, in the transaction of the act.

    Raises: ApprovalNeeded: it waits. Denied (`NOT_APPROVED`): it is not for this, or no more.
    """
    row = find_by(db, realm, approval, approval.c.id, parse_id(identity))
    if row is None or row["requester"] != str(principal):
        raise _not_approved("you have asked for no such approval; leave it out to ask for one")
    if row["digest"] != digest:
        raise _not_approved("this approval is for another request; send the very same one, or ask anew without it")
    state = _state(realm, row)
    if state is State.WAITING:
        raise ApprovalNeeded(approval=identity)
    if state is not State.APPROVED:
        raise _not_approved(f"this approval is {state}; leave it out to ask for another one")
    if _needs(row) != needs:
        raise _not_approved("what this request touches has changed since it was approved; ask anew without it")
    try:
        needs.require(principals.again(db, realm, _decider(row)))
    except Denied as error:
        raise _not_approved("who approved this may not do it any more; ask anew without it") from error
    update(db, realm, approval, row, state=State.USED.value)
    events.tell(db, realm, events.Kind.APPROVAL_USED, approval=row["id"].hex())


def approve(db: sa.Connection, realm: Realm, by: tuple[str, Principal]) -> Approval:
    """Raises: NotFound. Denied (`OWN_REQUEST`): who asked. Conflict: it is decided, or has expired."""
    return _decide(db, realm, by, State.APPROVED)


def refuse(db: sa.Connection, realm: Realm, by: tuple[str, Principal]) -> Approval:
    """Raises: as `approve`."""
    return _decide(db, realm, by, State.REFUSED)


def show(db: sa.Connection, realm: Realm, by: tuple[str, Principal]) -> Approval:
    """Raises: NotFound: it is not there, or neither theirs nor theirs to decide."""
    return _view(realm, _seen(db, realm, *by))


def page(db: sa.Connection, realm: Realm, access: Access, after: str = "", limit: int = 100) -> list[Approval]:
    """By id, those after ``after`` (hexadecimal) that this principal has asked for or may decide."""
    found: list[Approval] = []
    last = parse_id(after) if after else b""
    while len(found) < limit:
        start = sa.select(approval).where(approval.c.id > last).order_by(approval.c.id).limit(limit)
        rows = checked(db, realm, approval, start)  # as somebody may decide by what they see here
        seen = [_view(realm, row) for row in rows if _may_see(row, access.principal)]
        found += seen[: limit - len(found)]
        if len(rows) < limit:
            break
        last = rows[-1]["id"]
    return found


def prune(db: sa.Connection, realm: Realm) -> None:
    """Take off the record those that ended a day ago."""
    delete(db, realm, approval, *find_all(db, realm, approval, approval.c.expires < realm.clock() - KEPT_S))


def revoke_all(db: sa.Connection, realm: Realm) -> None:
    """Nothing that was approved is so any more: of a backup, it may have been used since."""
    delete(db, realm, approval, *find_all(db, realm, approval))


def _decide(db: sa.Connection, realm: Realm, by: tuple[str, Principal], state: State) -> Approval:
    row, who = _seen(db, realm, *by), by[1]
    if _is_by(row, who):
        raise Denied("you have asked for this yourself; another one has to decide", kind=OWN_REQUEST)
    if (now := _state(realm, row)) is not State.WAITING:
        raise Conflict(f"this approval is {now} already")
    decider = {"kind": who.kind, "id": who.id, "name": who.name, "shown": asdict(who.shown) if who.shown else None}
    told = {"state": state.value, "decided_by": str(who), "name": who.name}
    events.tell(db, realm, events.Kind.APPROVAL_DECIDED, approval=row["id"].hex(), **told)
    return _view(realm, update(db, realm, approval, row, state=state.value, decider=_dump(decider)))


def _is_by(row: Row, who: Principal) -> bool:
    """Whether ``who`` has asked for it, also with another token: one of the same name, or a certificate with a name of theirs."""
    about = json.loads(row["about"])
    is_same = row["requester"] == str(who) or about["name"] == who.name
    return is_same or not set(about["marks"]).isdisjoint(_marks(who))


def _marks(who: Principal) -> list[str]:
    """What they are known by alone, hexadecimal."""
    marks = who.shown.marks if who.shown else ()
    return [mark.lookup.hex() for mark in marks if mark.found_by is not FoundBy.GROUP]


def _seen(db: sa.Connection, realm: Realm, identity: str, principal: Principal) -> Row:
    row = find_by(db, realm, approval, approval.c.id, parse_id(identity))
    if row is None or not _may_see(row, principal):
        raise NotFound(f"there is no approval {identity}")
    return row


def _may_see(row: Row, principal: Principal) -> bool:
    if row["requester"] == str(principal):
        return True
    try:
        _needs(row).require(principal)
    except Denied:
        return False
    return True


def _state(realm: Realm, row: Row) -> State:
    state = State(row["state"])
    is_over = state in (State.WAITING, State.APPROVED) and row["expires"] <= realm.clock()
    return State.EXPIRED if is_over else state


def _needs(row: Row) -> Needs:
    return Needs.load(json.loads(row["about"])["needs"])


def _decider(row: Row) -> Principal:
    """Who has decided, without grants: of these only the ones of now count."""
    stored = json.loads(row["decider"])
    return Principal(PrincipalKind(stored["kind"]), stored["id"], stored["name"], (), _shown(row, stored["shown"]))


def _shown(row: Row, stored: dict[str, Any] | None) -> Shown | None:
    """What an issuer or a CA has vouched for, which is taken until the approval ends: its tokens often live for minutes."""
    if stored is None:
        return None
    marks = tuple(Mark(FoundBy(each["found_by"]), each["issuer"], each["value"]) for each in stored["marks"])
    return Shown(PrincipalKind(stored["kind"]), stored["id"], stored["name"], marks, row["expires"])


def _view(realm: Realm, row: Row) -> Approval:
    about, needs = json.loads(row["about"]), _needs(row)
    action, method, path, query, body = about["request"]
    by = _decider(row) if row["decider"] is not None else None
    return Approval(
        id=row["id"].hex(),
        state=_state(realm, row),
        action=action,
        method=method,
        path=path,
        query=query,
        body=body,
        digest=row["digest"].hex(),
        permission=needs.permission,
        whole_fleet=needs.whole,
        clients=needs.clients,
        topics=needs.topics,
        requested_by=row["requester"],
        requested_by_name=about["name"],
        decided_by=str(by) if by else None,
        decided_by_name=by.name if by else None,
        created=row["created"],
        expires=row["expires"],
    )


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _not_approved(text: str) -> Denied:
    return Denied(text, kind=NOT_APPROVED)
