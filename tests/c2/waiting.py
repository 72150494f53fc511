# SPDX-License-Identifier: Apache-2.0
"""What waits for another's approval."""

from __future__ import annotations

from e4c2 import approvals
from e4c2.access.grants import WHOLE, Permission
from e4c2.access.needs import Needs
from e4c2.access.principal import Principal, PrincipalKind
from e4c2.approvals import Asked
from e4c2.audit.records import Act
from tests.c2.world import World

SECOND = Principal(PrincipalKind.TOKEN, "2", "second", WHOLE)


def ask(world: World) -> str:
    """Id of an approval that a principal waits for."""
    needs = Needs(Permission.AUDIT_PRUNE, True, (), (), ())
    asked = Asked("prune", bytes(32), "POST", "/", "", "")
    identity: str = world.do(
        approvals.ask, Principal(PrincipalKind.TOKEN, "1", "first", ()), asked, needs, Act("prune")
    )
    return identity


def decided(world: World) -> str:
    """Id of an approval that `SECOND` has given."""
    identity = ask(world)
    world.do(approvals.approve, (identity, SECOND))
    return identity
