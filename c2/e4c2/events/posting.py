# SPDX-License-Identifier: Apache-2.0
"""One POST to a receiver of webhooks: its status is all that is read of the answer, and no redirect is followed."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import h11

from e4core.errors import InvalidInput, TransportError

WITHIN_S = 15.0
"""For the whole exchange."""
URL_MAX = 2048
RETRY_AFTER_MAX_S = 3600.0
_SECONDS = re.compile(rb"[0-9]{1,9}")
_CHUNK = 16 * 1024
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post; made by `target` alone."""

    host: str
    port: int
    authority: str
    path: str
    is_tls: bool


def target(url: str) -> Target:
    """Raises: InvalidInput (``bad_url``): not https, or http to another machine; or there is more in it than it should have."""
    parts = _split(url)
    host, scheme = parts.hostname or "", parts.scheme
    if not host or scheme not in _PORTS or parts.username is not None or parts.fragment or len(url) > URL_MAX:
        raise _bad_url("as https://receiver.example/path, without user and fragment")
    if scheme == "http" and not _is_loopback(host):
        raise _bad_url("https: on the way to another machine others could read the events")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host, parts.port or _PORTS[scheme], parts.netloc, path, scheme == "https")


@dataclass(frozen=True, slots=True)
class Answer:
    """``retry_after_s``: what it asks to be left alone for; 0: nothing."""

    status: int
    retry_after_s: float

    @property
    def is_taken(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


async def post(to: Target, body: bytes, headers: Mapping[str, str], within_s: float = WITHIN_S) -> Answer:
    """Raises: TransportError: no answer."""
    try:
        async with asyncio.timeout(within_s):
            return await _exchange(to, body, headers)
    except TimeoutError:
        raise TransportError(f"{to.host} did not answer within {within_s:g} s") from None
    except ssl.SSLError as error:
        raise TransportError(f"no TLS with {to.host}: {error.reason}") from error
    except OSError as error:
        raise TransportError(f"no connection to {to.host}: {error.strerror or error}") from error
    except h11.ProtocolError as error:
        raise TransportError(f"what answers at {to.host} does not speak HTTP") from error


async def _exchange(to: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
    tls = ssl.create_default_context() if to.is_tls else None
    reader, writer = await asyncio.open_connection(to.host, to.port, ssl=tls)
    try:
        http = h11.Connection(h11.CLIENT)
        writer.write(_request(http, to, body, headers))
        await writer.drain()
        while True:
            event = http.next_event()
            if isinstance(event, h11.Response):
                return Answer(event.status_code, _retry_after_s(event))
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(_CHUNK))
    finally:
        writer.transport.abort()


def _request(http: h11.Connection, to: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    own = {
        "host": to.authority,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": f"e4/{version('e4core')}",
        "connection": "close",
    }
    head = http.send(h11.Request(method="POST", target=to.path, headers=list({**own, **headers}.items())))
    return (head or b"") + (http.send(h11.Data(data=body)) or b"") + (http.send(h11.EndOfMessage()) or b"")


def _retry_after_s(response: h11.Response) -> float:
    """Given as a date it counts for nothing: clocks differ, and the next try is not far."""
    given = next((value for name, value in response.headers if name == b"retry-after"), b"")
    return min(float(given), RETRY_AFTER_MAX_S) if _SECONDS.fullmatch(given) else 0.0


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
        (parts.hostname or "").encode("idna")  # as it is looked up
    except ValueError:
        raise _bad_url("as https://receiver.example/path") from None
    # what is not printable it drops without a word, and h11 refuses
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise _bad_url("in ASCII, and without blanks")
    return parts


def _bad_url(what: str) -> InvalidInput:
    return InvalidInput(f"the URL of a webhook is {what}", kind="bad_url")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
