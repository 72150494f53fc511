# SPDX-License-Identifier: Apache-2.0
"""Tokens by their ids: what is shown of one, and whether who brought it may still act."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2.commands import parse_id
from e4c2.model import token
from e4c2.rows import Realm, find
from e4c2.tokens import Token
from e4core.errors import Denied, NotFound


def show(db: sa.Connection, realm: Realm, identity: str) -> Token:
    """Raises: NotFound."""
    row = find(db, realm, token, token.c.id == parse_id(identity))
    if row is None:
        raise NotFound(f"there is no token {identity}")
    return Token(row["id"].hex(), row["name"], row["created"], row["expires"])


def require(db: sa.Connection, realm: Realm, identity: str) -> None:
    """Raises: Denied: a token that was valid a while ago was revoked, or has expired."""
    try:
        expires = show(db, realm, identity).expires
    except NotFound:
        expires = 0
    if expires is not None and expires <= realm.clock():
        raise Denied("this token is valid no more", kind="unauthenticated")
