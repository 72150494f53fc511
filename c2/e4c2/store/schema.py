# SPDX-License-Identifier: Apache-2.0
"""The schema, brought up to date by migrations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from e4core.errors import StorageError

VERSIONS = "alembic_version"
Prepare = Callable[[sa.Connection, str], None]
"""What is done to the schema of a database, of which a name for people is given, when it is opened."""


def migrate(db: sa.Connection) -> None:
    """Bring the schema of this connection to that of this release."""
    if MigrationContext.configure(db).get_current_revision() == newest():
        return
    config = _config()
    config.attributes["connection"] = db
    command.upgrade(config, "head")


@cache
def newest() -> str:
    """The revision that this release works with."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def prepare(db: sa.Connection, where: str) -> None:
    """Migrate, if it is ours. Raises: StorageError: of another program, or written by another release."""
    tables = sa.inspect(db).get_table_names()
    if tables and VERSIONS not in tables:
        raise StorageError(f"{where} is the database of another program; choose another one")
    try:
        migrate(db)
    except CommandError as error:
        raise StorageError(f"{where} was written by another release; use that one: {error}") from None


def require(db: sa.Connection, where: str) -> None:
    """Change nothing. Raises: StorageError: there is no schema, or that of another release."""
    found = MigrationContext.configure(db).get_current_revision()
    if found is None:
        raise StorageError(f"{where} is no database of a C2; are these its settings?")
    if found != newest():
        raise StorageError(f"{where} was written by another release (schema {found}, not {newest()}); use that one")


def make(db: sa.Connection, where: str) -> None:
    """In a database without tables; one that has them is left as it is. Raises: StorageError: as `require`."""
    if sa.inspect(db).get_table_names():
        require(db, where)
    migrate(db)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "e4c2:store/migrations")
    return config
