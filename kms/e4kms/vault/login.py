# SPDX-License-Identifier: Apache-2.0
"""Getting a token: from a file, from the environment, or by logging in."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from e4core import files
from e4core.errors import KmsDenied, StorageError
from e4kms.attempts import attempt
from e4kms.vault.address import Address
from e4kms.vault.wire import Answer, Deadline, Request, Wire

_VARIABLES = ("BAO_TOKEN", "VAULT_TOKEN")
_SHARE = 1 / 3
"""Of its lease, after which a token is renewed."""

_PAUSES_S = {"approle": 960}
"""Before a login that was refused is tried again: by this method, OpenBao and Vault lock out the right secret too, after five in
15 minutes."""

# nothing else fits into the header that carries a token, and the error of requests about that would hold the token
_VISIBLE = re.compile(r"[!-~]{1,65535}")


@dataclass(frozen=True, slots=True)
class Token:
    """``lease_s`` is how long it lives, counted from ``since_s`` of the monotonic clock; 0: nothing is known of an end."""

    value: str = field(repr=False)
    lease_s: int = 0
    renewable: bool = False
    since_s: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether it is to be renewed."""
        return self.renewable and time.monotonic() > self.since_s + self.lease_s * _SHARE


def given_token(address: Address, wire: Wire, deadline: Deadline) -> Token:
    """The token in the file or the environment, as it is there now. Raises: KmsDenied: there is none; KmsUnavailable."""
    value = _token_text(address)
    since_s = time.monotonic()
    match wire.ask(Request("GET", "auth/token/lookup-self"), value, deadline):
        case Answer(status=200, body={"data": {"ttl": int(ttl), "renewable": bool(renewable)}}):
            return Token(value, ttl, renewable, since_s)
        case _:  # its policy may not let it look itself up; what it is good for will be seen
            return Token(value)


def logged_in(address: Address, wire: Wire, deadline: Deadline) -> Token:
    """A new token. What may lock out and was refused is not asked for again for a while, by whatever object of this process.

    Raises: KmsDenied; KmsUnavailable.
    """
    fields = _FIELDS[address.auth](address)
    tried = attempt(
        *map(os.fsencode, (address.url, address.namespace, address.auth, address.auth_mount, *fields.values()))
    )
    since_s = time.monotonic()
    if refusal := _refused.get(tried):
        at_s, said = refusal
        if since_s < at_s + _PAUSES_S[address.auth]:
            raise _denied(address, said)
    answer = wire.ask(Request("POST", f"auth/{address.auth_mount}/login", fields, repeatable=False), None, deadline)
    token = _granted(answer, since_s)
    if token is None:
        said = f" ({answer.reason})" if answer.reason else ""
        if address.auth in _PAUSES_S:
            _refused[tried] = (time.monotonic(), said)
        raise _denied(address, said)
    return token


def renewed(token: Token, wire: Wire, deadline: Deadline) -> Token | None:
    """The same token with a longer life; None if that is refused. Raises: KmsUnavailable."""
    since_s = time.monotonic()
    return _granted(wire.ask(Request("POST", "auth/token/renew-self", {}), token.value, deadline), since_s)


_refused: dict[bytes, tuple[float, str]] = {}
"""Attempt -> when it was refused, in seconds of the monotonic clock, and what the server said."""


def _denied(address: Address, said: str) -> KmsDenied:
    text = (
        f"{address} refuses the login by {address.auth} at auth/{address.auth_mount}{said}; "
        "mend what the options of the URI name, or the role on the server"
    )
    if pause_s := _PAUSES_S.get(address.auth):
        text += f". The same is not tried again for {pause_s // 60} minutes or until a restart, so that nobody is locked out"
    return KmsDenied(text)


def _granted(answer: Answer, since_s: float) -> Token | None:
    match answer:
        case Answer(
            status=200,
            body={"auth": {"client_token": str(value), "lease_duration": int(lease), "renewable": bool(renewable)}},
        ) if _VISIBLE.fullmatch(value):
            return Token(value, lease, renewable, since_s)
    return None


def _token_text(address: Address) -> str:
    if address.token_file:
        return _secret(address.token_file, "token")
    for variable in _VARIABLES:
        if text := os.environ.get(variable):
            return _checked(text, f"the environment variable {variable}", "token")
    raise KmsDenied(
        f"there is no token for {address}: set the environment variable {' or '.join(_VARIABLES)}, "
        "or the option token-file or auth of its URI"
    )


def _secret(path: Path | None, what: str, *, private: bool = True) -> str:
    try:
        data = files.read(path or Path(), private=private)
    except StorageError as error:
        raise KmsDenied(f"the {what} cannot be used: {error}") from error
    return _checked(data.decode("latin-1").partition("\n")[0].rstrip("\r"), str(path), what)


def _checked(text: str, source: str, what: str) -> str:
    if not _VISIBLE.fullmatch(text):
        raise KmsDenied(f"{source} holds no {what}: that is one line of visible ASCII characters")
    return text


# the kubelet lets all users of a pod read its token, and there are no others who could
_FIELDS: dict[str, Callable[[Address], dict[str, str]]] = {
    "approle": lambda a: {"role_id": a.role_id, "secret_id": _secret(a.secret_id_file, "secret id")},
    "kubernetes": lambda a: {"role": a.role, "jwt": _secret(a.jwt_file, "JWT", private=False)},
    "jwt": lambda a: {"role": a.role, "jwt": _secret(a.jwt_file, "JWT")},
}
