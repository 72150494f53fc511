# SPDX-License-Identifier: Apache-2.0
"""Who is another principal, where somebody is known by what an issuer or a CA says."""

from __future__ import annotations

from e4c2 import approvals, identities
from e4c2.access.grants import WHOLE, Permission
from e4c2.access.marks import FoundBy, Mark, PrincipalKind, Shown
from e4c2.access.needs import Needs
from e4c2.access.principal import Principal
from e4c2.approvals import OWN_REQUEST, Asked
from e4c2.audit.records import Act
from e4core.errors import Denied
from tests.c2.world import World

ISSUER = "https://login.example/"


def known(world: World, kind: PrincipalKind, identity: str, *marks: Mark) -> Principal:
    found: Principal = world.do(identities.authenticate, Shown(kind, identity, identity, marks, 4e9))
    return found


def asked_by(world: World, principal: Principal) -> str:
    needs = Needs(Permission.AUDIT_PRUNE, True, (), (), ())
    asked = Asked("audit_prune", bytes(32), "POST", "/v1/audit/prune", "", "")
    identity: str = world.do(approvals.ask, principal, asked, needs, Act("audit_prune"))
    return identity


def test_two_certificates_with_one_name_are_one_person(sk: World) -> None:
    ann = Mark(FoundBy.SAN, "", "email:ann@example")
    prints = [Mark(FoundBy.FINGERPRINT, "", digit * 64) for digit in "12"]
    for name, mark in zip(("Ann", "her old one", "her new one"), (ann, *prints), strict=True):
        sk.do(identities.create, name, mark, WHOLE)
    first, second = (known(sk, PrincipalKind.CERTIFICATE, "", each, ann) for each in prints)
    identity = asked_by(sk, first)
    with sk.refuses(Denied, kind=OWN_REQUEST):
        sk.do(approvals.approve, (identity, second))


def test_two_of_one_group_are_two_people_and_one_subject_is_one(sk: World) -> None:
    group = Mark(FoundBy.GROUP, ISSUER, "night")
    sk.do(identities.create, "night shift", group, WHOLE)
    ann, bob = (
        known(sk, PrincipalKind.OIDC, name, Mark(FoundBy.SUBJECT, ISSUER, name), group) for name in ("ann", "bob")
    )
    identity = asked_by(sk, ann)
    with sk.refuses(Denied, kind=OWN_REQUEST):
        sk.do(approvals.approve, (identity, ann))
    assert sk.do(approvals.approve, (identity, bob)).state == "approved"
