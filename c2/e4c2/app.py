# SPDX-License-Identifier: Apache-2.0
"""The composition root: here alone are the parts of a C2 chosen, opened and put together.

It starts whole or not at all: whatever is missing, locked, foreign or out of reach is one error before anything is served.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa

from e4backends.modules import Modules
from e4c2 import approved, formats, steering, tokens
from e4c2.access.grants import WHOLE
from e4c2.access.limits import Limits
from e4c2.api import http, listener, monitoring
from e4c2.api.certificates import Certificates
from e4c2.api.forwarded import Forwarded
from e4c2.api.listener import Listener
from e4c2.api.own import public_uri
from e4c2.api.parts import C2
from e4c2.audit import chain
from e4c2.audit.checkpoints import Pace
from e4c2.audit.records import Act
from e4c2.delivery import Courier
from e4c2.events.dispatch import Dispatcher
from e4c2.events.feed import Feed
from e4c2.locksmith import Locksmith
from e4c2.model import realm as realm_table
from e4c2.notary import Notary
from e4c2.presence import Presence
from e4c2.rows import Realm
from e4c2.running import run
from e4c2.settings import Settings
from e4c2.store.engine import Store
from e4c2.store.first_start import is_new, open_realm
from e4c2.telemetry.instruments import Instruments
from e4c2.telemetry.metrics import Metrics
from e4c2.telemetry.tracing import traced
from e4c2.token_keys import TokenKeys
from e4c2.tokens import Token
from e4core import files
from e4core.errors import InvalidInput, NotFound, StorageError
from e4core.keys import Secret
from e4core.kms import Kms
from e4core.plugins import load_kms, load_suite, load_transport
from e4core.suite import Suite
from e4core.uri import path as path_in
from e4kms import file as kek_file
from e4kms.breaker import Breaker
from e4kms.keyring import Lease
from e4transports.broker import EmbeddedBroker

if TYPE_CHECKING:
    from e4c2.grpc.server import Server
    from e4c2.oidc.issuer import Issuer

Clock = Callable[[], float]

log = logging.getLogger(__name__)

EMBEDDED = "embedded:"
REPLICA_LEN = 16
_FILE = "file:"
ADMIN = "admin"
STARTED, ADMIN_TOKEN_MADE = "c2_started", "admin_token_made"
"""Acts of the C2 by itself, as the audit log calls them."""
LOOPBACK = IPv4Address("127.0.0.1")
RELEASE = version("e4core")


@dataclass(frozen=True, slots=True)
class Started:
    """What an operator is told when the API listens."""

    url: str
    grpc: str | None
    """Address and port of the gRPC API; None: there is none."""
    broker: str
    """Where devices meet; of the embedded broker with all that one on this machine needs, of another without credentials."""
    admin_token_file: Path | None
    """Holds the first token; None: whoever took it into use has removed it."""
    admin_token: Secret | None
    """The first token, at the start that made it."""
    metrics: str | None = None
    """Where they are for whoever is on this machine; None: nowhere."""
    reload: Callable[[], object] = int
    """Reads the certificates anew."""


async def serve(settings: Settings, tell: Callable[[Started], object], clock: Clock = time.time) -> None:
    """Run a C2 until it is cancelled; then finish running requests, and close everything.

    Args: tell: called when the API listens.  clock: Unix seconds.
    Raises: E4Error: the C2 cannot start, or a part of it failed: it is never left half alive.
    """
    async with AsyncExitStack() as stack:
        certificates = Certificates.of(settings)
        bound = stack.enter_context(closing(listener.bind(settings.host, settings.port)))
        local = _bind_local(stack, settings)
        rpc = await stack.enter_async_context(_grpc(settings))
        c2, admin_token = await stack.enter_async_context(open_c2(settings, clock, certificates))
        file = settings.admin_token_file
        started = Started(
            url=listener.url(settings, bound),
            grpc=rpc.address if rpc else None,
            broker=c2.broker if _is_embedded(settings) else public_uri(c2.broker),
            admin_token_file=file if file.exists() else None,
            admin_token=admin_token,
            metrics=f"http://{LOOPBACK}:{local.getsockname()[1]}/metrics" if local else None,
            reload=certificates.reload if certificates else int,
        )
        api = http.build(c2)
        tls = certificates.context if certificates else None
        door = Forwarded(api, settings.trusted_proxies)
        listeners = [(Listener(door, tls, lambda: tell(started)), bound)]
        if local:
            listeners.insert(0, (Listener(monitoring.for_this_machine(api), None), local))
        if rpc:
            await rpc.start(door)
        presence = Presence(c2.store, c2.realm, c2.courier, c2.locksmith)
        steer = steering.run(c2.store, c2.realm, c2.courier.wake)
        webhooks = Dispatcher(c2.store, c2.realm, settings.events_kept_s)
        work = [
            presence.run(),
            c2.courier.run(),
            c2.locksmith.run(),
            steer,
            c2.feed.run(),
            webhooks.run(),
            c2.notary.run(),
        ]
        work += [certificates.run()] if certificates else []
        await run(listeners, rpc, c2.feed, c2.courier, work)


@asynccontextmanager
async def open_c2(
    settings: Settings, clock: Clock = time.time, certificates: Certificates | None = None
) -> AsyncIterator[tuple[C2, Secret | None]]:
    """A C2 that is connected but does nothing yet, and the text of its first token if this made it.

    Raises: Conflict: another server uses it; the database is of another suite. KmsError. StorageError. TransportError.
    PluginError. InvalidInput.
    """
    async with AsyncExitStack() as stack:
        metrics, tracer = Metrics(RELEASE), stack.enter_context(traced(settings.traces_to, RELEASE))
        instruments = Instruments(metrics, tracer)
        store, realm, locksmith, database_id = await _open_store(stack, settings, clock, instruments)
        admin_token = await store.write(_first_token, realm, settings.admin_token_file)
        files.check(settings.admin_token_file)
        broker = await _broker(stack, settings)
        link = _Link.of(store, realm, database_id, broker)
        transport = await stack.enter_async_context(load_transport(link.uri, link.client_id))
        await store.write(chain.append, realm, Act(STARTED))
        courier = Courier(store, realm, transport, tracer)
        feed = Feed(store, realm, settings.events_kept_s)
        notary = Notary(store, realm, transport, settings.audit_topic, Pace(settings.audit_checkpoint_s))
        issuer = _issuer(settings)
        limits = Limits(settings.requests_per_s, settings.failures_per_min)
        parts = (courier, locksmith, broker, metrics, feed, notary, limits, _folders(settings), certificates)
        above = settings.four_eyes_above if settings.four_eyes else None
        traffic = (settings.protect, settings.unprotect)
        yield C2(store, realm, transport, *parts, issuer, tracer, above, *traffic), admin_token


async def recover(settings: Settings, clock: Clock = time.time) -> tuple[Token, Secret]:
    """Make a token for an operator who has none any more, and write it to the file of the first; others stay valid.

    Who may read KEK and database may do this, nobody else can.
    Raises: NotFound: there is no database. Conflict: a C2 is at work; the database is of another suite. KmsError. StorageError.
    PluginError.
    """
    if isinstance(settings.place, Path) and not settings.place.exists():
        raise NotFound(f"there is no database {settings.place}; are these the settings of the C2?")
    async with AsyncExitStack() as stack:
        store, realm, *_ = await _open_store(stack, settings, clock, Instruments(Metrics(RELEASE)))
        return await store.write(admin_token, realm, settings.admin_token_file)


async def _open_store(
    stack: AsyncExitStack, settings: Settings, clock: Clock, instruments: Instruments
) -> tuple[Store, Realm, Locksmith, bytes]:
    """Database, realm, locksmith and database id, for this process alone."""
    suite = load_suite(settings.suite)
    _check_grace(suite, settings.grace_s)
    if settings.require_fips:
        approved.require(
            suite, settings.kms, settings.c2_key, Modules.of_this_process(), settings.grpc_port is not None
        )
    token_keys = TokenKeys(settings.c2_key, suite) if settings.c2_key else None
    files.make_folder(settings.data)
    place = settings.place
    for path in (settings.data / "c2.lock", *([lock_of(place)] if isinstance(place, Path) else [])):
        in_use = f"another server holds {path}; stop it, or give each a data directory and a database of its own"
        stack.callback(files.Lock.take(path, in_use).release)
    if token_keys:
        stack.callback(token_keys.close)
    store, kmses = await _open_database(stack, settings, instruments)
    lease = Lease(settings.keys_held_s, settings.keys_used)
    realm, database_id = await store.write(_open_realm, suite, kmses, clock, lease, token_keys)
    realm = replace(
        realm,
        grace_s=settings.grace_s,
        evictions_wait_s=settings.evictions_wait_s,
        replica=_replica(settings.replica_file),
        confirmed=instruments.metrics.confirmed,
        revoke_within_s=settings.revoke_within_s,
        expires_s=settings.commands_expire_s,
    )
    stack.callback(realm.close)
    for uri in sorted(realm.keyring.passed_over):
        log.warning("%s did not answer; the next KMS did", uri)
    return store, realm, Locksmith(store, realm, database_id, kmses, lease), database_id


def _issuer(settings: Settings) -> Issuer | None:
    """Of OIDC tokens; it is asked for nothing yet. Raises: StorageError: of its CA."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    from e4c2.oidc.issuer import Issuer
    from e4c2.oidc.keys import Keys

    try:
        tls = ssl.create_default_context(cafile=settings.oidc_ca)
    except OSError as error:
        text = f"{settings.oidc_ca} cannot be used as CA of the issuer: {error.strerror or error}"
        raise StorageError(text) from error
    keys = Keys(settings.oidc_issuer, tls)
    return Issuer(settings.oidc_issuer, settings.oidc_audience, settings.oidc_groups, keys)


@asynccontextmanager
async def _grpc(settings: Settings) -> AsyncIterator[Server | None]:
    """The gRPC server, bound but not started; None: the settings want none, and nothing of it is loaded."""
    if settings.grpc_port is None:
        yield None
        return
    from e4c2.grpc.server import Server

    server = Server(settings)
    try:
        yield server
    finally:
        await server.abort()


def _bind_local(stack: AsyncExitStack, settings: Settings) -> socket.socket | None:
    if settings.metrics_port is None:
        return None
    return stack.enter_context(closing(listener.bind(LOOPBACK, settings.metrics_port, "metrics_port")))


def _open_realm(
    db: sa.Connection,
    suite: Suite,
    kmses: Mapping[str, Kms],
    clock: Clock,
    lease: Lease,
    token_keys: TokenKeys | None,
) -> tuple[Realm, bytes]:
    realm = open_realm(db, suite, kmses, clock, lease, token_keys)
    return realm, db.scalars(sa.select(realm_table.c.database_id)).one()


def _check_grace(suite: Suite, grace_s: int) -> None:
    fixed = formats.of(suite).fixed_grace_s
    if fixed not in (None, grace_s):
        raise InvalidInput(
            f"in the suite {suite.name} devices keep a former topic key for {fixed} s; leave out grace_s",
            kind="bad_setting",
        )


def lock_of(database: Path) -> Path:
    """What who uses an SQLite database alone holds: one lock for all of its names."""
    real = Path(os.path.realpath(database))
    return real.parent / f"{real.name}.lock"


async def _open_database(
    stack: AsyncExitStack, settings: Settings, instruments: Instruments
) -> tuple[Store, dict[str, Kms]]:
    place = settings.place
    if isinstance(place, Path):  # nothing is made before the KMSes are known to be such
        kmses = open_kmses(stack, settings, instruments, not place.exists())
        return stack.enter_context(closing(Store(place, instruments.transaction))), kmses
    if _is_embedded(settings):
        raise InvalidInput(
            "a database at a server is for any number of C2, which need one broker: name it in the setting broker",
            kind="bad_setting",
        )
    store = stack.enter_context(closing(Store(place, instruments.transaction)))
    return store, open_kmses(stack, settings, instruments, await store.read(is_new))


def _replica(path: Path) -> bytes:
    """Which of the C2 on one database this is, made at the first start in this data directory. Raises: StorageError."""
    if not path.exists():
        files.create(path, os.urandom(REPLICA_LEN).hex().encode() + b"\n")
    try:
        found = bytes.fromhex(files.first_line(path).decode())
    except ValueError:
        found = b""
    if len(found) != REPLICA_LEN:
        raise StorageError(f"{path} does not name a replica; remove it, and the next start makes another")
    return found


def open_kmses(
    stack: AsyncExitStack, settings: Settings, instruments: Instruments, is_new: bool = False
) -> dict[str, Kms]:
    """By the URI of the settings, in their order. A KEK file is made only where no database could need another one."""
    if is_new:
        for path in kek_files(settings):
            kek_file.create(path)
    return {
        uri: stack.enter_context(
            closing(
                Breaker(_where(settings, uri), load_kms, watch=instruments.kms(f"{number} {uri.partition(':')[0]}"))
            )
        )
        for number, uri in enumerate(settings.kms, 1)
    }


def kek_files(settings: Settings) -> list[Path]:
    """Those that the settings name."""
    return [settings.data / kek_file.path_of(uri) for uri in settings.kms if uri.startswith(_FILE)]


def _where(settings: Settings, uri: str) -> str:
    return (settings.data / kek_file.path_of(uri)).absolute().as_uri() if uri.startswith(_FILE) else uri


@dataclass(frozen=True, slots=True)
class _Link:
    """How this C2 meets the broker: alone it keeps its session; one of several does not."""

    uri: str
    client_id: str

    @classmethod
    def of(cls, store: Store, realm: Realm, database_id: bytes, broker: str) -> _Link:
        name = f"e4-c2-{database_id.hex()}"
        if not store.is_shared:
            return cls(broker, name)
        # what a broker keeps for one that is gone would wait there, though others could take it
        sessionless = f"{broker}{'&' if '?' in broker else '?'}session=0"
        return cls(sessionless, f"{name}-{realm.replica.hex()}")


def _is_embedded(settings: Settings) -> bool:
    return settings.broker.startswith(EMBEDDED)


def _folders(settings: Settings) -> tuple[Path, ...]:
    """Where it writes."""
    place = settings.place
    return (settings.data, place.parent) if isinstance(place, Path) else (settings.data,)


async def _broker(stack: AsyncExitStack, settings: Settings) -> str:
    """URI of the broker, started first if it is the embedded one."""
    if not _is_embedded(settings):
        files.discard(settings.broker_uri_file)
        return settings.broker
    broker = await stack.enter_async_context(_embedded(settings))
    files.replace(settings.broker_uri_file, broker.uri.encode() + b"\n")
    return broker.uri


def _embedded(settings: Settings) -> EmbeddedBroker:
    """Raises: InvalidInput (``bad_uri``). StorageError."""
    try:
        parts = urlsplit(settings.broker)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        host, port = parts.hostname or "", parts.port
        named = options.pop("password-file", None)
        password_file = None if named is None else path_in(named)
    except ValueError:
        host, port, options, password_file = "", None, {}, None
    if not host or port is None or parts.path or parts.username is not None or options:
        raise InvalidInput(
            f"the embedded broker is named {EMBEDDED}//ADDRESS:PORT or {EMBEDDED}//ADDRESS:PORT?password-file=PATH",
            kind="bad_uri",
        )
    return EmbeddedBroker(password_file or _broker_password(settings), host, port)


def _broker_password(settings: Settings) -> Path:
    """The file of a password that nobody chose, made if it is missing. Raises: StorageError."""
    path = settings.broker_password_file
    if not path.exists():
        files.create(path, secrets.token_urlsafe(32).encode() + b"\n")
    return path


def _first_token(db: sa.Connection, realm: Realm, path: Path) -> Secret | None:
    """Make a token if nobody has one that is valid: at the first start, or when all are revoked or expired."""
    return None if tokens.is_any_valid(db, realm) else admin_token(db, realm, path)[1]


def admin_token(db: sa.Connection, realm: Realm, path: Path) -> tuple[Token, Secret]:
    """Make a token, and write it to ``path`` before it is committed; a crash between the two leaves a file of no use."""
    made, text = tokens.create(db, realm, ADMIN, grants=WHOLE)
    chain.append(db, realm, Act(ADMIN_TOKEN_MADE, objects=(f"token:{made.id}",)))
    files.replace(path, text + b"\n")
    return made, text
