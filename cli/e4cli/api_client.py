# SPDX-License-Identifier: Apache-2.0
"""The HTTP API of a C2, as commands use it: documents in, documents out, problems turned back into errors.

Each change carries an Idempotency-Key, so that it can be sent again after a lost connection and is still done once.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from e4cli.connection import TIMEOUT_S, Authorities, Shown, Token, checked_url, connection
from e4core import errors
from e4core.errors import (
    Conflict,
    Denied,
    E4Error,
    InvalidInput,
    NotFound,
    RateExceeded,
    Tampered,
    TransportError,
)
from e4core.keys import check_client_name, check_topic_name

if TYPE_CHECKING:
    import httpx2


class Document(dict[str, Any]):
    """A JSON object of an answer."""

    def __missing__(self, name: str) -> Any:
        raise TransportError(f"the C2 answers without {name!r}; are it and this command of one version?")


Body = Mapping[str, Any]
"""A JSON object of a request."""

UNANSWERED = "unanswered"
"""Kind of the error after which it is not known whether the request was done."""
_PAUSES_S = (0.2, 0.6)
"""Before each repetition of a request whose connection failed."""
_ID = re.compile(r"[0-9a-f]{32}")
_SECONDS = re.compile(r"[0-9]{1,9}")
_UNAUTHENTICATED = "unauthenticated"
_PROBLEM = "application/problem+json"
_EVENTS = "text/event-stream"
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


class Api:
    """One C2, used inside ``with``."""

    page_len = 1000
    """Items that are asked for at once; what the API allows at most."""

    def __init__(self, url: str, shown: Shown, ca: Authorities = None) -> None:
        """Not yet connected.

        Args: ca: PEM file with the only authorities that may vouch for the C2; None: those of the system.
        Raises: InvalidInput: the URL. StorageError: ``ca`` or a certificate cannot be used.
        """
        self._url = checked_url(url)
        self._shown = shown
        self._http = connection(self._url, shown, ca)
        self.approval: str | None = None
        """Id of one that another has given for what is asked."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._http.close()

    def wait_at_most(self, seconds: float) -> None:
        """For each step of a request from now on: who waits has no use for a late answer."""
        self._http.timeout = seconds

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

    def stream(self, path: str, **query: str | int | list[str]) -> Iterator[tuple[str, Document | None]]:
        """Server-sent events as they come: the id of the last one, and its data unless the id alone is told.

        It ends when the connection does, after which one may go on from the id. Raises: as `get`.
        """
        request = self._http.build_request("GET", path.lstrip("/"), params=dict(query))
        with closing(self._send(request, stream=True)) as answer:
            if not answer.is_success or answer.headers.get("content-type", "").partition(";")[0] != _EVENTS:
                answer.read()
                self._document(answer)
                raise self._stranger()
            yield from self._told(answer)

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
        approval = {"E4-Approval": self.approval} if self.approval else {}
        headers = {} if method == "GET" else {"Idempotency-Key": secrets.token_hex(16), **approval}
        request = self._http.build_request(method, path.lstrip("/"), params=dict(query), json=body, headers=headers)
        return self._document(self._send(request))

    def _told(self, answer: httpx2.Response) -> Iterator[tuple[str, Document | None]]:
        import httpx2

        number = data = ""
        try:
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    number = value
                elif field == "data":
                    data = value
                elif not line and number:
                    yield number, self._parsed(data) if data else None
                    number = data = ""
        except httpx2.TransportError:
            return

    def _parsed(self, text: str) -> Document:
        try:
            document = json.loads(text, object_hook=Document)
        except (ValueError, RecursionError) as error:
            raise self._stranger() from error
        if not isinstance(document, Document):
            raise self._stranger()
        return document

    def _send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        import httpx2

        for pause in (*_PAUSES_S, None):
            try:
                return self._http.send(request, stream=stream)
            except (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ConnectTimeout) as error:
                if pause is None:
                    raise self._unreachable(request, error) from error
                time.sleep(pause)
            except httpx2.TimeoutException as error:
                text = f"the C2 at {self._url} did not answer in {TIMEOUT_S:g} s"
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
            raise self._error(answer, kind, detail)
        return document

    def _error(self, answer: httpx2.Response, kind: str, detail: str) -> E4Error:
        status = answer.status_code
        leaf = Tampered if kind in _ALARMS else _BY_KIND.get(kind) or _BY_STATUS.get(status, E4Error)
        if kind == _UNAUTHENTICATED and isinstance(self._shown, Token):
            detail = f"the C2 at {self._url} does not take the token of {self._shown.source}; is it revoked or expired?"
        elif status >= 500:
            detail = f"the C2 failed: {detail}"
        if leaf is RateExceeded:
            after = answer.headers.get("retry-after", "")
            return RateExceeded(detail, kind=kind, wait_s=int(after) if _SECONDS.fullmatch(after) else None)
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
