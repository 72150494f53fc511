# SPDX-License-Identifier: Apache-2.0
"""The driver of ``shamir:`` URIs: k of n other KMSes open together what none of them, and nobody who runs one of them, opens alone.

``shamir:2?share=URI&share=URI&share=URI``: the threshold k, then n URIs of KMSes, percent-encoded, in an order that stays;
2 <= k <= n <= 16. A wrapping key, made for each wrap, seals the secret and is split by Shamir's secret sharing; each share of it
is wrapped by its KMS. Where these run and who runs them decides what the threshold is worth.

It protects against whoever has the database and fewer than k KMSes. Not against who reads the memory of this process, where the
secret is whole and cannot be wiped, or can ask k of the KMSes in its name.

``Wrapped.blob`` is `canonical` of: nonce (12 B) | ciphertext | tag (16 B) of AES-256-GCM-SIV (RFC 8452), then for each share
`canonical` of key id, mechanism and blob of its wrap, and its digest (32 B). ``Wrapped.key_id`` is 8 bytes of SHA-256 over all that
but the blobs. A share is 32 bytes: one of each half of the wrapping key, at the same point of two polynomials over GF(2^128).
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from e4core.errors import E4Error, KmsDenied, KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.kms import Kms, KmsFactory, Wrapped
from e4core.plugins import load_kms
from e4kms.records import canonical
from e4kms.shamir_uri import parse

MOST_BLOB_LEN = 8192
"""Bytes; what the database holds of one wrap."""

_KEY_LEN, _HALF_LEN, _NONCE_LEN, _TAG_LEN, _KEY_ID_LEN, _LENGTH_LEN = 32, 16, 12, 16, 8, 4
_DOMAIN = b"e4 shamir kms v1"
_LOG = logging.getLogger(__name__)

T = TypeVar("T")


def open_kms(uri: str, load: KmsFactory = load_kms) -> ShamirKms:
    """What the KMSes named in ``uri`` are together; those that cannot be opened now are opened when they are asked.

    Args: load: how to open one of them.
    Raises: InvalidInput: the URI, or one in it; PluginError: there is no driver for one.
    """
    threshold, uris = parse(uri)
    providers = [_Provider(number, each, load) for number, each in enumerate(uris, 1)]
    for provider in providers:
        # a wrong URI or a missing driver is no outage, and would stay unseen until another KMS fails
        with suppress(KmsError):
            provider.kms()
    return ShamirKms(threshold, providers)


class ShamirKms:
    """A `e4core.kms.Kms`, `e4core.kms.Rewraps` and `e4core.kms.HasShares`.

    Its KMSes are asked side by side, so that the slowest sets the time.
    """

    __slots__ = ("_closed", "_mechanism", "_providers", "_threshold")

    def __init__(self, threshold: int, providers: Sequence[_Provider]) -> None:
        self._threshold = threshold
        self._providers = tuple(providers)
        self._mechanism = f"shamir({threshold}of{len(providers)})+aes-256-gcm-siv"
        self._closed = False

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        """All KMSes must answer, and give their shares back, as one that cannot would be missed only when another fails."""
        self._require_open()
        key = Secret(os.urandom(_KEY_LEN))
        parts = dict(zip(self._providers, _split(key, self._threshold, len(self._providers)), strict=True))
        made, failures = _ask(self._providers, lambda each: self._wrap_share(each, parts[each], context))
        if failures:
            raise _refusal(len(made), failures, len(self._providers))
        shares = [made[provider] for provider in self._providers]
        heads, nonce = self._heads(shares), os.urandom(_NONCE_LEN)
        sealed = nonce + AESGCMSIV(key).encrypt(nonce, secret, canonical(_DOMAIN, heads, context))
        blob = canonical(sealed, *(share.encoded() for share in shares))
        if len(blob) > MOST_BLOB_LEN:
            raise KmsError(f"the wraps of all shares take more than {MOST_BLOB_LEN} bytes; name fewer KMSes")
        return Wrapped(heads[:_KEY_ID_LEN].hex(), self._mechanism, blob)

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        """As many KMSes are asked as are needed, then others in place of those that failed.

        Raises: KmsUnavailable: with those that do not answer it could be done. Tampered: a change stops it; KmsDenied; KmsError.
        """
        self._require_open()
        sealed, shares = self._opened(wrapped)
        key = _combined(self._parts(shares, context))
        bound = canonical(_DOMAIN, self._heads(shares), context)
        try:
            return Secret(AESGCMSIV(key).decrypt(sealed[:_NONCE_LEN], sealed[_NONCE_LEN:], bound))
        except InvalidTag as error:
            raise _tampered() from error

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        """Split anew, so that a share of before is worth nothing together with those of now; all KMSes must answer."""
        return self.wrap(self.unwrap(wrapped, context), context)

    def check(self) -> None:
        """Raises: KmsUnavailable: fewer than k KMSes can be used."""
        self.check_shares(None, b"")

    def check_shares(self, wrapped: Wrapped | None, context: bytes, /) -> str | None:
        """Raises: as `check`; of ``wrapped`` as `unwrap`."""
        self._require_open()
        shares = self._opened(wrapped)[1] if wrapped else []

        def prove(provider: _Provider) -> None:
            if shares:
                self._unwrap_share(provider, shares[provider.number - 1], context)
            else:
                provider.kms().check()

        answers, failures = _ask(self._providers, prove)
        if len(answers) < self._threshold:
            refusal = _refusal(len(answers), failures, self._threshold)
            raise refusal if wrapped else KmsUnavailable(str(refusal))
        if not failures:
            return None
        return f"{len(answers)} of {len(self._providers)} shares answer; these do not: {_names(failures)}"

    def close(self) -> None:
        self._closed = True
        for kms in [kms for provider in self._providers for kms in provider.opened.values()]:
            kms.close()

    def _wrap_share(self, provider: _Provider, part: Secret, context: bytes) -> _Share:
        kms, bound = provider.kms(), self._bound(provider, context)
        wrapped = kms.wrap(part, bound)
        if kms.unwrap(wrapped, bound) != part:
            raise KmsError("it does not give back what it wrapped")
        return _Share(wrapped, _digest(part, bound))

    def _parts(self, shares: Sequence[_Share], context: bytes) -> dict[int, Secret]:
        """As many parts of the wrapping key as it takes, by number."""
        parts: dict[_Provider, Secret] = {}
        failures: _Failures = {}
        # who failed the last time is asked last: waiting for it once is enough
        waiting = sorted(self._providers, key=lambda provider: provider.failed)
        while waiting and (missing := self._threshold - len(parts)) > 0:
            asked, waiting = waiting[:missing], waiting[missing:]
            answers, failed = _ask(asked, lambda each: self._unwrap_share(each, shares[each.number - 1], context))
            parts |= answers
            failures |= failed
        if len(parts) < self._threshold:
            raise _refusal(len(parts), failures, self._threshold)
        return {provider.number: part for provider, part in parts.items()}

    def _unwrap_share(self, provider: _Provider, share: _Share, context: bytes) -> Secret:
        bound = self._bound(provider, context)
        part = provider.kms().unwrap(share.wrapped, bound)
        if len(part) != _KEY_LEN or not hmac.compare_digest(_digest(part, bound), share.digest):
            raise Tampered("its share is not the one that was made; restore the wrap from a backup")
        return part

    def _bound(self, provider: _Provider, context: bytes) -> bytes:
        numbers = provider.number, len(self._providers), self._threshold
        return canonical(b"e4 shamir share v1", bytes(numbers), context)

    def _heads(self, shares: Sequence[_Share]) -> bytes:
        fields = (canonical(*share.head) for share in shares)
        return sha256(canonical(b"e4 shamir heads v1", self._mechanism.encode(), *fields)).digest()

    def _opened(self, wrapped: Wrapped) -> tuple[bytes, list[_Share]]:
        """What was sealed, and the shares of its key. Raises: Tampered."""
        if wrapped.mechanism != self._mechanism:
            raise Tampered(f"{wrapped.mechanism!r} is not how {self._mechanism} wraps; restore the wrap from a backup")
        sealed, *encoded = _fields(wrapped.blob, 1 + len(self._providers))
        shares = [_Share.parse(each) for each in encoded]
        if len(sealed) < _NONCE_LEN + _TAG_LEN or self._heads(shares)[:_KEY_ID_LEN].hex() != wrapped.key_id:
            raise _tampered()
        return sealed, shares

    def _require_open(self) -> None:
        if self._closed:
            raise KmsError("the KMS is closed; open it again")


@dataclass(eq=False, slots=True)
class _Provider:
    """One of the KMSes, by its number from 1; ``failed`` is how it went the last time."""

    number: int
    uri: str
    load: KmsFactory
    failed: bool = False
    opened: dict[str, Kms] = field(default_factory=dict)

    def kms(self) -> Kms:
        kms = self.opened.get(self.uri)
        if kms is None:
            # no lock, which a forked child might find taken: of several made at once the first stays
            made = self.load(self.uri)
            kms = self.opened.setdefault(self.uri, made)
            if kms is not made:
                made.close()
        return kms


@dataclass(frozen=True, slots=True)
class _Share:
    """As it is stored. The digest tells which KMS gave a wrong share, and helps nobody to guess the 256 random bits of it."""

    wrapped: Wrapped
    digest: bytes

    @classmethod
    def parse(cls, encoded: bytes) -> _Share:
        """Raises: Tampered."""
        key_id, mechanism, digest, blob = _fields(encoded, 4)
        # what is no UTF-8 becomes another text, which is not that of the heads
        return cls(Wrapped(key_id.decode(errors="replace"), mechanism.decode(errors="replace"), blob), digest)

    @property
    def head(self) -> tuple[bytes, bytes, bytes]:
        return self.wrapped.key_id.encode(), self.wrapped.mechanism.encode(), self.digest

    def encoded(self) -> bytes:
        return canonical(*self.head, self.wrapped.blob)


_Failures = dict[_Provider, E4Error]


def _ask(providers: Sequence[_Provider], call: Callable[[_Provider], T]) -> tuple[dict[_Provider, T], _Failures]:
    """What ``call`` gives for each, and why it gives nothing for the others."""
    answers: dict[_Provider, T] = {}
    failures: _Failures = {}
    with ThreadPoolExecutor(len(providers), "e4-shamir") as pool:
        asked = {provider: pool.submit(call, provider) for provider in providers}
    for provider, future in asked.items():
        try:
            answers[provider] = future.result()
        except E4Error as error:
            failures[provider] = error
            _LOG.warning("%s cannot be used (%s): %s", provider.uri, error.kind, error)
        provider.failed = provider in failures
    return answers, failures


def _refusal(answers: int, failures: _Failures, needed: int) -> KmsError:
    """What it means that ``answers`` are fewer than ``needed``."""
    errors = failures.values()
    summary = f"{needed} KMSes are needed together and {answers} can be used; mend {_names(failures)}"
    if answers + sum(isinstance(error, KmsUnavailable) for error in errors) >= needed:
        return KmsUnavailable(summary)
    gravest = (kind for kind in (Tampered, KmsDenied) if any(isinstance(error, kind) for error in errors))
    return next(gravest, KmsError)(summary)


def _names(failures: _Failures) -> str:
    return ", ".join(f"{provider.uri} ({error.kind})" for provider, error in failures.items())


def _split(key: Secret, threshold: int, count: int) -> list[Secret]:
    halves = (Shamir.split(threshold, count, half) for half in (key[:_HALF_LEN], key[_HALF_LEN:]))
    return [Secret(low + high) for (_, low), (_, high) in zip(*halves, strict=True)]


def _combined(parts: Mapping[int, Secret]) -> Secret:
    low = Shamir.combine([(number, part[:_HALF_LEN]) for number, part in parts.items()])
    high = Shamir.combine([(number, part[_HALF_LEN:]) for number, part in parts.items()])
    return Secret(low + high)


def _digest(part: Secret, bound: bytes) -> bytes:
    return sha256(canonical(b"e4 shamir digest v1", bound, part)).digest()


def _fields(data: bytes, count: int) -> list[bytes]:
    """The fields of which `canonical` made ``data``. Raises: Tampered: there are not ``count``."""
    fields, at = [], 0
    for _ in range(count):
        begin = at + _LENGTH_LEN
        at = begin + int.from_bytes(data[at:begin], "little")
        fields.append(data[begin:at])
    if at != len(data) or at > MOST_BLOB_LEN:
        raise _tampered()
    return fields


def _tampered() -> Tampered:
    return Tampered("a secret wrapped by several KMSes was changed or belongs elsewhere; restore it from a backup")
