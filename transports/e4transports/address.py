# SPDX-License-Identifier: Apache-2.0
"""Where an MQTT broker is and how to talk to it, parsed once from its URI."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from e4core import files
from e4core.errors import StorageError
from e4core.uri import Option, options, path, refuse, seconds

_MAX_KEEPALIVE_S = 65_535
_MAX_SESSION_S = 2**32 - 2
"""One more is for ever (MQTT 5.0, section 3.1.2.11.2)."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """``mqtt://[user@]host[:1883]?option=value&...`` or, with TLS, ``mqtts://[user@]host[:8883]?...``.

    Attributes: max_qos: highest QoS that is used. keepalive_s: seconds of silence after which the link is tested.
    timeout_s: seconds allowed for the first connection.
    session_s: seconds for which the broker keeps a session whose link was lost.
    """

    host: str
    port: int
    tls: bool = False
    user: str = ""
    version: str = "5"
    max_qos: int = 2
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    keepalive_s: int = 60
    timeout_s: float = 10.0
    session_s: int | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, uri: str) -> BrokerAddress:
        """Raises: InvalidInput: with what is wrong, never with a password that stands in the URI."""
        parts = _split(uri)
        tls = parts.scheme == "mqtts"
        if parts.password is not None:
            refuse("a password does not belong into a URI; put it into a file and say ?password-file=PATH")
        if not parts.hostname or parts.path not in ("", "/") or parts.fragment:
            refuse("an MQTT URI has the form mqtt://[user@]host[:port]?option=value or mqtts://...")
        address = cls(_host(parts.hostname), _port(parts, tls), tls, _user(parts.username or ""))
        return _checked(replace(address, **options("an MQTT URI", parts.query, _OPTIONS)))


def read_password(file: Path) -> str:
    """The first line of ``file``.

    Raises: StorageError: it cannot be read, is not private, or its first line is empty or no password.
    """
    try:
        password = files.first_line(file).decode()
    except UnicodeDecodeError:
        # from None: the chained error would hold the password
        raise StorageError(f"the first line of {file} is no password: it is not UTF-8 text") from None
    if not password:
        raise StorageError(f"the password file {file} is empty; its first line is the password")
    return password


def _split(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
    except ValueError:
        refuse("the host of this MQTT URI cannot be read; an IPv6 address stands in brackets")
    if parts.scheme not in ("mqtt", "mqtts"):
        refuse("an MQTT URI begins with mqtt:// or mqtts://")
    return parts


def _host(host: str) -> str:
    try:
        host.encode("idna")
    except UnicodeError:
        refuse("the host of this MQTT URI is no valid name")
    # a resolver would raise what is no OSError
    return host if host.isprintable() else refuse("the host of this MQTT URI has control characters; write its name")


def _user(quoted: str) -> str:
    user = unquote(quoted)
    # MQTT 5.0 section 1.5.4
    return user if "\0" not in user else refuse("the user in this MQTT URI has a NUL, which no broker takes")


def _port(parts: SplitResult, tls: bool) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        return 8883 if tls else 1883
    return port or refuse("the port of an MQTT URI is a number from 1 to 65535")


def _checked(address: BrokerAddress) -> BrokerAddress:
    if not address.tls and (address.ca or address.cert or address.key):
        refuse("the options ca, cert and key need TLS: begin the URI with mqtts://")
    if address.key and not address.cert:
        refuse("the option key needs the option cert: the client certificate that belongs to it")
    if address.password_file and not address.user:
        refuse("the option password-file needs a user: mqtt://user@host")
    return address


def _whole_seconds(text: str) -> int:
    if not 0 < (found := int(text)) <= _MAX_KEEPALIVE_S:
        raise ValueError
    return found


def _any_seconds(text: str) -> int:
    if not 0 <= (found := int(text)) <= _MAX_SESSION_S:
        raise ValueError
    return found


_OPTIONS: dict[str, Option] = {
    "version": ("version", {"3.1.1": "3.1.1", "5": "5"}.__getitem__, "3.1.1 or 5"),
    "qos": ("max_qos", {"0": 0, "1": 1, "2": 2}.__getitem__, "0, 1 or 2"),
    "password-file": ("password_file", path, "the path of a file"),
    "ca": ("ca", path, "the path of a file of PEM certificates"),
    "cert": ("cert", path, "the path of a PEM certificate"),
    "key": ("key", path, "the path of a PEM private key"),
    "keepalive": ("keepalive_s", _whole_seconds, "1 to 65535 whole seconds"),
    "session": ("session_s", _any_seconds, "0 to 4294967294 whole seconds"),
    "timeout": ("timeout_s", seconds(_MAX_KEEPALIVE_S), "a number of seconds above 0"),
}
