# SPDX-License-Identifier: Apache-2.0
"""Clients, topics, who is a member of what and knows whom, and the C2's own keys."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, NAME, TIME, grant, metadata


class Status(StrEnum):
    """Of a client: only an active one is ever sent anything."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class C2KeyState(StrEnum):
    """`RETIRED` still reaches who has not heard of a newer one, `ABORTED` who heard of one that was then given up; of one
    `COMPROMISED` the private key is gone."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"
    ABORTED = "aborted"
    COMPROMISED = "compromised"


client = sa.Table(
    "client",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    sa.Column("status", columns.Text(16), nullable=False),
    sa.Column("key", columns.Blob(8192), nullable=False),
    sa.Column("pending_key", columns.Blob(8192)),
    sa.Column("pending_private", columns.Blob(8192)),
    sa.Column("c2_key", sa.Integer, nullable=False),
    sa.Column("reports", sa.Boolean, nullable=False),
    *grant(),
    sa.Column("created", TIME, nullable=False),
    sa.Column("last_report", TIME),
)

topic = sa.Table(
    "topic",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    sa.Column("key", columns.Blob(8192), nullable=False),
    *grant(),
    sa.Column("created", TIME, nullable=False),
    sa.Column("rotated", TIME, nullable=False),
    sa.Column("revoke_within_s", sa.Double),
)

topic_epoch = sa.Table(
    "topic_epoch",
    metadata,
    sa.Column("topic", ID, primary_key=True),
    sa.Column("hash", columns.Bytes(32), nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    *grant(),
)
"""The last epoch that each topic name ever had, kept when the topic is removed; ``hash`` stands for the name on the wire."""

membership = sa.Table(
    "membership",
    metadata,
    sa.Column("topic", ID, sa.ForeignKey("topic.id"), primary_key=True),
    sa.Column("client", ID, sa.ForeignKey("client.id"), primary_key=True, index=True),
    *grant(),
    sa.Column("created", TIME, nullable=False),
)

link = sa.Table(
    "link",
    metadata,
    sa.Column("holder", ID, sa.ForeignKey("client.id"), primary_key=True),
    sa.Column("peer", ID, sa.ForeignKey("client.id"), primary_key=True, index=True),
    *grant(),
    sa.Column("created", TIME, nullable=False),
)

c2_key = sa.Table(
    "c2_key",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("private", columns.Blob(8192), nullable=False),
    sa.Column("public", columns.Blob(4096), nullable=False),
    *grant(),
    sa.Column("created", TIME, nullable=False),
)

command_sequence = sa.Table(
    "command_sequence",
    metadata,
    sa.Column("client", ID, sa.ForeignKey("client.id"), primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("confirmed", sa.BigInteger, nullable=False),
    *grant(),
)
"""Of each client: the last command that was sealed, and the last that it has answered."""
