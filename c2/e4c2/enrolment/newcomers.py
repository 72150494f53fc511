# SPDX-License-Identifier: Apache-2.0
"""Devices that enrol themselves: one transaction, from an enrolment token and a proof to a client and its memberships.

A device that did not hear the answer asks again with the same key, and is told the same: whoever proves to hold the key of the
client is that client, whether the token was used up or expired since. Who holds another key is never told whether there is one.
"""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import c2keys, clients, topics
from e4c2.access.patterns import Patterns
from e4c2.clients import Client
from e4c2.enrolment import tokens
from e4c2.model import Status, client, enrolment, topic
from e4c2.rows import Realm, Row, find_by, find_ids, reveal, update
from e4core import enrolment as proofs
from e4core.enrolment import Request
from e4core.errors import Denied


def enrol(db: sa.Connection, realm: Realm, request: Request, proof: bytes) -> Client:
    """Register a device that holds an enrolment token, and let it join what that is for.

    Raises: InvalidInput. AuthenticationFailed: the proof. Denied: the token is not valid any more (``unauthenticated``), or for
    other names (``forbidden``). Conflict: the name is taken, or no device is given that version of the C2's key any more.
    """
    row = tokens.require(db, realm, request.enrolment.hex())
    _check(db, realm, request, proof)
    fits = Patterns((row["clients"],)).match(request.name)
    known = find_by(db, realm, client, client.c.name, request.name)
    if known is not None and fits and _is_same(realm, known, request):
        return clients.view(known)
    if row["uses"] < 1 or row["expires"] <= realm.clock():
        raise Denied(tokens.NOT_VALID, kind="unauthenticated")
    if not fits:
        raise Denied(f"this enrolment token is for names as {row['clients']!r}; take one of those", kind="forbidden")
    made = clients.create(db, realm, request.name, request.key, request.c2_key)
    update(db, realm, enrolment, row, uses=row["uses"] - 1)
    for each in find_ids(db, realm, topic, topic.c.id, tokens.topic_ids(row)):
        topics.join(db, realm, each["name"], [request.name])
    return made


def _check(db: sa.Connection, realm: Realm, request: Request, proof: bytes) -> None:
    clients.check(realm, request.name, request.key)
    c2keys.check_version(db, realm, request.c2_key)
    private = c2keys.versions(db, realm).private(request.c2_key)
    proofs.check(realm.suite, realm.suite.control.at_c2(private, request.key), request, proof)


def _is_same(realm: Realm, known: Row, request: Request) -> bool:
    is_active = known["id"] == realm.suite.derive_id(request.name) and known["status"] == Status.ACTIVE
    return bool(is_active and reveal(realm, client, known, "key") == request.key)
