# SPDX-License-Identifier: Apache-2.0
"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "c2_key",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("private", sa.LargeBinary(length=8192), nullable=False),
        sa.Column("public", sa.LargeBinary(length=4096), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=36), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_c2_key")),
    )
    op.create_table(
        "client",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("key", sa.LargeBinary(length=8192), nullable=False),
        sa.Column("pending_key", sa.LargeBinary(length=8192), nullable=True),
        sa.Column("pending_private", sa.LargeBinary(length=8192), nullable=True),
        sa.Column("c2_key", sa.Integer(), nullable=False),
        sa.Column("reports", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=36), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("last_report", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
        sa.UniqueConstraint("name", name=op.f("uq_client_name")),
    )
    op.create_table(
        "dek",
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("check_value", sa.LargeBinary(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=36), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "version", name=op.f("pk_dek")),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.LargeBinary(length=36), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created"), "idempotency", ["created"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sum", sa.LargeBinary(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    op.create_table(
        "operation",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=512), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
    )
    op.create_table(
        "realm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("database_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("suite", sa.String(length=32), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_realm")),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("lookup", sa.LargeBinary(length=36), nullable=False),
        sa.Column("expires", sa.Float(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=36), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("lookup", name=op.f("uq_token_lookup")),
    )
    op.create_table(
        "topic",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("key", sa.LargeBinary(length=8192), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=36), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("rotated", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topic")),
        sa.UniqueConstraint("name", name=op.f("uq_topic_name")),
    )
    op.create_table(
        "dek_wrap",
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uri", sa.String(length=1024), nullable=False),
        sa.Column("key_id", sa.String(length=512), nullable=False),
        sa.Column("mechanism", sa.String(length=64), nullable=False),
        sa.Column("blob", sa.LargeBinary(length=8192), nullable=False),
        sa.ForeignKeyConstraint(
            ["purpose", "version"], ["dek.purpose", "dek.version"], name=op.f("fk_dek_wrap_purpose")
        ),
        sa.PrimaryKeyConstraint("purpose", "version", "slot", name=op.f("pk_dek_wrap")),
    )
    op.create_table(
        "link",
        sa.Column("holder", sa.LargeBinary(length=16), nullable=False),
        sa.Column("peer", sa.LargeBinary(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=36), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["holder"], ["client.id"], name=op.f("fk_link_holder")),
        sa.ForeignKeyConstraint(["peer"], ["client.id"], name=op.f("fk_link_peer")),
        sa.PrimaryKeyConstraint("holder", "peer", name=op.f("pk_link")),
    )
    op.create_index(op.f("ix_link_peer"), "link", ["peer"], unique=False)
    op.create_table(
        "membership",
        sa.Column("topic", sa.LargeBinary(length=16), nullable=False),
        sa.Column("client", sa.LargeBinary(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=36), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_membership_client")),
        sa.ForeignKeyConstraint(["topic"], ["topic.id"], name=op.f("fk_membership_topic")),
        sa.PrimaryKeyConstraint("topic", "client", name=op.f("pk_membership")),
    )
    op.create_index(op.f("ix_membership_client"), "membership", ["client"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("client", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("object", sa.LargeBinary(length=16), nullable=False),
        sa.Column("purge", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("operation", sa.LargeBinary(length=16), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("second", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.LargeBinary(length=256), nullable=True),
        sa.Column("purge_tags", sa.LargeBinary(length=256), nullable=True),
        sa.Column("refusal", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_outbox_client")),
        sa.ForeignKeyConstraint(["operation"], ["operation.id"], name=op.f("fk_outbox_operation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_client_second", "outbox", ["client", "second"], unique=False)
    op.create_index("ix_outbox_client_state", "outbox", ["client", "state"], unique=False)
    op.create_index("ix_outbox_client_object", "outbox", ["client", "kind", "object"], unique=False)
    op.create_index(op.f("ix_outbox_operation"), "outbox", ["operation"], unique=False)
    op.create_index("ix_outbox_state_id", "outbox", ["state", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_outbox_state_id", table_name="outbox")
    op.drop_index(op.f("ix_outbox_operation"), table_name="outbox")
    op.drop_index("ix_outbox_client_object", table_name="outbox")
    op.drop_index("ix_outbox_client_state", table_name="outbox")
    op.drop_index("ix_outbox_client_second", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_membership_client"), table_name="membership")
    op.drop_table("membership")
    op.drop_index(op.f("ix_link_peer"), table_name="link")
    op.drop_table("link")
    op.drop_table("dek_wrap")
    op.drop_table("topic")
    op.drop_table("token")
    op.drop_table("realm")
    op.drop_table("operation")
    op.drop_table("ledger")
    op.drop_index(op.f("ix_idempotency_created"), table_name="idempotency")
    op.drop_table("idempotency")
    op.drop_table("dek")
    op.drop_table("client")
    op.drop_table("c2_key")
