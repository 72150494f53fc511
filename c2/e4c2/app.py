# SPDX-License-Identifier: Apache-2.0
"""The composition root: here alone are the parts of a C2 chosen, opened and put together.

It starts whole or not at all: whatever is missing, locked, foreign or out of reach is one error before anything is served.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa

from e4c2 import tokens
from e4c2.api import http, listener
from e4c2.api.listener import Listener
from e4c2.api.own import public_uri
from e4c2.api.parts import C2
from e4c2.delivery import Courier
from e4c2.model import realm as realm_table
from e4c2.model import token
from e4c2.rows import Realm
from e4c2.settings import Settings
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.errors import Conflict, InvalidInput, StorageError
from e4core.keys import Secret
from e4core.kms import Kms
from e4core.plugins import load_kms, load_suite, load_transport
from e4core.suite import Suite
from e4kms import file as kek_file
from e4transports.broker import EmbeddedBroker

Clock = Callable[[], float]

EMBEDDED = "embedded:"
ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Started:
    """What an operator is told when the API listens."""

    url: str
    broker: str
    admin_token_file: Path | None
    """Holds the first token; None: whoever took it into use has removed it."""
    admin_token: Secret | None
    """The first token, at the start that made it."""


async def serve(settings: Settings, tell: Callable[[Started], object], clock: Clock = time.time) -> None:
    """Run a C2 until it is cancelled; then finish running requests, and close everything.

    Args: tell: called when the API listens.  clock: Unix seconds.
    Raises: E4Error: the C2 cannot start, or a part of it failed: it is never left half alive.
    """
    tls = listener.tls(settings)
    with closing(listener.bind(settings)) as bound:
        async with open_c2(settings, clock) as (c2, admin_token):
            file = settings.admin_token_file
            started = Started(
                listener.url(settings, bound), public_uri(c2.broker), file if file.exists() else None, admin_token
            )
            server = Listener(http.build(c2), tls, lambda: tell(started))
            await _run(c2.courier, server, bound)


@asynccontextmanager
async def open_c2(settings: Settings, clock: Clock = time.time) -> AsyncIterator[tuple[C2, Secret | None]]:
    """A C2 that is connected but does nothing yet, and the text of its first token if this made it.

    Raises: Conflict: another server uses it; the database is of another suite. KmsError. StorageError. TransportError.
    PluginError. InvalidInput.
    """
    suite = load_suite(settings.suite)
    async with AsyncExitStack() as stack:
        _make_folder(settings.data)
        for path in (settings.data / "c2.lock", _beside(settings.database_file, ".lock")):
            stack.enter_context(_locked(path))
        with closing(_open_kms(settings)) as kms:
            store = stack.enter_context(closing(Store(settings.database_file)))
            realm, database_id = await store.write(_open_realm, suite, kms, settings.kms, clock)
        stack.callback(realm.keyring.close)
        admin_token = await store.write(_first_token, realm, settings.admin_token_file)
        broker = await _broker(stack, settings.broker)
        transport = await stack.enter_async_context(load_transport(broker, f"e4-c2-{database_id.hex()}"))
        yield C2(store, realm, transport, Courier(store, realm, transport), broker), admin_token


async def _run(courier: Courier, server: Listener, bound: socket.socket) -> None:
    """Until cancelled, or one of the two ends; cancelled again it does not wait for running requests."""
    working = asyncio.create_task(courier.run())
    serving = asyncio.create_task(server.serve([bound]))
    try:
        done, _ = await asyncio.wait((working, serving), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            _ended(task)
    finally:
        server.stop()
        try:
            await asyncio.wait((serving,))
        finally:
            for task in (serving, working):
                task.cancel()
            await asyncio.gather(serving, working, return_exceptions=True)


def _ended(task: asyncio.Task[None]) -> None:
    """Raise why; of several causes the first, as they follow from it."""
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    raise error or RuntimeError("a part of the C2 ended for no reason")


def _open_realm(db: sa.Connection, suite: Suite, kms: Kms, uri: str, clock: Clock) -> tuple[Realm, bytes]:
    realm = open_realm(db, suite, {uri: kms}, uri, clock)
    return realm, db.scalars(sa.select(realm_table.c.database_id)).one()


def _open_kms(settings: Settings) -> Kms:
    """A KEK file is made only where no database could need another one."""
    uri = settings.kms
    if uri.startswith("file:"):
        path = settings.data / kek_file.path_of(uri)
        if not settings.database_file.exists():
            kek_file.create(path)
        uri = path.absolute().as_uri()
    kms = load_kms(uri)
    kms.check()
    return kms


async def _broker(stack: AsyncExitStack, uri: str) -> str:
    """URI of the broker, started first if it is the embedded one."""
    if not uri.startswith(EMBEDDED):
        return uri
    return (await stack.enter_async_context(_embedded(uri))).uri


def _embedded(uri: str) -> EmbeddedBroker:
    try:
        parts = urlsplit(uri)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, options = "", None, {}
    password_file = options.pop("password-file", None)
    if not host or port is None or parts.path or parts.username is not None or options or password_file == "":
        raise InvalidInput(
            f"the embedded broker is named {EMBEDDED}//ADDRESS:PORT or {EMBEDDED}//ADDRESS:PORT?password-file=PATH",
            kind="bad_uri",
        )
    return EmbeddedBroker(host, port, Path(password_file) if password_file else None)


def _first_token(db: sa.Connection, realm: Realm, path: Path) -> Secret | None:
    """Make a token if there is none, and write it to ``path`` before it is committed.

    A file that is there already is then of no use: a crash came between it and its commit.
    """
    if db.scalar(sa.select(token.c.id).limit(1)) is not None:
        return None
    _, text = tokens.create(db, realm, ADMIN)
    _write_private(path, text + b"\n")
    return text


def _write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, whole or not at all, that survives a power cut. Raises: StorageError."""
    new = _beside(path, f".{secrets.token_hex(8)}")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path} cannot be the data directory: {error.strerror}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold ``path`` for this process alone; a lock ends with its process, however that ends."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        _lock(fd, path)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(f"another server holds {path}; each needs a data directory and a database of its own") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be locked: {error.strerror}") from error


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
