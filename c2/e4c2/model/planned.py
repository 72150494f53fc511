# SPDX-License-Identifier: Apache-2.0
"""How the keys of topics change: the next one, held beforehand; who left and knows the present one; how long it took."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, NAME, TIME, grant, metadata


class Cause(StrEnum):
    """Why a topic has another key: only after a `REVOCATION` is the former one over at once."""

    ROTATION = "rotation"
    REVOCATION = "revocation"
    ACTIVATION = "activation"


class PlanState(StrEnum):
    """Of a planned rotation: the last two are the end of it."""

    DISTRIBUTING = "distributing"
    READY = "ready"
    ACTIVATING = "activating"
    DONE = "done"
    ABORTED = "aborted"


class AtDeadline(StrEnum):
    """What becomes of a plan whose quorum is not reached in time."""

    ACTIVATE = "activate"
    ABORT = "abort"


topic_next = sa.Table(
    "topic_next",
    metadata,
    sa.Column("topic", ID, primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.Column("key", columns.Blob(8192)),
    *grant(),
)
"""Of a topic whose newest epoch (`topic_epoch.last`) is not the one in use: the one that is, and the key of the newest; without
one it was given up, though members may hold it."""

planned = sa.Table(
    "planned",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("topic", ID, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("reason", columns.Text(16)),
    sa.Column("quorum", sa.Double, nullable=False),
    sa.Column("automatic", sa.Boolean, nullable=False),
    sa.Column("deadline", TIME, nullable=False),
    sa.Column("at_deadline", columns.Text(16), nullable=False),
    sa.Column("operation", ID, nullable=False),
    sa.Column("mark", sa.BigInteger, nullable=False),
    sa.Column("look_at", TIME, nullable=False),
    sa.Column("members", sa.Integer, nullable=False),
    sa.Column("holding", sa.Integer, nullable=False),
    sa.Column("created", TIME, nullable=False),
    sa.Column("activated", TIME),
    sa.Column("ended", TIME),
    sa.Index("ix_planned_topic_created", "topic", "created"),
    sa.Index("ix_planned_state", "state"),
)
"""Planned rotations. ``mark``: last delivery of before."""

topic_change = sa.Table(
    "topic_change",
    metadata,
    sa.Column("id", columns.Number, primary_key=True),
    sa.Column("topic", ID, nullable=False),
    sa.Column("cause", columns.Text(16), nullable=False),
    sa.Column("requested", TIME, nullable=False),
    sa.Column("begun", TIME, nullable=False),
    sa.Column("mark", sa.BigInteger, nullable=False),
    sa.Column("waits_for", ID),
    sa.Column("members", sa.Integer),
    sa.Column("unheard", sa.Integer),
    sa.Column("ended", TIME),
    sa.Index("ix_topic_change_topic_id", "topic", "id"),
    sa.Index("ix_topic_change_ended", "ended"),
    sqlite_autoincrement=True,
)
"""Keys that topics got, until every member has them. ``waits_for``: the first member, by id, that has not; ``unheard``: those of
``members`` that never report, to which it was sent."""

departed = sa.Table(
    "departed",
    metadata,
    sa.Column("topic", ID, primary_key=True),
    sa.Column("client", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("requested", TIME, nullable=False),
    sa.Column("rekey_by", TIME),
    sa.Index("ix_departed_rekey_by", "rekey_by"),
)
"""Who was evicted, and knows the key of the topic until it gets another; without ``rekey_by`` that is when somebody rotates it."""
