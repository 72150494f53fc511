# SPDX-License-Identifier: Apache-2.0
"""The tables of a C2, and which of their columns grant something.

Ids are 16 bytes. Times are Unix seconds. Columns named in `SEALED` hold records of `e4kms.records`; every row of a table in
`GRANTING` carries a generation and a MAC over all columns named there (see `e4c2.rows`).
"""

from __future__ import annotations

from e4c2.model.access import approval, identity, token
from e4c2.model.audit import audit_checkpoint, audit_head, audit_key, audit_record
from e4c2.model.base import metadata
from e4c2.model.delivery import OFF_RECORD, Delivery, Kind, Reason, idempotency, operation, outbox, replica
from e4c2.model.enrolment import enrolment
from e4c2.model.events import EventKind, event, webhook
from e4c2.model.fleet import C2KeyState, Status, c2_key, client, command_sequence, link, membership, topic, topic_epoch
from e4c2.model.keys import dek, dek_wrap, ledger, ledger_change, realm
from e4c2.model.planned import AtDeadline, Cause, PlanState, departed, planned, topic_change, topic_next
from e4c2.model.recovery import backup, recovery, restoring
from e4c2.model.traffic import unprotected

__all__ = [
    "AtDeadline",
    "C2KeyState",
    "Cause",
    "Delivery",
    "EventKind",
    "GRANTING",
    "Kind",
    "LATER",
    "OFF_RECORD",
    "PlanState",
    "Reason",
    "SEALED",
    "Status",
    "approval",
    "audit_checkpoint",
    "audit_head",
    "audit_key",
    "audit_record",
    "backup",
    "c2_key",
    "client",
    "command_sequence",
    "dek",
    "dek_wrap",
    "departed",
    "enrolment",
    "event",
    "idempotency",
    "identity",
    "ledger",
    "ledger_change",
    "link",
    "membership",
    "metadata",
    "operation",
    "outbox",
    "planned",
    "realm",
    "replica",
    "recovery",
    "restoring",
    "token",
    "topic",
    "topic_change",
    "topic_epoch",
    "topic_next",
    "unprotected",
    "webhook",
]

GRANTING: dict[str, tuple[str, ...]] = {
    "dek": ("state", "check_value"),
    "client": (
        "name",
        "status",
        "key",
        "pending_key",
        "pending_private",
        "c2_key",
        "reports",
    ),
    "topic": ("name", "key"),
    "topic_epoch": ("hash", "last"),
    "topic_next": ("used", "key"),
    "command_sequence": ("last", "confirmed"),
    "membership": (),
    "link": (),
    "c2_key": ("state", "private", "public"),
    "token": ("name", "lookup", "expires", "grants"),
    "identity": ("name", "found_by", "issuer", "value", "lookup", "grants"),
    "enrolment": ("name", "lookup", "clients", "topics", "uses", "expires"),
    "approval": ("requester", "digest", "about", "state", "decider", "expires"),
    "audit_head": ("number", "hash", "base_number", "base_hash"),
    "audit_key": ("algorithm", "private", "public"),
    "recovery": ("state", "backup", "made", "since"),
    "webhook": ("name", "url", "kinds", "secret"),
}
"""Table -> columns under the row's MAC, in this order; the row id (the primary key) and the generation always are."""

LATER: dict[str, int] = {"token": 1}
"""Table -> how many of these columns, the last ones, came when there were rows: the MAC is over none that is NULL at the end."""

SEALED: dict[str, tuple[str, ...]] = {
    "client": ("key", "pending_key", "pending_private"),
    "topic": ("key",),
    "topic_next": ("key",),
    "c2_key": ("private",),
    "idempotency": ("answer",),
    "ledger": ("sum",),
    "audit_key": ("private",),
    "webhook": ("secret",),
}
"""Table -> columns sealed under the records DEK."""
