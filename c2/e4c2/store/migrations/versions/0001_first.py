# SPDX-License-Identifier: Apache-2.0
"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "c2_key",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", columns.Text(16), nullable=False),
        sa.Column("private", columns.Blob(8192), nullable=False),
        sa.Column("public", columns.Blob(4096), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_c2_key")),
    )
    op.create_table(
        "client",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("name", columns.Text(512), nullable=False),
        sa.Column("status", columns.Text(16), nullable=False),
        sa.Column("key", columns.Blob(8192), nullable=False),
        sa.Column("pending_key", columns.Blob(8192), nullable=True),
        sa.Column("pending_private", columns.Blob(8192), nullable=True),
        sa.Column("c2_key", sa.Integer(), nullable=False),
        sa.Column("reports", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.Column("last_report", columns.Time, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
        sa.UniqueConstraint("name", name=op.f("uq_client_name")),
    )
    op.create_table(
        "dek",
        sa.Column("purpose", columns.Text(16), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", columns.Text(16), nullable=False),
        sa.Column("check_value", columns.Bytes(16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "version", name=op.f("pk_dek")),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", columns.Bytes(36), nullable=False),
        sa.Column("answer", columns.Blob(2**24 - 1), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created"), "idempotency", ["created"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sum", columns.Blob(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    op.create_table(
        "operation",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("kind", columns.Text(32), nullable=False),
        sa.Column("subject", columns.Text(512), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
    )
    op.create_table(
        "realm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("database_id", columns.Bytes(16), nullable=False),
        sa.Column("suite", columns.Text(32), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_realm")),
    )
    op.create_table(
        "token",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("name", columns.Text(512), nullable=False),
        sa.Column("lookup", columns.Bytes(36), nullable=False),
        sa.Column("expires", columns.Time, nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("lookup", name=op.f("uq_token_lookup")),
    )
    op.create_table(
        "topic",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("name", columns.Text(512), nullable=False),
        sa.Column("key", columns.Blob(8192), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.Column("rotated", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topic")),
        sa.UniqueConstraint("name", name=op.f("uq_topic_name")),
    )
    op.create_table(
        "dek_wrap",
        sa.Column("purpose", columns.Text(16), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uri", columns.Text(1024), nullable=False),
        sa.Column("key_id", columns.Text(512), nullable=False),
        sa.Column("mechanism", columns.Text(64), nullable=False),
        sa.Column("blob", columns.Blob(8192), nullable=False),
        sa.ForeignKeyConstraint(
            ["purpose", "version"], ["dek.purpose", "dek.version"], name=op.f("fk_dek_wrap_purpose")
        ),
        sa.PrimaryKeyConstraint("purpose", "version", "slot", name=op.f("pk_dek_wrap")),
    )
    op.create_table(
        "link",
        sa.Column("holder", columns.Bytes(16), nullable=False),
        sa.Column("peer", columns.Bytes(16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.ForeignKeyConstraint(["holder"], ["client.id"], name=op.f("fk_link_holder")),
        sa.ForeignKeyConstraint(["peer"], ["client.id"], name=op.f("fk_link_peer")),
        sa.PrimaryKeyConstraint("holder", "peer", name=op.f("pk_link")),
    )
    op.create_index(op.f("ix_link_peer"), "link", ["peer"], unique=False)
    op.create_table(
        "membership",
        sa.Column("topic", columns.Bytes(16), nullable=False),
        sa.Column("client", columns.Bytes(16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_membership_client")),
        sa.ForeignKeyConstraint(["topic"], ["topic.id"], name=op.f("fk_membership_topic")),
        sa.PrimaryKeyConstraint("topic", "client", name=op.f("pk_membership")),
    )
    op.create_index(op.f("ix_membership_client"), "membership", ["client"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", columns.Number, nullable=False),
        sa.Column("client", columns.Bytes(16), nullable=False),
        sa.Column("kind", columns.Text(16), nullable=False),
        sa.Column("object", columns.Bytes(16), nullable=False),
        sa.Column("purge", sa.Boolean(), nullable=False),
        sa.Column("state", columns.Text(16), nullable=False),
        sa.Column("operation", columns.Bytes(16), nullable=True),
        sa.Column("created", columns.Time, nullable=False),
        sa.Column("not_before", columns.Time, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("second", sa.BigInteger(), nullable=True),
        sa.Column("tags", columns.Blob(256), nullable=True),
        sa.Column("purge_tags", columns.Blob(256), nullable=True),
        sa.Column("refusal", columns.Text(32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_client_second", "outbox", ["client", "second"], unique=False)
    op.create_index("ix_outbox_client_state", "outbox", ["client", "state"], unique=False)
    op.create_index("ix_outbox_client_object", "outbox", ["client", "kind", "object"], unique=False)
    op.create_index(op.f("ix_outbox_operation"), "outbox", ["operation"], unique=False)
    op.create_index("ix_outbox_state_id", "outbox", ["state", "id"], unique=False)


def downgrade() -> None:
    # with their indexes, of which MariaDB drops none before that a foreign key needs
    for table in ("outbox", "membership", "link", "dek_wrap", "topic", "token", "realm", "operation", "ledger"):
        op.drop_table(table)
    for table in ("idempotency", "dek", "client", "c2_key"):
        op.drop_table(table)
