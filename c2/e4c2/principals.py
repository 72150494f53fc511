# SPDX-License-Identifier: Apache-2.0
"""From what somebody shows to who they are; looked at again in the transaction of all that they have done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from e4c2 import identities, tokens
from e4c2.access.grants import Grant, Role
from e4c2.access.marks import Shown
from e4c2.access.principal import Principal, PrincipalKind
from e4c2.enrolment import tokens as enrolments
from e4c2.enrolment.tokens import Enrolment
from e4c2.rows import Realm
from e4c2.tokens import Token


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows."""

    bearer: str = field(repr=False)
    """The text of a token of this C2; empty: none."""
    shown: Shown | None = None
    """Whom an issuer or a CA has vouched for; then there is no token."""


def authenticate(db: sa.Connection, realm: Realm, shown: Credentials) -> Principal:
    """Raises: Denied (``unauthenticated``): nobody who is known."""
    if shown.shown:
        return identities.authenticate(db, realm, shown.shown)
    if shown.bearer.startswith(enrolments.PREFIX):
        return _of_enrolment(enrolments.authenticate(db, realm, shown.bearer))
    return _of_token(tokens.authenticate(db, realm, shown.bearer))


def again(db: sa.Connection, realm: Realm, principal: Principal) -> Principal:
    """Somebody who was known a while ago, with the grants of now. Raises: Denied (``unauthenticated``): known no more."""
    return _AGAIN[principal.kind](db, realm, principal)


def _token_again(db: sa.Connection, realm: Realm, principal: Principal) -> Principal:
    return _of_token(tokens.again(db, realm, principal.id))


def _of_token(token: Token) -> Principal:
    return Principal(PrincipalKind.TOKEN, token.id, token.name, token.grants)


def _enrolment_again(db: sa.Connection, realm: Realm, principal: Principal) -> Principal:
    return _of_enrolment(enrolments.again(db, realm, principal.id))


def _of_enrolment(shown: Enrolment) -> Principal:
    grants = (Grant(Role.NEWCOMER, (shown.clients,), ()),)
    return Principal(PrincipalKind.ENROLMENT, shown.id, shown.name, grants)


def _identity_again(db: sa.Connection, realm: Realm, principal: Principal) -> Principal:
    assert principal.shown
    return identities.authenticate(db, realm, principal.shown)


_AGAIN: Mapping[PrincipalKind, Callable[[sa.Connection, Realm, Principal], Principal]] = {
    PrincipalKind.TOKEN: _token_again,
    PrincipalKind.ENROLMENT: _enrolment_again,
    PrincipalKind.OIDC: _identity_again,
    PrincipalKind.CERTIFICATE: _identity_again,
}
