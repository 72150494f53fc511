# SPDX-License-Identifier: Apache-2.0
"""What has happened, and who is told of it over HTTP."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, NAME, TIME, grant, metadata


class EventKind(StrEnum):
    """What there is to tell; the names are promised, and each is in the guide with what comes with it."""

    CLIENT_ENROLLED = "client.enrolled"
    CLIENT_SUSPENDED = "client.suspended"
    CLIENT_REMOVED = "client.removed"
    CLIENT_KEY_CHANGED = "client.key_changed"
    CLIENT_SEEN = "client.seen"
    TOPIC_CREATED = "topic.created"
    TOPIC_ROTATED = "topic.rotated"
    TOPIC_REMOVED = "topic.removed"
    TOPIC_CONVERGED = "topic.converged"
    MEMBER_JOINED = "member.joined"
    MEMBER_EVICTED = "member.evicted"
    DELIVERY_REFUSED = "delivery.refused"
    DELIVERY_EXPIRED = "delivery.expired"
    OPERATION_CONFIRMED = "operation.confirmed"
    OPERATION_SENT = "operation.sent"
    OPERATION_FAILED = "operation.failed"
    OPERATION_EXPIRED = "operation.expired"
    C2_KEY_CHANGED = "c2.key_changed"
    DEK_CHANGED = "kms.dek_changed"
    KMS_LOST = "kms.lost"
    KMS_BACK = "kms.back"
    AUDIT_CHECKPOINT = "audit.checkpoint"
    REPLICA_STARTED = "replica.started"
    REPLICA_GONE = "replica.gone"
    TOKEN_MADE = "token.made"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    APPROVAL_ASKED = "approval.asked"
    APPROVAL_DECIDED = "approval.decided"
    APPROVAL_USED = "approval.used"
    WEBHOOK_PAUSED = "webhook.paused"


event = sa.Table(
    "event",
    metadata,
    sa.Column("id", columns.Number, primary_key=True),
    sa.Column("kind", columns.Text(32), nullable=False),
    sa.Column("created", TIME, nullable=False, index=True),
    sa.Column("client", NAME),
    sa.Column("topic", NAME),
    sa.Column("data", columns.Text(4000), nullable=False),
    sqlite_autoincrement=True,
)
"""Numbered in the order of commits, as one transaction writes at a time. Names, for who is removed has events too."""

webhook = sa.Table(
    "webhook",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    sa.Column("url", columns.Text(2048), nullable=False),
    sa.Column("kinds", columns.Text(1024), nullable=False),
    sa.Column("secret", columns.Blob(256), nullable=False),
    *grant(),
    sa.Column("created", TIME, nullable=False),
    sa.Column("cursor", sa.BigInteger, nullable=False),
    sa.Column("holder", ID),
    sa.Column("not_before", TIME, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("failing_since", TIME),
    sa.Column("failure", columns.Text(255)),
    sa.Column("paused", TIME),
)
"""``kinds``: separated by blanks, none for all; ``cursor``: the last event that was received there, or is not for it;
``holder``: the replica that is sending to it."""
