# SPDX-License-Identifier: Apache-2.0
"""The keys with which an issuer signs: fetched when they are needed, kept for a while, and asked for anew not too often."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

from joserfc import jwk
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from e4c2.oidc import documents
from e4core.errors import Denied, E4Error, IssuerUnavailable

log = logging.getLogger(__name__)

Key = RSAKey | ECKey

REFETCH_S = 10.0
"""Between two tries, whatever is asked for: so often anybody can make the C2 ask its issuer."""
REFRESH_S = 3600.0
"""After which they are fetched anew, as the issuer may have taken one back."""
STALE_S = 24 * 3600.0
"""After which they are not believed any more, if the issuer never answered."""
RSA_MIN = 2048
KEYS_MAX = 100


class Keys:
    """Of one issuer."""

    def __init__(self, issuer: str, tls: ssl.SSLContext, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._tls, self._clock = issuer, tls, clock
        self._known: dict[str | None, Key] = {}
        self._fetched = self._tried = float("-inf")
        self._failed = True
        self._fetching = asyncio.Lock()

    async def find(self, kid: str | None) -> Key:
        """The key of this id; without an id the only one. Raises: Denied: there is none. IssuerUnavailable: nobody knows."""
        now, known = self._clock(), kid in self._known
        if now - self._tried >= REFETCH_S and (not known or now - self._fetched > REFRESH_S):
            self._tried = now
            async with self._fetching:
                await self._fetch()
        elif not known:
            async with self._fetching:  # by somebody else, perhaps
                pass
        if self._clock() - self._fetched > STALE_S:
            raise IssuerUnavailable
        if kid in self._known:
            return self._known[kid]
        if self._failed:
            raise IssuerUnavailable
        raise Denied("this token is signed with a key that its issuer does not have", kind="unauthenticated")

    async def _fetch(self) -> None:
        was_failed, self._failed = self._failed, True
        try:
            about = await documents.read(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration", self._tls)
            if about.get("issuer") != self._issuer:
                raise IssuerUnavailable(f"who answers there is not the issuer {self._issuer}")
            found = await documents.read(documents.check_url(str(about.get("jwks_uri"))), self._tls)
        except E4Error as error:
            if not was_failed or not self._known:
                log.warning("no keys of the issuer of OIDC tokens: %s", error)
            return
        keys = dict(_keys(found))
        self._known = {**keys, **({None: next(iter(keys.values()))} if len(keys) == 1 else {})}
        self._failed, self._fetched = False, self._clock()


def _keys(found: dict[str, Any]) -> Iterator[tuple[str | None, Key]]:
    """Those that can be used here; an issuer may have others."""
    listed = found.get("keys")
    for each in listed[:KEYS_MAX] if isinstance(listed, list) else ():
        if not isinstance(each, dict) or each.get("use", "sig") != "sig" or each.get("kty") not in ("RSA", "EC"):
            continue
        try:
            key = jwk.import_key(each)
            size = key.public_key.key_size if isinstance(key, RSAKey) else RSA_MIN
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(key, RSAKey | ECKey) and size >= RSA_MIN:
            kid = each.get("kid")
            yield kid if isinstance(kid, str) else None, key
