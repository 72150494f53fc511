# SPDX-License-Identifier: Apache-2.0
"""What a request was found to need, so that it can be asked of another principal too."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from e4c2.access import grants as granting
from e4c2.access.grants import Grant, Permission
from e4c2.access.principal import Access, Principal


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request was found to need: a permission over these names, or over all, and these grants."""

    permission: Permission
    whole: bool
    clients: tuple[str, ...]
    topics: tuple[str, ...]
    grants: tuple[Grant, ...]

    def require(self, principal: Principal) -> None:
        """Raises: Denied: this principal may not do the same."""
        access = Access(principal, self.permission)
        if self.whole:
            access.require_whole()
        access.require(self.clients, self.topics)
        access.require_all_of(self.grants)

    def dump(self) -> dict[str, Any]:
        return {**asdict(self), "grants": granting.dump(self.grants).decode()}

    @classmethod
    def load(cls, stored: dict[str, Any]) -> Needs:
        """From what `dump` made; its row is verified, so nothing is checked here."""
        clients, topics = tuple(stored["clients"]), tuple(stored["topics"])
        return cls(Permission(stored["permission"]), stored["whole"], clients, topics, granting.load(stored["grants"]))


class Noting(Access):
    """An access that notes what it was asked for and has let through."""

    def __init__(self, principal: Principal, permission: Permission) -> None:
        super().__init__(principal, permission)
        self._whole = False
        self._over: tuple[dict[str, None], dict[str, None]] = ({}, {})
        self._given: tuple[Grant, ...] = ()

    @property
    def needs(self) -> Needs:
        clients, topics = map(tuple, map(sorted, self._over))
        return Needs(self.permission, self._whole, clients, topics, self._given)

    def require(self, clients: Collection[str] = (), topics: Iterable[str] = ()) -> None:
        names = list(topics)
        super().require(clients, names)
        self._over[0].update(dict.fromkeys(clients))
        self._over[1].update(dict.fromkeys(names))

    def require_whole(self) -> None:
        super().require_whole()
        self._whole = True

    def require_all_of(self, grants: Iterable[Grant]) -> None:
        given = tuple(grants)
        super().require_all_of(given)
        self._given += given
