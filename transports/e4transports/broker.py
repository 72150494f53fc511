# SPDX-License-Identifier: Apache-2.0
"""A broker to embed: amqtt in the process, for trying things out and for small fleets without a broker of their own.

What amqtt 0.12 does and does not:

* MQTT 3.1.1 only, and no TLS here: beyond this machine others can read the password on its way.
* It looks at a password only after it has ended or taken over the session with the client id that somebody claims. So nobody gets
  as far as amqtt without the password: each CONNECT is looked at before.
* It wedges a QoS 2 publisher whose link was lost (it never answers a PUBREL that is sent again), so that its URI says ``qos=1``:
  messages may arrive twice.
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
from functools import partial
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from amqtt.adapters import BufferReader, StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BaseContext
from amqtt.errors import AMQTTError, MQTTError, NoDataError
from amqtt.mqtt.connack import NOT_AUTHORIZED, UNACCEPTABLE_PROTOCOL_VERSION, ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import MQTTFixedHeader
from amqtt.plugins.base import BaseAuthPlugin, BasePlugin
from amqtt.session import OutgoingApplicationMessage, Session

from e4core.errors import InvalidInput, TransportError
from e4transports.address import read_password

_LOG = logging.getLogger(__name__)
_USER = "e4"
_LISTENER = "default"
_MQTT_3_1_1 = 4
_CONNECT_MAX_LEN = 65_536
_CONNECT_WITHIN_S = 10
_REFUSED = (OSError, AMQTTError, MQTTError, NoDataError)
"""What bytes from a stranger may raise; a timeout is an `OSError`."""


class EmbeddedBroker:
    """A broker for as long as the ``async with`` lasts, in the same event loop."""

    def __init__(self, password_file: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        """Not yet listening.

        Args: password_file: its first line is the password that all clients give, as user ``e4``; nobody gets in without.
            port: 0 takes a free one.
        Raises: InvalidInput: ``host`` is no IP address.
        """
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise InvalidInput(
                f"the embedded broker listens at an IP address, as 127.0.0.1; {host!r} is none"
            ) from None
        self._host = host
        self._port = port
        self._password_file = password_file
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        """Where it listens, for `e4transports.mqtt`; names the password file, which holds the secret."""
        options = {"version": "3.1.1", "qos": "1", "password-file": str(self._password_file.absolute())}
        return f"mqtt://{_USER}@{self._bracketed}:{self._port}?{urlencode(options, safe='/', quote_via=quote)}"

    @property
    def _bracketed(self) -> str:
        """The host as it stands in a URI."""
        return f"[{self._host}]" if ":" in self._host else self._host

    async def __aenter__(self) -> Self:
        """Listen. Raises: TransportError: the port is in use, or not allowed; StorageError: the password file."""
        _quieten()
        entrance = _Entrance(Broker(_config()), read_password(self._password_file))
        broker = entrance.broker
        await broker.start()
        try:
            self._server = await asyncio.start_server(partial(self._connected, entrance), self._host, self._port)
        except OSError as error:
            await broker.shutdown()
            where, why = f"{self._bracketed}:{self._port}", error.strerror
            if error.errno == errno.EADDRINUSE:
                why = f"the port is in use; choose another one with E4_BROKER=embedded://{self._bracketed}:PORT"
            raise TransportError(f"the embedded broker cannot listen at {where}: {why}") from error
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

    def _connected(self, entrance: _Entrance, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(entrance.serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(partial(self._ended, writer))

    def _ended(self, writer: asyncio.StreamWriter, connection: asyncio.Task[None]) -> None:
        # here, since a task that is cancelled before its first step cleans nothing up
        writer.transport.abort()
        self._connections.discard(connection)
        if not connection.cancelled() and (error := connection.exception()):
            _LOG.warning("amqtt dropped a connection: %r", error)


class _Entrance:
    """Leads those who know the password to the broker."""

    def __init__(self, broker: Broker, password: str) -> None:
        self.broker = broker
        self._password = password.encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end; sockets are ours, as amqtt leaves those open that were reset."""
        with suppress(OSError):
            output = StreamWriterAdapter(writer)
            opening = await self._admit(StreamReaderAdapter(reader), output)
            if opening is not None:
                await self.broker.external_connected(_Replayed(reader, opening), output, _LISTENER)
            writer.close()
            await writer.wait_closed()

    async def _admit(self, reader: StreamReaderAdapter, output: StreamWriterAdapter) -> bytes | None:
        """The CONNECT of somebody who may come in, which amqtt is to read again; None: refused, or no CONNECT."""
        try:
            async with asyncio.timeout(_CONNECT_WITHIN_S):
                head = await MQTTFixedHeader.from_stream(reader)
                if head is None or head.remaining_length > _CONNECT_MAX_LEN:
                    return None
                body = await reader.read(head.remaining_length)
            # amqtt's own parser, so that it will see there what is seen here
            connect = await ConnectPacket.from_stream(BufferReader(body), head)
        except (*_REFUSED, asyncio.IncompleteReadError):
            return None
        if connect.proto_level == _MQTT_3_1_1 and self._knows(connect):
            return bytes(head.to_bytes() + body)
        code = NOT_AUTHORIZED if connect.proto_level == _MQTT_3_1_1 else UNACCEPTABLE_PROTOCOL_VERSION
        await ConnackPacket.build(0, code).to_stream(output)
        return None

    def _knows(self, connect: ConnectPacket) -> bool:
        password = (connect.password or "").encode()
        return hmac.compare_digest(password, self._password) and connect.username == _USER


class _Replayed(StreamReaderAdapter):
    """A stream, of which the beginning was read already."""

    def __init__(self, reader: asyncio.StreamReader, beginning: bytes) -> None:
        super().__init__(reader)
        self._beginning = BytesIO(beginning)

    async def read(self, n: int = -1) -> bytes:
        return self._beginning.read(n) or await super().read(n)


class Admitted(BaseAuthPlugin):
    """Nobody is here whom `_Entrance` has not let in.

    amqtt's own plugin for anonymous access marks the session so that nothing is queued for it and it is soon deleted.
    """

    async def authenticate(self, *, session: Session) -> bool:
        return True


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


def _config() -> dict[str, object]:
    plugins = {f"{each.__module__}.{each.__name__}": dict[str, object]() for each in (Admitted, Reminder)}
    return {"listeners": {_LISTENER: {"type": "external"}}, "plugins": plugins}


def _quieten() -> None:
    # amqtt tells at INFO what each packet is; a level that somebody has set is left alone
    for name in ("amqtt", "transitions"):
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)
