# SPDX-License-Identifier: Apache-2.0
"""A connection to a C2: what a caller shows there, and whom the caller takes for the C2."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from e4core import files
from e4core.errors import InvalidInput, StorageError, TransportError
from e4core.keys import Secret

if TYPE_CHECKING:
    import httpx2

DEFAULT_URL = "http://127.0.0.1:8884"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Token:
    """What a caller shows; ``source`` says to people where it came from."""

    text: Secret
    source: str

    def __post_init__(self) -> None:
        """Raises: InvalidInput (``bad_token``): empty, or not in one line of ASCII."""
        if not self.text or not all(0x21 <= byte <= 0x7E for byte in self.text):
            raise InvalidInput(f"{self.source} holds no token; a token is one line, as e4_...", kind="bad_token")


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a certificate that a caller shows, and of its key."""

    certificate: Path
    key: Path

    @property
    def source(self) -> str:
        return str(self.certificate)

    def load(self, context: ssl.SSLContext) -> None:
        """Raises: StorageError: they cannot be read or are no pair, or the key is open to others."""
        files.check(self.key)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            why = error.strerror or error
            raise StorageError(f"{self.certificate} and {self.key} are no certificate and its key: {why}") from error


Shown = Token | Certificate


@dataclass(frozen=True, slots=True)
class Pin:
    """SHA-256 of the one certificate that a C2 may show, 32 B."""

    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Pin:
        """From hexadecimal digits, with or without colons. Raises: InvalidInput."""
        digits = text.replace(":", "")
        if not re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
            raise InvalidInput("a fingerprint is the SHA-256 of a certificate: 64 hexadecimal digits", kind="bad_pin")
        return cls(bytes.fromhex(digits))

    def context(self, url: str) -> ssl.SSLContext:
        """What trusts that very certificate alone. Raises: TransportError: another one is shown, or nobody answers."""
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 443)
        try:
            shown = ssl.get_server_certificate(address, timeout=TIMEOUT_S)
        except OSError as error:
            raise TransportError(f"no C2 answers with TLS at {url}; see --url: {error}") from error
        if hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).digest() != self.digest:
            raise TransportError(
                f"{url} shows another certificate; is this the C2 that you mean?", kind="other_certificate"
            )
        context = ssl.create_default_context(cadata=shown)
        context.check_hostname = False  # it is the one that was named
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


Authorities = Path | Pin | None
"""Who may vouch for a C2: those in a PEM file, nobody but its own known certificate, or those of the system."""


def connection(url: str, shown: Shown, ca: Authorities) -> httpx2.Client:
    """Not yet connected.

    Args: url: as `checked_url` gives it.  ca: None: the authorities of the system.
    Raises: InvalidInput: the URL. StorageError: a file cannot be used. TransportError: as `Pin.context`.
    """
    import httpx2

    try:
        # trust_env: a proxy would get the token, and ~/.netrc would replace it
        return httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {shown.text.decode()}"} if isinstance(shown, Token) else {},
            verify=_context(url, shown, ca),
            timeout=TIMEOUT_S,
            trust_env=False,
        )
    except httpx2.InvalidURL as error:
        raise _bad_url() from error


def _context(url: str, shown: Shown, ca: Authorities) -> ssl.SSLContext | bool:
    if isinstance(shown, Token):
        return _authorities(url, ca)
    if urlsplit(url).scheme != "https":
        raise InvalidInput("a certificate is shown by TLS alone, so the URL begins with https", kind="bad_url")
    import httpx2

    trusted = _authorities(url, ca)
    context = trusted if isinstance(trusted, ssl.SSLContext) else httpx2.create_ssl_context(trust_env=False)
    shown.load(context)
    return context


def _authorities(url: str, ca: Authorities) -> ssl.SSLContext | bool:
    if isinstance(ca, Pin):
        if urlsplit(url).scheme != "https":
            raise InvalidInput("a fingerprint is of a certificate, so the URL begins with https", kind="bad_url")
        return ca.context(url)
    try:
        if ca is not None:
            return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise StorageError(f"{ca} cannot be used as authorities: {error.strerror or error}") from error
    # reading those of the system takes as long as a request; for http let it be nobody
    return True if urlsplit(url).scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def checked_url(url: str) -> str:
    """``url`` if a token may be sent there."""
    try:
        parts = urlsplit(url)
        # it drops line breaks without a word
        host = parts.hostname if url.isprintable() and " " not in url else None
        _ = parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.username is not None or parts.query or parts.fragment:
        raise _bad_url()
    if parts.scheme == "http" and not _is_loopback(host):
        raise InvalidInput(f"on the way to {host} others could read the token; use https", kind="bad_url")
    return url


def _bad_url() -> InvalidInput:
    return InvalidInput("the URL of a C2 is as http://127.0.0.1:8884 or https://c2.example", kind="bad_url")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
