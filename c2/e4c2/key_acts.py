# SPDX-License-Identifier: Apache-2.0
"""What becomes of the database's own keys, as the audit log tells it."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import deks
from e4c2.audit import chain
from e4c2.audit.records import OWN
from e4c2.rows import Realm
from e4kms.deks import Dek, Purpose

ACTIVATED = "dek_activated"
"""From then on a version is used for all that is new."""


def name(purpose: Purpose, version: int) -> str:
    """The object that a version is."""
    return f"dek:{purpose}/{version}"


def retire_former(db: sa.Connection, realm: Realm) -> list[Dek]:
    """As `deks.retire_former`, on record."""
    gone = deks.retire_former(db, realm)
    for dek in gone:
        chain.append(db, realm, OWN.step("dek_retired", name(dek.purpose, dek.version)))
    return gone
