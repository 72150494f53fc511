# SPDX-License-Identifier: Apache-2.0
"""The certificate that clients of the C2 see: read at the start, and anew whenever its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from e4c2.settings import Settings
from e4core import files
from e4core.errors import E4Error, StorageError

log = logging.getLogger(__name__)

Marks = list[tuple[int, int, int]]

LOOK_EVERY_S = 60.0
WARN_WITHIN = timedelta(days=21)


class Certificates:
    """One for all listeners of a process.

    Attributes: context: for listening; each connection takes what was read last, so that it need not be made anew.
        expires: of the certificate in use.
    """

    def __init__(self, certificate: Path, key: Path, ca: Path | None = None) -> None:
        """Args: ca: of the certificates that clients may show; None: they are asked for none.

        Raises: StorageError: a file cannot be read or used, or the key is not private.
        """
        self._certificate, self._key, self._ca = certificate, key, ca
        self._wanted = asyncio.Event()
        self.context = _Newest(self._read())

    @classmethod
    def of(cls, settings: Settings) -> Certificates | None:
        """As configured; None: none are. Raises: StorageError."""
        if settings.tls_certificate is None or settings.tls_key is None:
            return None
        return cls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)

    def reload(self) -> None:
        """Look at the files soon, whether they seem to have changed or not."""
        self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            if self._wanted.is_set() or self._marks() != self._read_marks:
                self._wanted.clear()
                self._renew()

    def warning(self, now: float) -> str | None:
        """What is to be done about the certificate in use; None: nothing. Args: now: Unix seconds."""
        left = self.expires - datetime.fromtimestamp(now, UTC)
        if left > WARN_WITHIN:
            return None
        when = f"expires in {left.days} days" if left > timedelta() else "has expired"
        return f"the certificate of the API {when}; put a new pair at {self._certificate} and {self._key}"

    def _renew(self) -> None:
        try:
            self.context.newest = self._read()
        except E4Error as error:
            log.error("the former certificate stays in use: %s", error)
        else:
            log.warning("a new certificate is in use, valid until %s", self.expires.isoformat())

    def _read(self) -> ssl.SSLContext:
        self._read_marks = self._marks()
        context = load(self._certificate, self._key, self._ca)
        self.expires = _expiry(self._certificate)
        return context

    def _marks(self) -> Marks:
        return marks(self._certificate, self._key, self._ca)


class _Newest(ssl.SSLContext):
    """Makes each connection one of the context that was read last, and so of no session of a former one.

    In a callback for the server's name it would be too late: then OpenSSL has resumed the session already, with the certificate of
    a client whose CA may be trusted no more.
    """

    newest: ssl.SSLContext

    def __new__(cls, newest: ssl.SSLContext) -> _Newest:
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.newest = newest
        return made

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self.newest.wrap_bio(*args, **kwargs)


def marks(*files: Path | None) -> Marks:
    """What changes when a file does; of one that is missing, nothing: then the former ones stay, and are not told each time."""
    return [_mark(each) for each in files if each]


def load(certificate: Path, key: Path, ca: Path | None = None) -> ssl.SSLContext:
    """Raises: StorageError: a file cannot be read or used, they do not belong together, or the key is not private."""
    files.check(key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except OSError as error:
        raise StorageError(f"{certificate} and {key} cannot be used for TLS: {error.strerror or error}") from error
    if ca is None:
        return context
    try:
        context.load_verify_locations(ca)
    except OSError as error:
        raise StorageError(f"{ca} cannot be used as CA of clients: {error.strerror or error}") from error
    context.verify_mode = ssl.CERT_OPTIONAL  # who has none may have a token
    return context


def _mark(path: Path) -> tuple[int, int, int]:
    try:
        of = path.stat()
    except OSError:
        return 0, 0, 0
    return of.st_ino, of.st_mtime_ns, of.st_size


def _expiry(certificate: Path) -> datetime:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise StorageError(f"{certificate} cannot be read as a certificate: {error}") from error


def _no_password() -> str:
    raise StorageError("the key of the API is encrypted; it must be a plain PEM file that only its owner can read")
