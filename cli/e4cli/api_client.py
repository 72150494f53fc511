# SPDX-License-Identifier: Apache-2.0
"""The HTTP API of a C2, as commands use it: documents in, documents out, problems turned back into errors.

Each change carries an Idempotency-Key, so that it can be sent again after a lost connection and is still done once.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from e4core import errors
from e4core.errors import (
    Conflict,
    Denied,
    E4Error,
    InvalidInput,
    NotFound,
    RateExceeded,
    StorageError,
    Tampered,
    TransportError,
)
from e4core.keys import Secret, check_client_name, check_topic_name

if TYPE_CHECKING:
    import httpx2


class Document(dict[str, Any]):
    """A JSON object of an answer."""

    def __missing__(self, name: str) -> Any:
        raise TransportError(f"the C2 answers without {name!r}; are it and this command of one version?")


Body = Mapping[str, Any]
"""A JSON object of a request."""

DEFAULT_URL = "http://127.0.0.1:8884"
UNANSWERED = "unanswered"
"""Kind of the error after which it is not known whether the request was done."""
_PAUSES_S = (0.2, 0.6)
"""Before each repetition of a request whose connection failed."""
_TIMEOUT_S = 30.0
_ID = re.compile(r"[0-9a-f]{32}")
_UNAUTHENTICATED = "unauthenticated"
_PROBLEM = "application/problem+json"
_BY_KIND: Mapping[str, type[E4Error]] = {
    leaf.kind: leaf for leaf in vars(errors).values() if isinstance(leaf, type) and issubclass(leaf, E4Error)
}
_ALARMS = frozenset({"audit_changed", "audit_cut_off", "audit_forked", "audit_missing"})
"""Kinds of `Tampered` that say what was tampered with."""
_BY_STATUS: Mapping[int, type[E4Error]] = {
    400: InvalidInput,
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    413: InvalidInput,
    422: InvalidInput,
    429: RateExceeded,
    503: TransportError,
}
"""For kinds that say more than their class: ``bad_name`` is an `InvalidInput`."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a caller shows; ``source`` says to people where it came from."""

    text: Secret
    source: str

    def __post_init__(self) -> None:
        """Raises: InvalidInput (``bad_token``): empty, or not in one line of ASCII."""
        if not self.text or not all(0x21 <= byte <= 0x7E for byte in self.text):
            raise InvalidInput(f"{self.source} holds no token; a token is one line, as e4_...", kind="bad_token")


@dataclass(frozen=True, slots=True)
class Pin:
    """SHA-256 of the one certificate that a C2 may show, 32 B."""

    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Pin:
        """From hexadecimal digits, with or without colons. Raises: InvalidInput."""
        digits = text.replace(":", "")
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
            raise InvalidInput("a fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits", kind="bad_pin")
        return cls(bytes.fromhex(digits))

    def context(self, url: str) -> ssl.SSLContext:
        """What trusts that very certificate alone. Raises: TransportError: another one is shown, or nobody answers."""
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 443)
        try:
            shown = ssl.get_server_certificate(address, timeout=_TIMEOUT_S)
        except OSError as error:
            raise TransportError(f"no C2 answers with TLS at {url}; see --url: {error}") from error
        if hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).digest() != self.digest:
            raise TransportError(
                f"{url} shows another certificate; is this the C2 that you mean?", kind="other_certificate"
            )
        context = ssl.create_default_context(cadata=shown)
        context.check_hostname = False  # it is the one that was named
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


Authorities = Path | Pin | None
"""Who may vouch for a C2: those in a PEM file, nobody but its own known certificate, or those of the system."""


class Api:
    """One C2, used inside ``with``."""

    page_len = 1000
    """Items that are asked for at once; what the API allows at most."""

    def __init__(self, url: str, token: Token, ca: Authorities = None, approval: str | None = None) -> None:
        """Not yet connected.

        Args: ca: PEM file with the only authorities that may vouch for the C2; None: those of the system.
            approval: id of one that another has given for what is asked.
        Raises: InvalidInput: the URL. StorageError: ``ca`` cannot be used.
        """
        self._url = _checked(url)
        self._token = token
        self._approval = {} if approval is None else {"E4-Approval": approval}
        self._http = _http(self._url, token, ca)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int | list[str]) -> Document:
        """Raises: E4Error: what the C2 says, or TransportError: it does not answer."""
        return self._ask("GET", path, query)

    def post(self, path: str, body: Body | None = None, **query: str | int) -> Document:
        """Raises: as `get`; of kind `UNANSWERED` if it may have been done."""
        return self._ask("POST", path, query, body)

    def patch(self, path: str, body: Body) -> Document:
        """Raises: as `post`."""
        return self._ask("PATCH", path, {}, body)

    def delete(self, path: str, **query: str | int) -> Document:
        """Raises: as `post`."""
        return self._ask("DELETE", path, query)

    def items(self, path: str, limit: int | None = None, **query: str) -> Iterator[Document]:
        """The items of a list, all of them or ``limit``, page by page. Raises: as `get`."""
        left = limit
        while left is None or left > 0:
            page = self.get(path, limit=self.page_len if left is None else min(left, self.page_len), **query)
            items, cursor = page["items"], page["next"]
            if not _is_page(items, cursor):
                raise self._stranger()
            yield from items
            if cursor is None or not items:
                return
            left = None if left is None else left - len(items)
            query["cursor"] = cursor

    def client(self, name: str) -> str:
        """Path of the client called ``name``. Raises: NotFound. InvalidInput; as `get`."""
        return f"/v1/clients/{self.client_id(name)}"

    def client_id(self, name: str) -> str:
        """Raises: as `client`."""
        return self._id("client", "/v1/clients", check_client_name(name))

    def topic(self, name: str) -> str:
        """Path of the topic called ``name``. Raises: as `client`."""
        return f"/v1/topics/{self._id('topic', '/v1/topics', check_topic_name(name))}"

    def _id(self, what: str, path: str, name: str) -> str:
        for found in self.items(path, name=name):
            if not _ID.fullmatch(str(found["id"])):
                raise self._stranger()
            return str(found["id"])
        raise NotFound(f"there is no {what} {name!r}")

    def _ask(
        self, method: str, path: str, query: Mapping[str, str | int | list[str]], body: Body | None = None
    ) -> Document:
        headers = {} if method == "GET" else {"Idempotency-Key": secrets.token_hex(16), **self._approval}
        request = self._http.build_request(method, path.lstrip("/"), params=dict(query), json=body, headers=headers)
        return self._document(self._send(request))

    def _send(self, request: httpx2.Request) -> httpx2.Response:
        import httpx2

        for pause in (*_PAUSES_S, None):
            try:
                return self._http.send(request)
            except (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ConnectTimeout) as error:
                if pause is None:
                    raise self._unreachable(request, error) from error
                time.sleep(pause)
            except httpx2.TimeoutException as error:
                text = f"the C2 at {self._url} did not answer in {_TIMEOUT_S:g} s"
                raise _unanswered(request, text) from error
            except (httpx2.RequestError, httpx2.InvalidURL) as error:
                raise TransportError(f"{self._url} cannot be asked: {error}") from error
        raise AssertionError

    def _unreachable(self, request: httpx2.Request, error: httpx2.RequestError) -> TransportError:
        import httpx2

        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return TransportError(f"nobody known vouches for {self._url}; name its authority with --ca: {error}")
        if "[SSL" in str(error):
            return TransportError(f"what answers at {self._url} does not speak TLS with us; see --url: {error}")
        if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
            return TransportError(
                f"no C2 answers at {self._url}; start it with e4 serve, or say with --url where it is"
            )
        return _unanswered(request, f"the connection to {self._url} was lost")

    def _document(self, answer: httpx2.Response) -> Document:
        if answer.is_success and not answer.content:
            return Document()
        problem = answer.headers.get("content-type") == _PROBLEM
        try:
            document = answer.json(object_hook=Document)
        except (ValueError, RecursionError) as error:
            raise self._stranger() from error
        if not isinstance(document, Document) or problem is answer.is_success:
            raise self._stranger()
        if problem:
            kind, detail = str(document.get("kind", "")), str(document.get("detail", ""))
            # who misses a thing says which; this says that there is no such path
            if answer.status_code == 404 and (not kind or detail == HTTPStatus.NOT_FOUND.phrase):
                raise self._stranger()
            raise self._error(answer.status_code, kind, detail)
        return document

    def _error(self, status: int, kind: str, detail: str) -> E4Error:
        leaf = Tampered if kind in _ALARMS else _BY_KIND.get(kind) or _BY_STATUS.get(status, E4Error)
        if kind == _UNAUTHENTICATED:
            detail = f"the C2 at {self._url} does not take the token of {self._token.source}; is it revoked or expired?"
        elif status >= 500:
            detail = f"the C2 failed: {detail}"
        return leaf(detail, kind=kind)

    def _stranger(self) -> TransportError:
        return TransportError(f"what answers at {self._url} is no C2; see --url")


def _is_page(items: object, cursor: object) -> bool:
    is_cursor = cursor is None or (isinstance(cursor, str) and cursor.isascii())
    return is_cursor and isinstance(items, list) and all(isinstance(item, Document) for item in items)


def _unanswered(request: httpx2.Request, what: str) -> TransportError:
    if request.method == "GET":
        return TransportError(what)
    return TransportError(f"{what}; see whether it has done it", kind=UNANSWERED)


def _http(url: str, token: Token, ca: Authorities) -> httpx2.Client:
    import httpx2

    try:
        # trust_env: a proxy would get the token, and ~/.netrc would replace it
        return httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token.text.decode()}"},
            verify=_authorities(url, ca),
            timeout=_TIMEOUT_S,
            trust_env=False,
        )
    except httpx2.InvalidURL as error:
        raise _bad_url() from error


def _authorities(url: str, ca: Authorities) -> ssl.SSLContext | bool:
    if isinstance(ca, Pin):
        if urlsplit(url).scheme != "https":
            raise InvalidInput("a fingerprint is of a certificate, so the URL begins with https", kind="bad_url")
        return ca.context(url)
    try:
        if ca is not None:
            return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise StorageError(f"{ca} cannot be used as authorities: {error.strerror or error}") from error
    # reading those of the system takes as long as a request; for http let it be nobody
    return True if urlsplit(url).scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _checked(url: str) -> str:
    """``url`` if a token may be sent there."""
    try:
        parts = urlsplit(url)
        # it drops line breaks without a word
        host = parts.hostname if url.isprintable() and " " not in url else None
        _ = parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.username is not None or parts.query or parts.fragment:
        raise _bad_url()
    if parts.scheme == "http" and not _is_loopback(host):
        raise InvalidInput(f"on the way to {host} others could read the token; use https", kind="bad_url")
    return url


def _bad_url() -> InvalidInput:
    return InvalidInput("the URL of a C2 is as http://127.0.0.1:8884 or https://c2.example", kind="bad_url")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
