# SPDX-License-Identifier: Apache-2.0
"""paho's client, made for one broker address; and what its failures mean, in one sentence each.

This is the one place where exceptions of paho, ssl and socket become errors of this project.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import cast

from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, CleanStartOption, Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from e4core.errors import StorageError, TransportError
from e4transports.address import BrokerAddress, read_password
from e4transports.bulk import BulkSocket

INFLIGHT = 20
"""Messages that may be on their way at once; more makes paho slower, since each acknowledgement walks over all of them."""

_RECEIVE_MAXIMUM = 100
"""Messages of QoS 1 and 2 that an MQTT 5 broker may send ahead of our acknowledgements; unsaid it is 65,535."""

_KEPT_SESSION_S = 7 * 24 * 3600
_PASSING_SESSION_S = 300
_RECONNECT_S = (0.2, 5)
_BROKEN_S = 1.0


class PahoClient(Client):
    """A client that survives what breaks paho's network loop, such as a malformed packet, and ends its session when closed.

    Attributes: on_broken: called with what broke it.  on_round: called when paho has read, handled and answered what had arrived.
    Both in paho's thread.
    """

    def __init__(self, address: BrokerAddress, client_id: str) -> None:
        """Raises: StorageError: password, CA, certificate or key cannot be read."""
        modern = address.version == "5"
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or (f"e4-{secrets.token_hex(8)}" if modern else ""),
            clean_session=None if modern else not client_id or address.session_s == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if modern else MQTTProtocolVersion.MQTTv311,
        )
        self.on_broken: Callable[[Exception], None] = lambda _error: None
        self.on_round: Callable[[], None] = lambda: None
        self._address = address
        self._modern = modern
        kept_s = _KEPT_SESSION_S if client_id else _PASSING_SESSION_S
        self._session_s = kept_s if address.session_s is None else address.session_s
        self._keeps_session = bool(client_id) and self._session_s > 0
        self._closing = False
        self._bulk: BulkSocket | None = None
        self.max_inflight_messages_set(INFLIGHT)
        self.reconnect_delay_set(*_RECONNECT_S)  # type: ignore[arg-type]  # any number will do
        self.connect_timeout = address.timeout_s
        if address.user:
            self.username_pw_set(address.user, read_password(address.password_file) if address.password_file else None)
        if address.tls:
            self.tls_set_context(_tls_context(address))

    def start(self) -> None:
        """Connect, and stay connected, in a thread."""
        self._aim()
        self.loop_start()
        if self._sockpairW and self._thread:
            self._sockpairW = cast(socket.socket, _Bell(self._sockpairW, self._thread))

    def say_goodbye(self) -> None:
        """Close, once what is queued for the socket has been written; `loop_stop` then waits for the thread."""
        self._closing = True
        self.disconnect(
            properties=_expiry(PacketTypes.DISCONNECT, 0) if self._modern and not self._keeps_session else None
        )

    def cut(self) -> None:
        """Close at once; for a broker that takes no more."""
        if self._bulk:
            self._bulk.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close all sockets, after the thread has ended; paho itself leaves that to the garbage collector."""
        self._reset_sockets()

    def want_write(self) -> bool:
        return super().want_write() or bool(self._bulk and self._bulk.waits())

    def loop_misc(self) -> MQTTErrorCode:
        self.on_round()
        # at once, rather than after one more look at what has arrived
        lost = self.loop_write() if self.want_write() else MQTTErrorCode.MQTT_ERR_SUCCESS
        if self._bulk:
            self._bulk.flush()
        # of what left at QoS 0 that is the answer
        self.on_round()
        return lost or super().loop_misc()

    def _create_socket(self) -> BulkSocket:
        # paho has no public place for a socket of one's own
        self._bulk = BulkSocket(cast(socket.socket, super()._create_socket()))
        return self._bulk

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        while True:
            try:
                return super().loop_forever(timeout, retry_first_connection)
            # The border to a library: whatever a peer can make it raise would end the thread and leave every caller waiting.
            except Exception as error:
                self.on_broken(error)
                if self._closing:
                    return MQTTErrorCode.MQTT_ERR_PROTOCOL
                time.sleep(_BROKEN_S)
                self._aim()

    def _aim(self) -> None:
        start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY
        properties = None
        if self._modern:
            start = False if self._keeps_session else MQTT_CLEAN_START_FIRST_ONLY
            properties = _expiry(PacketTypes.CONNECT, self._session_s)
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        address = self._address
        self.connect_async(address.host, address.port, address.keepalive_s, clean_start=start, properties=properties)


class _Bell:
    """Wakes paho's thread when there is something to send; that thread itself looks before it sleeps, and need not be woken."""

    def __init__(self, link: socket.socket, sleeper: threading.Thread) -> None:
        self._link = link
        self._sleeper = sleeper.ident
        self.close = link.close

    def send(self, data: bytes) -> int:
        """Raises: BlockingIOError: it has been woken often enough."""
        return len(data) if threading.get_ident() == self._sleeper else self._link.send(data)


def failure(address: BrokerAddress, error: BaseException | None) -> TransportError:
    """Why the connection did not come about."""
    for kind, text in _FAILURES:
        if isinstance(error, kind):
            return TransportError(f"cannot connect to the MQTT broker at {address}: {text.format(_detail(error))}")
    return TransportError(f"the MQTT broker at {address} closed the connection before it was open{_HINT[address.tls]}")


def refusal(address: BrokerAddress, reason: ReasonCode) -> TransportError:
    """Why the broker did not accept the connection."""
    return TransportError(f"the MQTT broker at {address} refused: {reason}{_REFUSALS.get(reason.value, '')}")


def _expiry(packet: int, seconds: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = seconds
    return properties


def _tls_context(address: BrokerAddress) -> ssl.SSLContext:
    """One that checks the server's certificate and host name."""
    try:
        context = ssl.create_default_context(cafile=address.ca)
    except OSError as error:
        raise StorageError(f"the CA certificates in {address.ca} cannot be read: {_detail(error)}") from error
    context.sslsocket_class = _TlsSocket
    if address.cert:
        try:
            # an empty password: without one OpenSSL would ask at the terminal
            context.load_cert_chain(address.cert, address.key, password="")
        except OSError as error:
            files = f"{address.cert} and {address.key}" if address.key else f"{address.cert}"
            raise StorageError(f"the client certificate and key in {files} cannot be read: {_detail(error)}") from error
    return context


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho would leave that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _detail(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


_FAILURES: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate is not accepted ({}); check the host name and the option ca"),
    (ssl.SSLError, "the TLS handshake failed ({}); check the port and the options cert and key"),
    (ConnectionRefusedError, "nothing listens there; check host and port, and that the broker runs"),
    (socket.gaierror, "the host name is not known ({}); check it"),
    (TimeoutError, "it does not answer in time; check host, port, firewalls and the option version"),
    (ConnectionError, "the connection broke ({}); check the port, and whether it is mqtt:// or mqtts://"),
    (OSError, "{}"),
    (Exception, "it does not speak MQTT as expected ({}); check the port and the option version"),
)
_HINT = {
    False: "; does it expect mqtts://, or another option version?",
    True: "; does it expect a client certificate (options cert, key)?",
}
_REFUSALS = {
    132: "; say ?version=3.1.1 in the URI",
    133: "; choose another client id",
    134: "; check the user and the option password-file",
    135: "; check the user, the option password-file and what the broker allows",
}
