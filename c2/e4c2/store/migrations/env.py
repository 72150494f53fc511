# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs migrations on the connection that `e4c2.store.schema.migrate` hands over."""

from __future__ import annotations

from alembic import context

from e4c2.model import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
