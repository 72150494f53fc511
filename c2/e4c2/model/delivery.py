# SPDX-License-Identifier: Apache-2.0
"""What is still to be sent, and what became of it."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, NAME, TIME, metadata


class Kind(StrEnum):
    """What a delivery brings about at a device; the content is read when it is sealed, so it is always the present one."""

    TOPIC = "topic"
    NEXT = "next_key"
    """The key that a topic is to have next, to be held and not yet used (Format 2)."""
    PEER = "peer"
    RESET_TOPICS = "reset_topics"
    RESET_PEERS = "reset_peers"
    ID_KEY = "id_key"
    C2_KEY = "c2_key"
    SYNC = "sync"
    SWITCH = "switch"
    """Nothing but a command under a key that the device is to take into use (Format 2)."""


class Delivery(StrEnum):
    """State of a delivery. The first two are still to be done; `SENT` ends there for devices that do not report."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    """Sent to a device that reports, and never answered."""


OFF_RECORD = (Delivery.CONFIRMED, Delivery.SENT, Delivery.SUPERSEDED)


class Reason(StrEnum):
    """Why a key is changed."""

    ROUTINE = "routine"
    COMPROMISED = "compromised"


operation = sa.Table(
    "operation",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("kind", columns.Text(32), nullable=False),
    sa.Column("subject", NAME, nullable=False),
    sa.Column("created", TIME, nullable=False),
    sa.Column("look_at", TIME, index=True),
    *[sa.Column(state.value, sa.Integer, nullable=False, server_default="0") for state in OFF_RECORD],
    sa.Index("ix_operation_kind_created", "kind", "created"),
)
"""
Attributes: look_at: when to see whether it is over; none: it was, and that is told.  confirmed, sent, superseded: how many of its
    deliveries left the record before it does, by state (`e4c2.retention`).
"""

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", columns.Number, primary_key=True),
    sa.Column("client", ID, nullable=False),
    sa.Column("kind", columns.Text(16), nullable=False),
    sa.Column("object", ID, nullable=False),
    sa.Column("purge", sa.Boolean, nullable=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("operation", ID),
    sa.Column("created", TIME, nullable=False),
    sa.Column("not_before", TIME, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("second", sa.BigInteger),
    sa.Column("tags", columns.Blob(256)),
    sa.Column("purge_tags", columns.Blob(256)),
    sa.Column("refusal", columns.Text(32)),
    sa.Column("sequence", sa.BigInteger),
    sa.Column("holder", ID),
    sa.Column("awaited_since", TIME),
    sa.Index("ix_outbox_state_id", "state", "id"),
    sa.Index("ix_outbox_operation_state", "operation", "state"),
    sa.Index("ix_outbox_client_state", "client", "state"),
    sa.Index("ix_outbox_client_second", "client", "second"),
    sa.Index("ix_outbox_object_purge", "client", "kind", "object", "purge"),
    sqlite_autoincrement=True,
    info=columns.QUEUE,
)
"""Without foreign keys: to look at two other rows for each new one took a third of the time of a rotation.

Attributes: client, operation: ids of those.  awaited_since: since when an answer is waited for, however often it was sealed anew;
    none: the broker has not had it yet.
"""

replica = sa.Table(
    "replica",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("deks", columns.Bytes(32), nullable=False),
    sa.Column("started", TIME, nullable=False),
    sa.Column("linked", sa.Boolean, nullable=False),
)
"""The C2 processes at work (`e4c2.replicas`); ``holder`` of the outbox names the one that has a command in hand."""

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("key", columns.Bytes(36), primary_key=True),
    sa.Column("answer", columns.Blob(2**24 - 1), nullable=False),
    sa.Column("created", TIME, nullable=False, index=True),
)
