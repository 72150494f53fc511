# SPDX-License-Identifier: Apache-2.0
"""The token in use: got when first needed, renewed in good time by whoever needs it next, replaced when the server refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Lock

from e4core.errors import KmsError, KmsUnavailable
from e4kms.vault.address import Address
from e4kms.vault.login import Token, given_token, logged_in, renewed
from e4kms.vault.wire import Deadline, Request, Wire


class Tokens:
    """One token at a time, for all threads of one process."""

    def __init__(self, address: Address, wire: Wire) -> None:
        self._address = address
        self._wire = wire
        self._is_ours = address.auth != "token"
        self._token: Token | None = None
        self._lock = Lock()
        self._closed = False

    def current(self, deadline: Deadline) -> Token:
        """Raises: KmsDenied; KmsUnavailable; KmsError: closed."""
        token = self._token
        if token and not token.is_due:
            return token
        with self._locked(deadline):
            token = self._token
            if token is None:
                token = self._obtained(deadline)
            elif token.is_due:
                # refused, it is used as it is: if it has ended, the next answer says so, and then there is another login
                token = renewed(token, self._wire, deadline) or replace(token, renewable=False)
            self._token = token
            return token

    def instead_of(self, refused: Token, deadline: Deadline) -> Token | None:
        """Another token, or None if there is no other; logs in once, however many threads ask.

        Raises: KmsDenied; KmsUnavailable; KmsError: closed.
        """
        with self._locked(deadline):
            token = self._token
            if token is None or token.value == refused.value:
                fresh = self._obtained(deadline)
                self._revoke(deadline)  # it may have been refused for what its policies say
                token = self._token = fresh
            return token if token.value != refused.value else None

    def close(self, deadline: Deadline) -> None:
        """Forget the token; one that we logged in for is revoked, if the server can be reached."""
        with suppress(KmsError), self._locked(deadline):
            self._revoke(deadline)
        self._closed, self._token = True, None

    def _obtained(self, deadline: Deadline) -> Token:
        return (logged_in if self._is_ours else given_token)(self._address, self._wire, deadline)

    def _revoke(self, deadline: Deadline) -> None:
        if self._token and self._is_ours:
            request = Request("POST", "auth/token/revoke-self", {}, repeatable=False)
            with suppress(KmsUnavailable):
                self._wire.ask(request, self._token.value, deadline)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        if not self._lock.acquire(timeout=deadline.left_s()):
            raise KmsUnavailable(f"{self._address} did not let us in within {self._address.timeout_s:g} seconds")
        try:
            if self._closed:
                raise KmsError("the KMS is closed; open it again")
            yield
        finally:
            self._lock.release()
