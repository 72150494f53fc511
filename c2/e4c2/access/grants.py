# SPDX-License-Identifier: Apache-2.0
"""Permissions, the roles that have them, and grants: a role over some clients and some topics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from e4c2.access.patterns import ANY, Patterns


class Role(StrEnum):
    """What somebody is to the fleet."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    KEY_ADMIN = "key-admin"
    AUDITOR = "auditor"
    ENROLLER = "enroller"
    PROTECTOR = "protector"
    """A program that writes to topics through the C2."""
    UNPROTECTOR = "unprotector"
    """A program that reads topics through the C2."""
    NEWCOMER = "newcomer"
    """A device with an enrolment token."""
    ADMIN = "admin"


class Permission(StrEnum):
    """What may be done. Each route needs one."""

    SELF_READ = "self:read"
    SELF_ENROL = "self:enrol"
    C2_READ = "c2:read"
    C2_REKEY = "c2:rekey"
    CLIENTS_READ = "clients:read"
    CLIENTS_ENROL = "clients:enrol"
    CLIENTS_REKEY = "clients:rekey"
    CLIENTS_RESET = "clients:reset"
    CLIENTS_REMOVE = "clients:remove"
    LINKS_CHANGE = "links:change"
    TOPICS_READ = "topics:read"
    TOPICS_CREATE = "topics:create"
    TOPICS_ROTATE = "topics:rotate"
    TOPICS_REMOVE = "topics:remove"
    TOPICS_PROTECT = "topics:protect"
    TOPICS_UNPROTECT = "topics:unprotect"
    MEMBERS_JOIN = "members:join"
    MEMBERS_EVICT = "members:evict"
    COMMANDS_READ = "commands:read"
    COMMANDS_RETRY = "commands:retry"
    EVENTS_READ = "events:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_CHANGE = "webhooks:change"
    KMS_READ = "kms:read"
    KMS_CHANGE = "kms:change"
    RECOVERY_CONFIRM = "recovery:confirm"
    AUDIT_READ = "audit:read"
    AUDIT_PRUNE = "audit:prune"
    METRICS_READ = "metrics:read"
    APPROVALS_READ = "approvals:read"
    APPROVALS_DECIDE = "approvals:decide"
    TOKENS_READ = "tokens:read"
    TOKENS_ISSUE = "tokens:issue"
    TOKENS_REVOKE = "tokens:revoke"


_EVERYBODY = (Role.VIEWER, Role.OPERATOR, Role.KEY_ADMIN, Role.AUDITOR, Role.ENROLLER)
_OF_TRAFFIC = (Role.PROTECTOR, Role.UNPROTECTOR)
_NOBODY: tuple[Role, ...] = ()

ROLES: dict[Permission, tuple[Role, ...]] = {
    Permission.SELF_READ: (*_EVERYBODY, *_OF_TRAFFIC),
    Permission.SELF_ENROL: (Role.NEWCOMER,),
    Permission.C2_READ: _EVERYBODY,
    Permission.C2_REKEY: (Role.KEY_ADMIN,),
    Permission.CLIENTS_READ: _EVERYBODY,
    Permission.CLIENTS_ENROL: (Role.OPERATOR, Role.ENROLLER),
    Permission.CLIENTS_REKEY: (Role.OPERATOR, Role.KEY_ADMIN),
    Permission.CLIENTS_RESET: (Role.OPERATOR,),
    Permission.CLIENTS_REMOVE: (Role.OPERATOR,),
    Permission.LINKS_CHANGE: (Role.OPERATOR,),
    Permission.TOPICS_READ: (*_EVERYBODY, *_OF_TRAFFIC),
    Permission.TOPICS_CREATE: (Role.OPERATOR,),
    Permission.TOPICS_ROTATE: (Role.OPERATOR, Role.KEY_ADMIN),
    Permission.TOPICS_REMOVE: (Role.OPERATOR,),
    Permission.TOPICS_PROTECT: (
        Role.PROTECTOR,
    ),  # of no other role: who looks after keys need not read or write messages
    Permission.TOPICS_UNPROTECT: (Role.UNPROTECTOR,),
    Permission.MEMBERS_JOIN: (Role.OPERATOR, Role.ENROLLER),
    Permission.MEMBERS_EVICT: (Role.OPERATOR,),
    Permission.COMMANDS_READ: _EVERYBODY,
    Permission.COMMANDS_RETRY: (Role.OPERATOR,),
    Permission.EVENTS_READ: _EVERYBODY,
    Permission.WEBHOOKS_READ: (Role.KEY_ADMIN, Role.AUDITOR),
    Permission.WEBHOOKS_CHANGE: _NOBODY,  # the C2 posts to where it says, and tells more than most roles may see
    Permission.KMS_READ: (Role.KEY_ADMIN, Role.AUDITOR),
    Permission.KMS_CHANGE: (Role.KEY_ADMIN,),
    Permission.RECOVERY_CONFIRM: (Role.KEY_ADMIN,),
    Permission.AUDIT_READ: (Role.AUDITOR,),
    Permission.AUDIT_PRUNE: _NOBODY,
    Permission.METRICS_READ: (Role.VIEWER, Role.OPERATOR, Role.KEY_ADMIN, Role.AUDITOR),
    Permission.APPROVALS_READ: (*_EVERYBODY, *_OF_TRAFFIC),
    Permission.APPROVALS_DECIDE: (
        Role.OPERATOR,
        Role.KEY_ADMIN,
        Role.UNPROTECTOR,
    ),  # and the permission for what is asked
    Permission.TOKENS_READ: (Role.AUDITOR,),
    Permission.TOKENS_ISSUE: _NOBODY,
    Permission.TOKENS_REVOKE: _NOBODY,
}
"""Permission -> roles that have it; an admin has all."""


def permissions(role: Role) -> frozenset[Permission]:
    return frozenset(each for each, roles in ROLES.items() if role is Role.ADMIN or role in roles)


_PERMISSIONS = {role: permissions(role) for role in Role}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role over the clients and the topics that some patterns reach (see `Patterns`)."""

    role: Role
    clients: tuple[str, ...]
    topics: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it is over all clients and all topics, as what touches the whole fleet needs."""
        return ANY in self.clients and ANY in self.topics

    def has(self, permission: Permission) -> bool:
        return permission in _PERMISSIONS[self.role]

    def reaches(self, other: Grant) -> bool:
        """Whether it is over all that the other is over."""
        return Patterns(self.clients).cover(other.clients) and Patterns(self.topics).cover(other.topics)

    def covers(self, other: Grant) -> bool:
        """Whether whoever has this may do all that the other lets do."""
        return _PERMISSIONS[self.role] >= _PERMISSIONS[other.role] and self.reaches(other)


WHOLE = (Grant(Role.ADMIN, (ANY,), (ANY,)),)
"""Every permission over everything."""


def dump(grants: Iterable[Grant]) -> bytes:
    """As they are stored: what `load` reads, always the same for the same grants."""
    return json.dumps([[grant.role, grant.clients, grant.topics] for grant in grants], separators=(",", ":")).encode()


def load(stored: bytes) -> tuple[Grant, ...]:
    """From what `dump` made; its row is verified, so nothing is checked here."""
    return tuple(Grant(Role(role), tuple(clients), tuple(topics)) for role, clients, topics in json.loads(stored))
