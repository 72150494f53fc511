# SPDX-License-Identifier: Apache-2.0
"""Where an MQTT broker is and how to talk to it, parsed once from its URI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from e4core import files
from e4core.errors import InvalidInput, StorageError

_MAX_KEEPALIVE_S = 65_535


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """``mqtt://[user@]host[:1883]?option=value&...`` or, with TLS, ``mqtts://[user@]host[:8883]?...``.

    Attributes: max_qos: highest QoS that is used. keepalive_s: seconds of silence after which the link is tested.
    timeout_s: seconds allowed for the first connection.
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

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, uri: str) -> BrokerAddress:
        """Raises: InvalidInput: with what is wrong, never with a password that stands in the URI."""
        parts = _split(uri)
        tls = parts.scheme == "mqtts"
        if parts.password is not None:
            _refuse("a password does not belong into a URI; put it into a file and say ?password-file=PATH")
        if not parts.hostname or parts.path not in ("", "/") or parts.fragment:
            _refuse("an MQTT URI has the form mqtt://[user@]host[:port]?option=value or mqtts://...")
        address = cls(_host(parts.hostname), _port(parts, tls), tls, unquote(parts.username or ""))
        return _checked(replace(address, **_options(parts.query)))


def read_password(path: Path) -> str:
    """The first line of ``path``.

    Raises: StorageError: it cannot be read, is not private, or its first line is empty or no password.
    """
    try:
        password = files.first_line(path).decode()
    except UnicodeDecodeError:
        # from None: the chained error would hold the password
        raise StorageError(f"the first line of {path} is no password: it is not UTF-8 text") from None
    if not password:
        raise StorageError(f"the password file {path} is empty; its first line is the password")
    return password


def _split(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
    except ValueError:
        _refuse("the host of this MQTT URI cannot be read; an IPv6 address stands in brackets")
    if parts.scheme not in ("mqtt", "mqtts"):
        _refuse("an MQTT URI begins with mqtt:// or mqtts://")
    return parts


def _host(host: str) -> str:
    try:
        host.encode("idna")
    except UnicodeError:
        _refuse("the host of this MQTT URI is no valid name")
    return host


def _port(parts: SplitResult, tls: bool) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is None:
        return 8883 if tls else 1883
    return port or _refuse("the port of an MQTT URI is a number from 1 to 65535")


def _options(query: str) -> dict[str, Any]:
    """Fields of `BrokerAddress` by name."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        _refuse("the options of an MQTT URI have the form ?name=value&name=value")
    fields: dict[str, Any] = {}
    for name, text in pairs:
        if name not in _OPTIONS:
            _refuse(f"an MQTT URI has no option {name!r}; known: {', '.join(_OPTIONS)}")
        field, parse, meaning = _OPTIONS[name]
        if field in fields:
            _refuse(f"the option {name} stands twice in this MQTT URI")
        try:
            fields[field] = parse(text)
        except (ValueError, KeyError):
            _refuse(f"the option {name} of an MQTT URI is {meaning}")
    return fields


def _checked(address: BrokerAddress) -> BrokerAddress:
    if not address.tls and (address.ca or address.cert or address.key):
        _refuse("the options ca, cert and key need TLS: begin the URI with mqtts://")
    if address.key and not address.cert:
        _refuse("the option key needs the option cert: the client certificate that belongs to it")
    if address.password_file and not address.user:
        _refuse("the option password-file needs a user: mqtt://user@host")
    return address


def _refuse(text: str) -> NoReturn:
    raise InvalidInput(text, kind="bad_uri") from None


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


def _seconds(text: str) -> float:
    if not 0 < (seconds := float(text)) <= _MAX_KEEPALIVE_S:
        raise ValueError
    return seconds


def _whole_seconds(text: str) -> int:
    if not 0 < (seconds := int(text)) <= _MAX_KEEPALIVE_S:
        raise ValueError
    return seconds


_OPTIONS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "version": ("version", {"3.1.1": "3.1.1", "5": "5"}.__getitem__, "3.1.1 or 5"),
    "qos": ("max_qos", {"0": 0, "1": 1, "2": 2}.__getitem__, "0, 1 or 2"),
    "password-file": ("password_file", _path, "the path of a file"),
    "ca": ("ca", _path, "the path of a file of PEM certificates"),
    "cert": ("cert", _path, "the path of a PEM certificate"),
    "key": ("key", _path, "the path of a PEM private key"),
    "keepalive": ("keepalive_s", _whole_seconds, "1 to 65535 whole seconds"),
    "timeout": ("timeout_s", _seconds, "a number of seconds above 0"),
}
