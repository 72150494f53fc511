# SPDX-License-Identifier: Apache-2.0
"""Tokens of an issuer (RFC 7519, 8725, 9068; OpenID Connect Core section 3.1.3.7): signed by its keys, for this C2, and in time."""

from __future__ import annotations

import hashlib
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from e4c2.access.marks import VALUE_MAX, FoundBy, Mark, PrincipalKind, Shown
from e4c2.oidc.keys import Keys
from e4core.errors import Denied

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Signatures with a key pair alone: with ``none`` or a shared secret anybody could sign who knows what is public."""
TYPES = frozenset({"jwt", "at+jwt"})
"""Of a token that says its type; others are for other uses."""
LEEWAY_S = 30
"""Clocks may differ by so much."""
GROUPS_MAX = 200
_NEVER = 2**53


class Issuer:
    """Whom the operator trusts. ``groups``: name of the claim that has the groups of somebody."""

    def __init__(self, url: str, audience: str, groups: str, keys: Keys) -> None:
        self._url, self._audience, self._groups, self._keys = url, audience, groups, keys
        self._registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)

    async def verify(self, text: str, now: float) -> Shown:
        """Whom a token is about. Args: now: Unix seconds.

        Raises: Denied (``unauthenticated``): it is not valid, or for others. IssuerUnavailable: its key is not known yet.
        """
        try:
            header = jws.extract_compact(text.encode()).headers()
            kid, alg = header.get("kid"), header.get("alg")
            if alg not in ALGORITHMS or not isinstance(kid, str | None) or not _is_of_type(header.get("typ")):
                raise _refused("signed or typed as none is taken")
            key = await self._keys.find(kid)
            claims = jwt.decode(text, key, ALGORITHMS, self._registry).claims
            self._check(claims, now)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _refused(_reason(error)) from error
        return self._shown(claims)

    def _check(self, claims: dict[str, Any], now: float) -> None:
        JWTClaimsRegistry(
            int(now),
            LEEWAY_S,
            iss={"essential": True, "value": self._url},
            aud={"essential": True, "value": self._audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        ).validate(claims)

    def _shown(self, claims: dict[str, Any]) -> Shown:
        subject, said = claims["sub"], claims.get(self._groups)
        groups = said if isinstance(said, list) else [said]
        if len(groups) > GROUPS_MAX:
            raise _refused(f"with more than {GROUPS_MAX} groups")
        if not subject.isprintable() or len(subject) > VALUE_MAX:
            raise _refused("about somebody whose name cannot be shown")
        named = {group for group in groups if isinstance(group, str) and 0 < len(group) <= VALUE_MAX}
        marks = [Mark(FoundBy.SUBJECT, self._url, subject)]
        marks += [Mark(FoundBy.GROUP, self._url, group) for group in sorted(named) if group.isprintable()]
        # of a subject, whatever identities they are found by: they never approve what they have asked for themselves
        identity = hashlib.sha256(marks[0].lookup).hexdigest()[:32]
        return Shown(PrincipalKind.OIDC, identity, subject, tuple(marks), float(min(claims["exp"], _NEVER)) + LEEWAY_S)


def _is_of_type(given: object) -> bool:
    return given is None or (isinstance(given, str) and given.lower().removeprefix("application/") in TYPES)


def _reason(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, JoseError) else "no token"


def _refused(what: str) -> Denied:
    return Denied(f"this token of the issuer is not valid here ({what}); get a new one from it", kind="unauthenticated")
