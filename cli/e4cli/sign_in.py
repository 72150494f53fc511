# SPDX-License-Identifier: Apache-2.0
"""Signing in at an issuer of OpenID Connect from a terminal: the device authorization grant (RFC 8628), and refreshed tokens.

The person confirms a code in any browser, also on another machine; no page is opened or served here.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass, replace
from typing import Any

from e4cli.connection import TIMEOUT_S, checked_url
from e4cli.output import remark
from e4core.errors import Denied, TransportError
from e4core.keys import Secret

SCOPE = "openid offline_access"
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL_S = 5.0
"""Between two questions, and how much slower after ``slow_down`` (RFC 8628, section 3.5)."""
_WITHIN_S = 600.0
"""For the confirmation, where the issuer does not say it."""
_BEFORE_S = 30.0
"""A token is refreshed so long before its end."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who somebody is at an issuer. ``token``: for the C2, until ``expires`` (Unix seconds); ``refresh``: gives the next one."""

    issuer: str
    client_id: str
    token: Secret
    refresh: Secret | None
    expires: float

    def is_valid(self, now: float) -> bool:
        """Whether the token is, for a while."""
        return now < self.expires - _BEFORE_S

    def renewed(self, now: float) -> SignIn:
        """With the next token. Raises: Denied: sign in anew. TransportError."""
        if self.refresh is None:
            raise Denied("this sign-in has ended; sign in again with e4 login")
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh.decode()}
        status, answer = _post(_endpoint(_about(self.issuer), "token"), {**form, "client_id": self.client_id})
        if status != 200:
            raise Denied(
                f"the issuer goes on with this sign-in no more ({_error(answer)}); sign in again with e4 login"
            )
        made = _signed_in(self.issuer, self.client_id, answer, now)
        return made if made.refresh else replace(made, refresh=self.refresh)


def sign_in(issuer: str, client_id: str, scope: str) -> SignIn:
    """Ask at the terminal for somebody's confirmation, and wait for it.

    Raises: Denied: it is refused, or does not come in time. InvalidInput: the URL. TransportError: the issuer does not do this.
    """
    about = _about(checked_url(issuer))
    if "device_authorization_endpoint" not in about:
        raise TransportError(f"{issuer} has no device authorization grant; give its tokens with --token-command")
    status, asked = _post(_endpoint(about, "device_authorization"), {"client_id": client_id, "scope": scope})
    if status != 200:
        raise Denied(f"{issuer} does not let {client_id} sign in so: {_error(asked)}")
    remark(f"to sign in, open {_text(asked, 'verification_uri')} and enter the code {_text(asked, 'user_code')}")
    form = {"grant_type": _GRANT, "device_code": _text(asked, "device_code"), "client_id": client_id}
    pause, deadline = (
        _number(asked, "interval", _INTERVAL_S),
        time.monotonic() + _number(asked, "expires_in", _WITHIN_S),
    )
    while time.monotonic() < deadline:
        time.sleep(pause)
        status, answer = _post(_endpoint(about, "token"), form)
        if status == 200:
            return _signed_in(issuer, client_id, answer, time.time())
        if (error := _error(answer)) == "slow_down":
            pause += _INTERVAL_S
        elif error != "authorization_pending":
            raise Denied(f"signing in was refused: {error}")
    raise Denied("nobody has confirmed the code in time; sign in again")


def _about(issuer: str) -> dict[str, Any]:
    found = _answer("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", None)[1]
    if found.get("issuer") != issuer:
        raise TransportError(f"what answers at {issuer} is another issuer: {found.get('issuer')}")
    return found


def _endpoint(about: dict[str, Any], name: str) -> str:
    return checked_url(_text(about, f"{name}_endpoint"))


def _signed_in(issuer: str, client_id: str, answer: dict[str, Any], now: float) -> SignIn:
    """The identity token is shown, where the scope asks for one, else the access token."""
    token = _text(answer, "id_token" if "id_token" in answer else "access_token")
    refresh = answer.get("refresh_token")
    expires = _expiry(token) or now + _number(answer, "expires_in", 0)
    return SignIn(
        issuer, client_id, Secret(token.encode()), Secret(str(refresh).encode()) if refresh else None, expires
    )


def _expiry(token: str) -> float | None:
    """As the token itself says, which only the C2 verifies; None: it is no JWT."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _post(url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
    return _answer("POST", url, form)


def _answer(method: str, url: str, form: dict[str, str] | None) -> tuple[int, dict[str, Any]]:
    import httpx2

    try:
        with httpx2.Client(timeout=TIMEOUT_S, trust_env=False) as http:
            answer = http.request(method, url, data=form)
            document = answer.json()
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise TransportError(f"the issuer at {url} cannot be asked: {error}") from error
    except (ValueError, RecursionError) as error:
        raise TransportError(f"what answers at {url} is no issuer") from error
    if not isinstance(document, dict):
        raise TransportError(f"what answers at {url} is no issuer")
    return answer.status_code, document


def _text(answer: dict[str, Any], name: str) -> str:
    if not isinstance(found := answer.get(name), str):
        raise TransportError(f"the issuer answers without {name}")
    return found


def _number(answer: dict[str, Any], name: str, otherwise: float) -> float:
    found = answer.get(name)
    return float(found) if isinstance(found, int | float) else otherwise


def _error(answer: dict[str, Any]) -> str:
    return str(answer.get("error", "no reason given"))
