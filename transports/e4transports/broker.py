# SPDX-License-Identifier: Apache-2.0
"""A broker to embed: amqtt in the process, for trying things out and for small fleets without a broker of their own.

What amqtt 0.12 does and does not:

* MQTT 3.1.1 only, and no TLS here. It wedges a QoS 2 publisher whose link was lost (it never answers a PUBREL that is sent again),
  so that its URI says ``qos=1``: messages may arrive twice.
* Everything is in memory: queues and sessions end with the process.
* A session with a client id gets what was published while it was away. amqtt by itself forgets what is on its way to a
  session at the moment its link breaks (it drops what waits to be acknowledged); `Reminder` mends that for QoS 1, so that such
  messages are sent again on the next connection, perhaps twice and perhaps after younger ones.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import logging
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BasePlugin
from amqtt.session import OutgoingApplicationMessage, Session

from e4core.errors import InvalidInput, TransportError
from e4transports.address import read_password

_LOG = logging.getLogger(__name__)
_USER = "e4"


class EmbeddedBroker:
    """A broker for as long as the ``async with`` lasts, in the same event loop."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, password_file: Path | None = None) -> None:
        """Not yet listening.

        Args: port: 0 takes a free one.  password_file: its first line is the password that all clients give, as user ``e4``.
        Raises: InvalidInput: ``host`` is no IP address, or can be reached from elsewhere and there is no password.
        """
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            raise InvalidInput(
                f"the embedded broker listens at an IP address, as 127.0.0.1; {host!r} is none"
            ) from None
        if not loopback and not password_file:
            raise InvalidInput("an embedded broker that others can reach needs a password_file; or listen at 127.0.0.1")
        self._host = host
        self._port = port
        self._password_file = password_file
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        """Where it listens, for `e4transports.mqtt`; names the password file, if there is one."""
        options = {"version": "3.1.1", "qos": "1"}
        user = ""
        if self._password_file:
            options["password-file"] = str(self._password_file)
            user = f"{_USER}@"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"mqtt://{user}{host}:{self._port}?{urlencode(options, quote_via=quote)}"

    async def __aenter__(self) -> Self:
        """Listen. Raises: TransportError: the port is in use, or not allowed; StorageError: the password file."""
        _quieten()
        if self._password_file:
            read_password(self._password_file)
        broker = Broker(self._config())
        await broker.start()
        try:
            self._server = await asyncio.start_server(partial(self._connected, broker), self._host, self._port)
        except OSError as error:
            await broker.shutdown()
            why = "the port is in use; choose another one" if error.errno == errno.EADDRINUSE else error.strerror
            raise TransportError(f"the embedded broker cannot listen at {self._host}:{self._port}: {why}") from error
        self._broker = broker
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._server.close()
        await self._broker.shutdown()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _config(self) -> dict[str, object]:
        file = str(self._password_file) if self._password_file else None
        return {
            "listeners": {"default": {"type": "external"}},
            "plugins": {f"{__name__}.Door": {"password_file": file}, f"{__name__}.Reminder": {}},
        }

    def _connected(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(_serve(broker, reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(partial(self._ended, writer))

    def _ended(self, writer: asyncio.StreamWriter, connection: asyncio.Task[None]) -> None:
        # here, since a task that is cancelled before its first step cleans nothing up
        writer.transport.abort()
        self._connections.discard(connection)
        if not connection.cancelled() and (error := connection.exception()):
            _LOG.warning("amqtt dropped a connection: %r", error)


async def _serve(broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let amqtt serve one connection, but listen and clean up ourselves: it leaves sockets open that were reset."""
    with suppress(OSError):
        await broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), "default")
        writer.close()
        await writer.wait_closed()


class Door(BaseAuthPlugin):
    """Who may connect: all, or those who know the password.

    amqtt's own plugin for anonymous access marks the session so that nothing is queued for it and it is soon deleted.
    """

    @dataclass
    class Config:
        password_file: str | None = None

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        path = self._get_config_option("password_file")
        self._password = read_password(Path(path)) if path else None

    async def authenticate(self, *, session: Session) -> bool:
        if self._password is None:
            return True
        user_is_right = session.username == _USER
        return hmac.compare_digest((session.password or "").encode(), self._password.encode()) and user_is_right


class Reminder(BasePlugin[BaseContext]):
    """Keeps what was sent to a session until it is acknowledged."""

    async def on_broker_client_connected(self, *, client_id: str, client_session: Session) -> None:
        if not isinstance(client_session.inflight_out, _Unacknowledged):
            client_session.inflight_out = _Unacknowledged(client_session.inflight_out)


class _Unacknowledged(OrderedDict[int, OutgoingApplicationMessage]):
    """amqtt takes a message out when it no longer waits for the answer, for whatever reason; only an answer is one here."""

    def pop(self, packet_id: int, default: Any = None) -> Any:
        message = self.get(packet_id)
        if message and message.qos == 1 and not message.puback_packet:
            return default
        return super().pop(packet_id, default)


def _quieten() -> None:
    # amqtt tells at INFO what each packet is; a level that somebody has set is left alone
    for name in ("amqtt", "transitions"):
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)
