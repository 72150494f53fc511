# SPDX-License-Identifier: Apache-2.0
"""A transit key as a KMS: the key is *derived*, so that each context has its own, and rewrapping happens on the server.

The secret and its base64 pass through immutable strings of the HTTP library, which nobody can wipe.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from e4core.errors import Conflict, KeyNotFound, KmsError, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms.vault.address import Address
from e4kms.vault.refusals import DISABLED, NOT_FOUND, refusal
from e4kms.vault.tokens import Tokens
from e4kms.vault.wire import Answer, Deadline, Request, Wire

MECHANISM = "vault-transit-derived"

UNFIT = "kms_unsupported"

_KEY_TYPE = "aes256-gcm96"
_AES_GCM = {"aes128-gcm96", _KEY_TYPE}
_PROBE_LEN = 32
_CIPHERTEXT = re.compile(r"vault:(v[1-9][0-9]{0,9}):([A-Za-z0-9+/]+={0,2})")
# version 0 is an old name of version 1, and would be a second way to write the same
_KEY_ID = re.compile(r"(.+):(v[1-9][0-9]{0,9})")


def open_kms(uri: str) -> VaultKms:
    """The KMS at ``uri``; nothing is asked of the server yet.

    Raises: InvalidInput (``bad_uri``); KmsError: the file of certificates to trust.
    """
    return VaultKms(Address.parse(uri))


@dataclass(frozen=True, slots=True)
class _Link:
    """What one process has to do with the server."""

    address: Address
    wire: Wire
    tokens: Tokens

    @classmethod
    def open(cls, address: Address) -> Self:
        wire = Wire(address)
        return cls(address, wire, Tokens(address, wire))

    def ask(self, request: Request, deadline: Deadline) -> Mapping[str, Any]:
        """``data`` of the answer. A token that is refused is replaced once. Raises: KmsError."""
        answer = self.answer(request, deadline)
        if not answer.ok:
            raise refusal(answer, request, self.address)
        data = answer.body.get("data")
        return data if isinstance(data, dict) else {}

    def answer(self, request: Request, deadline: Deadline) -> Answer:
        token = self.tokens.current(deadline)
        answer = self.wire.ask(request, token.value, deadline)
        # an expired token and a policy that does not allow this look alike
        if answer.status == 403 and (other := self.tokens.instead_of(token, deadline)):
            answer = self.wire.ask(request, other.value, deadline)
        return answer


class VaultKms:
    """A `e4core.kms.Kms` that can also `rewrap` and `create_key`.

    ``Wrapped.key_id`` is NAME:vN, with the version that wrapped; ``Wrapped.blob`` what transit puts behind ``vault:vN:``, out of
    base64. For AES-256-GCM that is nonce (12 B) | ciphertext | tag (16 B).
    """

    __slots__ = ("_address", "_links")

    def __init__(self, address: Address) -> None:
        """Raises: KmsError: the file of certificates to trust."""
        self._address = address
        self._links: dict[int, _Link] | None = {os.getpid(): _Link.open(address)}

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        return self._wrap(secret, context, self._deadline())

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return self._unwrap(wrapped, context, self._deadline())

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        """The same secret, wrapped under the newest version of the key; the server does not show it to us. Raises: as `unwrap`."""
        body = {"ciphertext": self._ciphertext(wrapped), "context": _bound(context)}
        return self._wrapped(self._link().ask(self._request("rewrap", body), self._deadline()))

    def create_key(self) -> None:
        """Make the key: derived, and never to be exported.

        Raises: Conflict (``exists``); KmsError.
        """
        link, deadline = self._link(), self._deadline()
        request = self._reading()
        answer = link.answer(request, deadline)
        if answer.ok:
            raise Conflict(
                f"{self._address} exists already and is not made again; use it, or choose another name", kind="exists"
            )
        if answer.status != 404:
            raise refusal(answer, request, self._address)
        body = {"type": _KEY_TYPE, "derived": True, "exportable": False, "allow_plaintext_backup": False}
        link.ask(Request("POST", request.path, body, repeatable=False), deadline)
        self._require_usable(link, deadline)  # somebody else may have been faster, with another kind of key

    def check(self) -> None:
        probe, context, deadline = Secret(os.urandom(_PROBE_LEN)), b"e4 probe", self._deadline()
        if self._unwrap(self._wrap(probe, context, deadline), context, deadline) != probe:
            raise KmsError(f"{self._address} does not give back what it wrapped; do not use this server")

    def close(self) -> None:
        links, self._links = self._links, None
        if links and (link := links.get(os.getpid())):
            link.tokens.close(self._deadline())
            link.wire.close()

    def _wrap(self, secret: Secret, context: bytes, deadline: Deadline) -> Wrapped:
        link = self._link()
        # each time: a server that may create makes a key that is missing, and nobody would know that the old one is lost
        self._require_usable(link, deadline)
        body = {"plaintext": base64.b64encode(secret).decode(), "context": _bound(context)}
        return self._wrapped(link.ask(self._request("encrypt", body), deadline))

    def _unwrap(self, wrapped: Wrapped, context: bytes, deadline: Deadline) -> Secret:
        body = {"ciphertext": self._ciphertext(wrapped), "context": _bound(context)}
        match self._link().ask(self._request("decrypt", body), deadline):
            case {"plaintext": str(text)}:
                return Secret(self._decoded(text))
        raise self._strange()

    def _require_usable(self, link: _Link, deadline: Deadline) -> None:
        key = link.ask(self._reading(), deadline)
        for is_so, error in _UNUSABLE:
            if is_so(key):
                raise error(self._address)

    def _reading(self) -> Request:
        return Request("GET", f"{self._address.mount}/keys/{self._address.key}")

    def _request(self, verb: str, body: Mapping[str, Any]) -> Request:
        return Request("POST", f"{self._address.mount}/{verb}/{self._address.key}", body)

    def _deadline(self) -> Deadline:
        return Deadline.after(self._address.timeout_s)

    def _link(self) -> _Link:
        links, pid = self._links, os.getpid()
        if links is None:
            raise KmsError("the KMS is closed; open it again")
        if pid not in links:
            # in a forked child: connections, locks and token stay with the parent
            links.setdefault(pid, _Link.open(self._address))
        return links[pid]

    def _wrapped(self, data: Mapping[str, Any]) -> Wrapped:
        match data:
            case {"ciphertext": str(text)} if found := _CIPHERTEXT.fullmatch(text):
                return Wrapped(f"{self._address.key}:{found[1]}", MECHANISM, self._decoded(found[2]))
        raise self._strange()

    def _ciphertext(self, wrapped: Wrapped) -> str:
        found = _KEY_ID.fullmatch(wrapped.key_id)
        if not found or wrapped.mechanism != MECHANISM:
            raise Tampered(
                f"{wrapped.mechanism!r} under {wrapped.key_id!r} is not how {self._address} wraps; "
                "restore the wrap from a backup"
            )
        if found[1] != self._address.key:
            raise KeyNotFound(
                f"wrapped under key {found[1]}, but this is {self._address}: use the URI of the right key",
                kind=NOT_FOUND,
            )
        return f"vault:{found[2]}:{base64.b64encode(wrapped.blob).decode()}"

    def _decoded(self, text: str) -> bytes:
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            pass
        raise self._strange()  # out here: the error of the decoder must not come along

    def _strange(self) -> KmsError:
        return KmsError(f"{self._address} does not answer as a Vault does; check host and port")


def _bound(context: bytes) -> str:
    """What the key is derived by."""
    if not context:
        raise KmsError("a derived key needs a context that is not empty", kind=UNFIT)
    return base64.b64encode(context).decode()


_UNUSABLE: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Address], KmsError]], ...] = (
    (
        lambda key: key.get("soft_deleted") is True,
        lambda a: KeyNotFound(f"{a} is deleted softly; restore it on the server", kind=DISABLED),
    ),
    (
        lambda key: not (key.get("derived") is True and key.get("supports_encryption") is True),
        lambda a: KmsError(f"{a} is not derived, so it binds no context; let this driver make another key", kind=UNFIT),
    ),
    (
        lambda key: key.get("type") not in _AES_GCM,
        lambda a: KmsError(f"{a} is not a key for AES-GCM; let this driver make another key", kind=UNFIT),
    ),
    (
        lambda key: key.get("exportable") is not False or key.get("allow_plaintext_backup") is not False,
        lambda a: KmsError(f"{a} can be exported from the server; let this driver make another key", kind=UNFIT),
    ),
)
