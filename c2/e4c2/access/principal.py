# SPDX-License-Identifier: Apache-2.0
"""Who asks, whatever they have shown for it; and what that lets them do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import chain

from e4c2.access.grants import Grant, Permission
from e4c2.access.marks import PrincipalKind, Shown
from e4c2.access.patterns import Patterns
from e4core.errors import Denied

__all__ = ["FORBIDDEN", "Access", "Principal", "PrincipalKind"]

FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who is known. ``id`` is unique among its kind and never given to another; ``name`` is for people."""

    kind: PrincipalKind
    id: str
    name: str
    grants: tuple[Grant, ...]
    shown: Shown | None = field(default=None, repr=False)
    """What they are known by again; None: by their id."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"

    def has(self, permission: Permission) -> bool:
        """Over whatever objects."""
        return any(grant.has(permission) for grant in self.grants)


class Access:
    """What one principal may do by one permission."""

    def __init__(self, principal: Principal, permission: Permission) -> None:
        """Raises: Denied: no grant has the permission, over whatever objects."""
        self.principal, self.permission = principal, permission
        self._grants = [grant for grant in principal.grants if grant.has(permission)]
        if not self._grants:
            raise Denied(f"this needs the permission {permission}, which your roles do not have", kind=FORBIDDEN)
        self.clients = _patterns(grant.clients for grant in principal.grants if grant.has(Permission.CLIENTS_READ))
        """Those that are seen; others are answered as if they were not there."""
        self.topics = _patterns(grant.topics for grant in principal.grants if grant.has(Permission.TOPICS_READ))
        """Those that are seen."""

    @property
    def sees_all(self) -> bool:
        """Whether every client and every topic is seen."""
        return self.clients.are_all and self.topics.are_all

    def require(self, clients: Collection[str] = (), topics: Iterable[str] = ()) -> None:
        """Raises: Denied: no grant with the permission is over these topics and one of these clients (names)."""
        names = list(topics)
        over = [Patterns(grant.clients) for grant in self._grants if all(map(Patterns(grant.topics).match, names))]
        if not over or not all(any(each.match(client) for each in over) for client in clients):
            raise Denied(f"this needs the permission {self.permission} over all that it names", kind=FORBIDDEN)

    def require_whole(self) -> None:
        """Raises: Denied: no grant with the permission is over all clients and all topics."""
        if not any(grant.is_whole for grant in self._grants):
            raise Denied(f"this needs the permission {self.permission} over all clients and topics", kind=FORBIDDEN)

    def reaches(self, grants: Iterable[Grant]) -> bool:
        """Whether each is over no more than a grant with the permission is."""
        return all(any(mine.reaches(grant) for mine in self._grants) for grant in grants)

    def require_all_of(self, grants: Iterable[Grant]) -> None:
        """Raises: Denied: one of ``grants`` lets do what this principal may not."""
        for grant in grants:
            if not any(mine.covers(grant) for mine in self._grants):
                raise Denied("nobody gives another what is not theirs: a grant is beyond your own", kind=FORBIDDEN)


def _patterns(texts: Iterable[tuple[str, ...]]) -> Patterns:
    return Patterns(tuple(dict.fromkeys(chain.from_iterable(texts))))
