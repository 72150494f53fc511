# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL and MariaDB, for any number of C2 processes: one of them writes at a time, as one thread does with SQLite.

Who begins to write locks the one row of alembic's table, and so waits for its turn; the row also tells that nobody has migrated
the schema to another release meanwhile. What a process knows of the rows that are valid (`e4c2.roll`) is brought up to date in its
turn.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from e4c2.roll import Roll
from e4c2.store.address import Address
from e4c2.store.schema import VERSIONS, Prepare, newest
from e4c2.store.transaction import transact
from e4core.errors import StorageError
from e4transports.address import read_password

T = TypeVar("T")

_TURN: sa.Select[Any] = sa.select(sa.literal_column("version_num")).select_from(sa.table(VERSIONS)).with_for_update()
READERS = 4
"""Connections that only read."""
_CONNECT_WITHIN_S = 10
_LOCK_WITHIN_S = 60
_WRITE_WITHIN_S = 2 * _LOCK_WITHIN_S
"""Half of it a write waits for its turn at most, or is refused; who has a turn for the other half has the others refused."""
_IDLE_S = 60
"""Of a process that hangs, or whose machine is gone, amid a transaction: then others have their turn."""
_KEEPALIVES = {"tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
logging.getLogger("asyncmy").setLevel(logging.ERROR)  # it warns that MariaDB gives primary keys no names


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs from server to server.

    Attributes: arguments: of each connection.  first: statements with which each begins.
        lock, unlock: around migrations, of which one process does one at a time.
    """

    driver: str
    extra: str
    arguments: Mapping[str, Any]
    first: tuple[str, ...]
    lock: str
    unlock: str
    oldest: tuple[int, ...]
    """Release of the server that has all that is asked of it."""


_KINDS = {
    "postgresql": _Kind(
        driver="postgresql+asyncpg",
        extra="postgres",
        arguments={
            "timeout": _CONNECT_WITHIN_S,
            "server_settings": {  # not by SET, which a rollback takes back
                "application_name": "e4",
                "lock_timeout": f"{_LOCK_WITHIN_S}s",
                "idle_in_transaction_session_timeout": f"{_IDLE_S}s",
                "synchronous_commit": "on",
                "jit": "off",  # which takes longer than any statement here
                **_KEEPALIVES,
            },
        },
        first=(),
        lock="SELECT pg_advisory_lock(hashtext('e4.schema'))",
        unlock="SELECT pg_advisory_unlock(hashtext('e4.schema'))",
        oldest=(12,),
    ),
    "mariadb": _Kind(
        driver="mariadb+asyncmy",
        extra="mariadb",
        arguments={"connect_timeout": _CONNECT_WITHIN_S, "charset": "utf8mb4"},
        first=(
            f"SET innodb_lock_wait_timeout = {_LOCK_WITHIN_S}, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
            f"/*M!100300 SET idle_transaction_timeout = {_IDLE_S} */",  # MySQL has none
        ),
        lock=f"SELECT GET_LOCK(CONCAT(DATABASE(), '.e4.schema'), {_LOCK_WITHIN_S})",
        unlock="SELECT RELEASE_LOCK(CONCAT(DATABASE(), '.e4.schema'))",
        oldest=(10, 6),
    ),
}


class Server:
    """A database at a server; its connections live in a thread of their own."""

    def __init__(self, address: Address, roll: Roll, prepare: Prepare) -> None:
        """Raises: StorageError."""
        self._where = str(address)
        self._roll = roll
        self._writer = _engine(address, "READ COMMITTED", 1, roll.options(is_present=True))
        self._reader = _engine(address, "REPEATABLE READ", READERS, roll.options(is_present=False))
        self._own = _engine(address, "READ COMMITTED", 1, roll.options(is_present=False))
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="e4-database")
        self._turn = asyncio.Lock()
        self._write_began = math.inf
        self._tasks: set[asyncio.Task[None]] = set()
        roll.follow(self._writer.sync_engine)
        self._thread.start()
        try:
            self._soon(self._prepare(address, prepare)).result()
        except BaseException:
            self.close()
            raise
        sa.event.listen(self._writer.sync_engine, "begin", self._take_turn)

    @property
    def overdue_s(self) -> float:
        """For how long the answer to a write has been missing that ought to be there: a connection can hang for many minutes."""
        return max(time.monotonic() - self._write_began - _WRITE_WITHIN_S, 0.0)

    def write(self, call: Callable[[sa.Connection], T]) -> Future[T]:
        return self._soon(self._written(call))

    def read(self, call: Callable[[sa.Connection], T]) -> Future[T]:
        return self._soon(greenlet_spawn(transact, self._reader.sync_engine, call))

    def write_own(self, call: Callable[[sa.Connection], T]) -> Future[T]:
        return self._soon(greenlet_spawn(transact, self._own.sync_engine, call))

    def close(self) -> None:
        self._soon(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _soon(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Not ended by whoever waits for it: half a transaction would be all that is left of a connection."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._loop.call_soon_threadsafe(self._begin, _fulfil(future, work))
        return future

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _written(self, call: Callable[[sa.Connection], T]) -> T:
        async with self._turn:
            self._write_began = time.monotonic()
            try:
                with self._roll.transaction():
                    return await greenlet_spawn(transact, self._writer.sync_engine, call)
            finally:
                self._write_began = math.inf

    def _take_turn(self, db: sa.Connection) -> None:
        """The first statement of a transaction that writes. Raises: StorageError: another release has migrated the schema."""
        found = db.scalar(_TURN)
        if found != newest():
            raise StorageError(f"{self._where} was brought to another release meanwhile ({found}); start that one")

    async def _prepare(self, address: Address, prepare: Prepare) -> None:
        kind = _KINDS[address.kind]
        try:
            async with self._writer.connect() as db:
                if (db.dialect.server_version_info or kind.oldest) < kind.oldest:
                    oldest = ".".join(map(str, kind.oldest))
                    raise StorageError(
                        f"{self._where}: the server is too old; {address.kind} has to be {oldest} or later"
                    )
                if (await db.exec_driver_sql(kind.lock)).scalar() == 0:
                    raise StorageError(
                        f"another C2 is changing {self._where} to its release; start this one after that"
                    )
                try:
                    await db.run_sync(prepare, self._where)
                    await db.commit()
                finally:
                    await db.rollback()
                    await db.exec_driver_sql(kind.unlock)
        except (sa.exc.DBAPIError, OSError, TimeoutError) as error:
            how = " over TLS" if address.tls else ""
            raise StorageError(f"{self._where} cannot be used as a database{how}: {_reason(error)}") from None

    async def _end(self) -> None:
        await asyncio.gather(*(each for each in self._tasks if each is not asyncio.current_task()))
        for engine in (self._writer, self._reader, self._own):
            await engine.dispose()


async def _fulfil(future: Future[T], work: Coroutine[Any, Any, T]) -> None:
    try:
        future.set_result(await work)
    # The border between two threads: whoever waits in the other one is told, whatever it was.
    except BaseException as error:
        future.set_exception(error)


def _engine(address: Address, isolation: str, connections: int, options: Mapping[str, Any]) -> AsyncEngine:
    """Raises: StorageError: the extra is not installed; the password or the certificates cannot be read."""
    kind = _KINDS[address.kind]
    password = read_password(address.password_file) if address.password_file else None
    url = sa.URL.create(kind.driver, address.user, password, address.host, address.port, address.name)
    try:
        engine = create_async_engine(
            url,
            hide_parameters=True,
            execution_options=dict(options),
            isolation_level=isolation,
            connect_args={**kind.arguments, **_tls(address)},
            pool_size=connections,
            max_overflow=0,
            pool_pre_ping=True,
        )
    except ModuleNotFoundError as error:
        raise StorageError(
            f"{address.kind} needs the extra {kind.extra}: pip install 'e4core[{kind.extra}]'"
        ) from error

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for statement in kind.first:
            cursor.execute(statement)
        cursor.close()

    return engine


def _tls(address: Address) -> dict[str, Any]:
    if not address.tls:
        return {"ssl": False} if address.kind == "postgresql" else {}
    try:
        return {"ssl": ssl.create_default_context(cafile=address.ca)}
    except OSError as error:
        raise StorageError(f"the certificates {address.ca} cannot be used: {error}") from error


def _reason(error: Exception) -> object:
    return error.orig if isinstance(error, sa.exc.DBAPIError) else error
