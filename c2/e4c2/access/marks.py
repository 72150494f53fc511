# SPDX-License-Identifier: Apache-2.0
"""What people and programs are known by to others: to an issuer of OpenID Connect, or to a CA. Pure values, no database."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from e4core.errors import InvalidInput

VALUE_MAX = 512
"""Longest value and longest issuer, in bytes of UTF-8."""


class PrincipalKind(StrEnum):
    """What somebody has shown to be known."""

    TOKEN = "token"  # noqa: S105
    CERTIFICATE = "certificate"
    OIDC = "oidc"
    ENROLMENT = "enrolment"


class FoundBy(StrEnum):
    """What is looked at: of an OIDC token its subject or one of its groups, of a certificate a name or itself."""

    SUBJECT = "subject"
    GROUP = "group"
    SAN = "san"
    FINGERPRINT = "fingerprint"


OF_OIDC = (FoundBy.SUBJECT, FoundBy.GROUP)


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing to be known by. ``issuer``: URL of who says so, as in its tokens; empty: the CA of the settings."""

    found_by: FoundBy
    issuer: str
    value: str

    @property
    def lookup(self) -> bytes:
        """32 bytes that no other mark has."""
        parts = [part.encode() for part in (self.found_by, self.issuer, self.value)]
        return hashlib.sha256(b"".join(len(part).to_bytes(4, "little") + part for part in parts)).digest()


@dataclass(frozen=True, slots=True)
class Shown:
    """Somebody whom an issuer or a CA has vouched for. ``id`` empty: that of the identity they are found by."""

    kind: PrincipalKind
    id: str
    name: str
    marks: tuple[Mark, ...] = field(repr=False)
    until: float
    """Unix seconds, from which on nobody vouches for them."""


def parse(found_by: FoundBy, issuer: str, value: str) -> Mark:
    """A mark as somebody wrote it. Raises: InvalidInput (``bad_identity``)."""
    if (found_by in OF_OIDC) is not bool(issuer):
        raise _bad(
            "a subject or a group is of an issuer, by its URL; a certificate is of the CA of the settings, without one"
        )
    for text in (issuer, value):
        if not text.isprintable() or not len(text.encode(errors="replace")) <= VALUE_MAX:
            raise _bad(f"what somebody is known by is at most {VALUE_MAX} bytes of UTF-8 without control characters")
    if not value:
        raise _bad("say what they are known by")
    return Mark(found_by, issuer, _WRITTEN.get(found_by, str)(value))


def san(kind: str, name: str) -> Mark:
    """Args: kind: ``dns``, ``uri`` or ``email``."""
    return Mark(FoundBy.SAN, "", f"{kind}:{name.lower() if kind == 'dns' else name}")


def fingerprint(digest: bytes) -> Mark:
    """Args: digest: SHA-256 of a certificate in DER, 32 B."""
    return Mark(FoundBy.FINGERPRINT, "", digest.hex())


def _san(text: str) -> str:
    kind, _, name = text.partition(":")
    if kind not in ("dns", "uri", "email") or not name:
        raise _bad("a name in a certificate is written dns:NAME, uri:URI or email:ADDRESS")
    return san(kind, name).value


def _fingerprint(text: str) -> str:
    plain = text.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", plain):
        raise _bad("a fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits, with or without colons")
    return plain


_WRITTEN: Mapping[FoundBy, Callable[[str], str]] = {FoundBy.SAN: _san, FoundBy.FINGERPRINT: _fingerprint}


def _bad(text: str) -> InvalidInput:
    return InvalidInput(text, kind="bad_identity")
