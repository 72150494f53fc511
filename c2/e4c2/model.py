# SPDX-License-Identifier: Apache-2.0
"""The tables of a C2, and which of their columns grant something.

Ids are 16 bytes. Times are Unix seconds. Columns named in `SEALED` hold records of `e4kms.records`; every row of a table in
`GRANTING` carries a generation and a MAC over all columns named there (see `e4c2.rows`).
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from e4c2 import columns

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_ID = columns.Bytes(16)
_TIME = columns.Time
_NAME = columns.Text(512)


class Status(StrEnum):
    """Of a client: only an active one is ever sent anything."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Kind(StrEnum):
    """What a delivery brings about at a device; the content is read when it is sealed, so it is always the present one."""

    TOPIC = "topic"
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


class Reason(StrEnum):
    """Why a key is changed."""

    ROUTINE = "routine"
    COMPROMISED = "compromised"


class C2KeyState(StrEnum):
    """`RETIRED` still reaches who has not heard of a newer one; of one `COMPROMISED` the private key is gone."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"
    COMPROMISED = "compromised"


def _grant() -> tuple[sa.Column[int], sa.Column[bytes]]:
    return sa.Column("generation", sa.Integer, nullable=False), sa.Column("mac", columns.Bytes(36), nullable=False)


realm = sa.Table(
    "realm",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("database_id", _ID, nullable=False),
    sa.Column("suite", columns.Text(32), nullable=False),
    sa.Column("created", _TIME, nullable=False),
)

dek = sa.Table(
    "dek",
    metadata,
    sa.Column("purpose", columns.Text(16), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("check_value", columns.Bytes(16), nullable=False),
    *_grant(),
)

dek_wrap = sa.Table(
    "dek_wrap",
    metadata,
    sa.Column("purpose", columns.Text(16), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uri", columns.Text(1024), nullable=False),
    sa.Column("key_id", columns.Text(512), nullable=False),
    sa.Column("mechanism", columns.Text(64), nullable=False),
    sa.Column("blob", columns.Blob(8192), nullable=False),
    sa.ForeignKeyConstraint(["purpose", "version"], ["dek.purpose", "dek.version"]),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sum", columns.Blob(128), nullable=False),
)

ledger_change = sa.Table(
    "ledger_change",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("change", columns.Blob(2**24 - 1), nullable=False),
    sa.Column("created", _TIME, nullable=False, index=True),
)
"""What other processes on the same database are told of each change of the ledger."""

client = sa.Table(
    "client",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _NAME, nullable=False, unique=True),
    sa.Column("status", columns.Text(16), nullable=False),
    sa.Column("key", columns.Blob(8192), nullable=False),
    sa.Column("pending_key", columns.Blob(8192)),
    sa.Column("pending_private", columns.Blob(8192)),
    sa.Column("c2_key", sa.Integer, nullable=False),
    sa.Column("reports", sa.Boolean, nullable=False),
    *_grant(),
    sa.Column("created", _TIME, nullable=False),
    sa.Column("last_report", _TIME),
)

topic = sa.Table(
    "topic",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _NAME, nullable=False, unique=True),
    sa.Column("key", columns.Blob(8192), nullable=False),
    *_grant(),
    sa.Column("created", _TIME, nullable=False),
    sa.Column("rotated", _TIME, nullable=False),
)

topic_epoch = sa.Table(
    "topic_epoch",
    metadata,
    sa.Column("topic", _ID, primary_key=True),
    sa.Column("hash", columns.Bytes(32), nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    *_grant(),
)
"""The last epoch that each topic name ever had, kept when the topic is removed; ``hash`` stands for the name on the wire."""

membership = sa.Table(
    "membership",
    metadata,
    sa.Column("topic", _ID, sa.ForeignKey("topic.id"), primary_key=True),
    sa.Column("client", _ID, sa.ForeignKey("client.id"), primary_key=True, index=True),
    *_grant(),
    sa.Column("created", _TIME, nullable=False),
)

link = sa.Table(
    "link",
    metadata,
    sa.Column("holder", _ID, sa.ForeignKey("client.id"), primary_key=True),
    sa.Column("peer", _ID, sa.ForeignKey("client.id"), primary_key=True, index=True),
    *_grant(),
    sa.Column("created", _TIME, nullable=False),
)

c2_key = sa.Table(
    "c2_key",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("private", columns.Blob(8192), nullable=False),
    sa.Column("public", columns.Blob(4096), nullable=False),
    *_grant(),
    sa.Column("created", _TIME, nullable=False),
)

command_sequence = sa.Table(
    "command_sequence",
    metadata,
    sa.Column("client", _ID, sa.ForeignKey("client.id"), primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("confirmed", sa.BigInteger, nullable=False),
    *_grant(),
)
"""Of each client: the last command that was sealed, and the last that it has answered."""

token = sa.Table(
    "token",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("lookup", columns.Bytes(36), nullable=False, unique=True),
    sa.Column("expires", _TIME),
    *_grant(),
    sa.Column("created", _TIME, nullable=False),
)

operation = sa.Table(
    "operation",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("kind", columns.Text(32), nullable=False),
    sa.Column("subject", _NAME, nullable=False),
    sa.Column("created", _TIME, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", columns.Number, primary_key=True),
    sa.Column("client", _ID, sa.ForeignKey("client.id"), nullable=False),
    sa.Column("kind", columns.Text(16), nullable=False),
    sa.Column("object", _ID, nullable=False),
    sa.Column("purge", sa.Boolean, nullable=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("operation", _ID, sa.ForeignKey("operation.id"), index=True),
    sa.Column("created", _TIME, nullable=False),
    sa.Column("not_before", _TIME, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("second", sa.BigInteger),
    sa.Column("tags", columns.Blob(256)),
    sa.Column("purge_tags", columns.Blob(256)),
    sa.Column("refusal", columns.Text(32)),
    sa.Column("sequence", sa.BigInteger),
    sa.Index("ix_outbox_state_id", "state", "id"),
    sa.Index("ix_outbox_client_state", "client", "state"),
    sa.Index("ix_outbox_client_second", "client", "second"),
    sa.Index("ix_outbox_client_object", "client", "kind", "object"),
    sqlite_autoincrement=True,
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("key", columns.Bytes(36), primary_key=True),
    sa.Column("answer", columns.Blob(2**24 - 1), nullable=False),
    sa.Column("created", _TIME, nullable=False, index=True),
)

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
    "command_sequence": ("last", "confirmed"),
    "membership": (),
    "link": (),
    "c2_key": ("state", "private", "public"),
    "token": ("name", "lookup", "expires"),
}
"""Table -> columns under the row's MAC, in this order; the row id (the primary key) and the generation always are."""

SEALED: dict[str, tuple[str, ...]] = {
    "client": ("key", "pending_key", "pending_private"),
    "topic": ("key",),
    "c2_key": ("private",),
    "idempotency": ("answer",),
    "ledger": ("sum",),
}
"""Table -> columns sealed under the records DEK."""
