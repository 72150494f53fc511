# SPDX-License-Identifier: Apache-2.0
"""Requests to the HTTP API of a Vault: each over by its deadline, come what may; what the network does becomes KmsUnavailable."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import requests
from hvac.adapters import RawAdapter
from urllib3.exceptions import HTTPError

from e4core.errors import KmsError, KmsUnavailable
from e4kms.vault.address import Address

SEALED = "kms_sealed"
THROTTLED = "kms_throttled"

_PAUSE_S = 0.1
_MAX_ANSWER_LEN = 1 << 20
_MAX_REASON_LEN = 300
_SECRET_MIN_LEN = 12


@dataclass(frozen=True, slots=True)
class Deadline:
    """The instant of the monotonic clock at which a call gives up."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        return max(0.0, self.at_s - time.monotonic())


@dataclass(frozen=True, slots=True)
class Request:
    """``path`` is what follows ``/v1/``. One that is not ``repeatable`` is never sent twice."""

    method: str
    path: str
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    repeatable: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def secrets(self, token: str | None) -> list[str]:
        """What may be secret of what is sent: long texts, since short ones are names."""
        sent = (token, *(self.body or {}).values())
        return [text for text in sent if isinstance(text, str) and len(text) >= _SECRET_MIN_LEN]


@dataclass(frozen=True, slots=True)
class Answer:
    """``reason`` is what the server says about an error, fit to be shown."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.status in (200, 204)


class Wire:
    """Connections to one server; they belong to the process that opened them, and to all its threads."""

    def __init__(self, address: Address) -> None:
        """Raises: KmsError: the file of certificates to trust."""
        self._address = address
        session = requests.Session()
        # else .netrc and proxies of the environment are used: strangers that would see the token
        session.trust_env = False
        session.verify = _authorities(address)
        # a redirect is not followed, for it would carry the token to whatever host it names
        self._adapter = RawAdapter(
            base_uri=address.url, session=session, namespace=address.namespace or None, allow_redirects=False
        )

    def ask(self, request: Request, token: str | None, deadline: Deadline) -> Answer:
        """What the server says, unless that is that it cannot answer now.

        After an internal error it is asked again until the deadline: for a moment after it was unsealed, it gives nothing else.
        Raises: KmsUnavailable.
        """
        answer = self._exchange(request, token, deadline)
        while answer.status == 500 and request.repeatable and deadline.left_s() > _PAUSE_S:
            time.sleep(_PAUSE_S)
            answer = self._exchange(request, token, deadline)
        if unavailable := self._unavailable(answer):
            raise unavailable
        return answer

    def close(self) -> None:
        self._adapter.close()

    def _exchange(self, request: Request, token: str | None, deadline: Deadline) -> Answer:
        outcome = self._outcome(request, token, deadline)
        if request.repeatable and _is_lost(outcome):
            # a connection that was kept open may have ended with the server that had it
            outcome = self._outcome(request, token, deadline)
        if isinstance(outcome, Answer):
            return outcome
        # raised out here, for the errors of requests hold the whole request: token and plaintext
        raise self._broken(outcome)

    def _outcome(self, request: Request, token: str | None, deadline: Deadline) -> Answer | Exception:
        """In a thread of its own, as neither a name server nor an answer that trickles in knows of our deadline."""
        answer: Future[Answer] = Future()
        thread = Thread(
            target=_fulfil, args=(answer, lambda: self._send(request, token, deadline)), name="e4-vault", daemon=True
        )
        try:
            thread.start()
            return answer.result(deadline.left_s())
        except (OSError, HTTPError) as error:
            return error

    def _send(self, request: Request, token: str | None, deadline: Deadline) -> Answer:
        response = self._adapter.request(
            request.method,
            f"v1/{request.path}",
            headers={"X-Vault-Token": token} if token else {},
            json=request.body,
            timeout=max(deadline.left_s(), 0.001),
            stream=True,
            raise_exception=False,
        )
        with closing(response):
            content = b""
            for chunk in response.iter_content(1 << 14):
                content += chunk
                if len(content) > _MAX_ANSWER_LEN:
                    return Answer(response.status_code, {})
        return _answer(response.status_code, content, request.secrets(token))

    def _unavailable(self, answer: Answer) -> KmsUnavailable | None:
        status, where = answer.status, self._address
        if status == 503 and "sealed" in answer.reason:
            return KmsUnavailable(f"{where} is sealed; unseal the server", kind=SEALED)
        if status == 429:
            return KmsUnavailable(f"{where} gets too many requests; wait, or raise its rate limit", kind=THROTTLED)
        if 300 <= status < 400:
            return KmsUnavailable(
                f"{where} sends us to another server, where we do not go; name the active one in the URI"
            )
        if status >= 412:
            said = f" ({answer.reason})" if answer.reason else ""
            return KmsUnavailable(f"{where} answers with the error {status}{said}; try again later, or see its log")
        if answer.status == 200 and not answer.body:
            return KmsUnavailable(f"{where} does not answer as a Vault does; check host and port")
        return None

    def _broken(self, error: Exception) -> KmsUnavailable:
        for kind, why in _BROKEN:
            if isinstance(error, kind):
                return KmsUnavailable(f"{self._address} {why.format(self._address.timeout_s)}")
        return KmsUnavailable(f"{self._address} cannot be reached; check host, port and network")


_BROKEN: tuple[tuple[type[Exception], str], ...] = (
    (requests.exceptions.SSLError, "is not trusted, or speaks no TLS; check host name, port and the option ca"),
    (requests.exceptions.Timeout, "did not answer within {:g} seconds; check host, port and network"),
    (TimeoutError, "did not answer within {:g} seconds; check host, port and network"),
)


def _authorities(address: Address) -> str | bool:
    """What requests takes for ``verify``."""
    if address.ca:
        try:
            ssl.create_default_context(cafile=address.ca)
        except OSError as error:
            raise KmsError(f"{address.ca} is no readable file of PEM certificates; mend the option ca") from error
        return str(address.ca)
    system = ssl.get_default_verify_paths()
    return system.cafile or system.capath or True


def _fulfil(future: Future[Answer], call: Callable[[], Answer]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # whatever it is, it belongs to the thread that waits
        future.set_exception(error)


def _is_lost(outcome: Answer | Exception) -> bool:
    return isinstance(outcome, requests.exceptions.ConnectionError) and not isinstance(
        outcome, (requests.exceptions.SSLError, requests.exceptions.Timeout)
    )


def _answer(status: int, content: bytes, hidden: list[str]) -> Answer:
    try:
        body = json.loads(content) if content else {}
    except (ValueError, RecursionError):
        body = {}
    if not isinstance(body, dict):
        return Answer(status, {})
    errors = body.get("errors")
    reason = "; ".join(text for text in errors if isinstance(text, str)) if isinstance(errors, list) else ""
    for text in hidden:
        reason = reason.replace(text, "...")
    return Answer(status, body, " ".join(reason.split())[:_MAX_REASON_LEN])
