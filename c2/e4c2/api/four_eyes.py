# SPDX-License-Identifier: Apache-2.0
"""Which requests need the approval of another principal where ``four_eyes`` is set: one table.

Such a request without an approval is refused as 403 `approval_needed`, with the approval's id as the member `approval` of the
problem (of gRPC: in the metadata of its `ErrorInfo`). No 202: that is an operation in many of these routes, and a client that knows
of no approvals would take the request for done; and a second form of success is nothing that an RPC can have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from fastapi import Request
from fastapi.routing import APIRoute

from e4c2 import approvals
from e4c2.access.grants import ROLES, Permission, Role
from e4c2.access.needs import Needs, Noting
from e4c2.approvals import Asked
from e4c2.rows import Realm
from e4core.errors import InvalidInput

HEADER = "e4-approval"


@dataclass(frozen=True, slots=True)
class Question:
    """``body``: parsed JSON that fits its route.  ``above``: so many clients at once need none."""

    query: Mapping[str, str]
    body: Any
    above: int


Rule = Callable[[Question], bool]

_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})


def _always(_asked: Question) -> bool:
    return True


def _in_earnest(asked: Question) -> bool:
    return asked.query.get("dry_run", "").lower() not in _TRUE


def _forced(asked: Question) -> bool:
    return bool(asked.body.get("force"))


def _compromised(asked: Question) -> bool:
    return bool(asked.body["reason"] != "routine")


def _many(asked: Question) -> bool:
    return len(asked.body["clients"]) > asked.above


def _powerful(asked: Question) -> bool:
    """Whether it makes somebody who could approve: else who is alone would make a second self."""
    return any(_APPROVING & {Role(each["role"])} for each in asked.body["grants"])


_DEK = "POST /v1/kms/deks/{purpose}/{version}"
RULES: Mapping[str, tuple[Permission, Rule]] = {
    "POST /v1/c2/key": (Permission.C2_REKEY, _always),
    "POST /v1/c2/key/abort": (Permission.C2_REKEY, _always),
    "POST /v1/c2/key/finish": (Permission.C2_REKEY, _forced),
    "POST /v1/clients/{client}/key": (Permission.CLIENTS_REKEY, _compromised),
    "POST /v1/clients/batch/remove": (Permission.CLIENTS_REMOVE, _many),
    "POST /v1/topics/{topic}/evict": (Permission.MEMBERS_EVICT, _many),
    "DELETE /v1/topics/{topic}": (Permission.TOPICS_REMOVE, _always),  # at once for all of its members
    "POST /v1/topics/{topic}/unprotect": (Permission.TOPICS_UNPROTECT, _always),
    f"{_DEK}/rotate": (Permission.KMS_CHANGE, _always),
    f"{_DEK}/retire": (Permission.KMS_CHANGE, _in_earnest),
    f"{_DEK}/wraps/remove": (Permission.KMS_CHANGE, _in_earnest),
    "POST /v1/recovery/confirm": (Permission.RECOVERY_CONFIRM, _always),
    "POST /v1/audit/prune": (Permission.AUDIT_PRUNE, _always),
    "POST /v1/tokens": (Permission.TOKENS_ISSUE, _powerful),
    "POST /v1/identities": (Permission.TOKENS_ISSUE, _powerful),
}
"""Route -> what it needs, and whether a request to it needs approval."""

_APPROVING = frozenset({Role.ADMIN, *(role for permission, _ in RULES.values() for role in ROLES[permission])})
"""Roles that may do, and so approve, some of it."""


class Wanted(Exception):
    """Ends a transaction in which nothing was done yet, as an approval has to be asked for."""

    def __init__(self, needs: Needs) -> None:
        super().__init__()
        self.needs = needs


@dataclass(frozen=True, slots=True)
class Guarded:
    """A request that needs an approval; ``approval``: the id of the one that it names."""

    asked: Asked
    approval: str | None

    def use(self, db: sa.Connection, realm: Realm, access: Noting) -> str:
        """Use its approval up; what the audit log calls it. Raises: Wanted: it names none. Denied."""
        if self.approval is None:
            raise Wanted(access.needs)
        approvals.use(db, realm, access.principal, self.approval, self.asked.digest, access.needs)
        return f"approval:{self.approval}"


def _parsed(body: bytes) -> Any:
    """Raises: InvalidInput: no JSON; a route that takes no body has not looked at it."""
    try:
        return json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the body is no JSON; this takes none") from error


async def guarded(request: Request, above: int | None, action: str, digest: bytes) -> Guarded | None:
    """None: it needs none. Args: above: as of a `Question`; None: nothing does. Raises: InvalidInput."""
    method, path = request.method, cast(APIRoute, request.scope["route"]).path
    _, rule = RULES.get(f"{method} {path}", (None, None))
    if above is None or rule is None:
        return None
    body = _parsed(await request.body())
    if not rule(Question(request.query_params, body, above)):
        return None
    named = request.headers.getlist(HEADER)
    if len(named) > 1:
        raise InvalidInput("give one E4-Approval")
    query = request.scope["query_string"].decode("latin-1")
    text = json.dumps(body) if body else ""
    return Guarded(Asked(action, digest, method, request.scope["path"], query, text), named[0] if named else None)
