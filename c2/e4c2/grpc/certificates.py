# SPDX-License-Identifier: Apache-2.0
"""TLS with the certificate of the HTTP API, read again when its files change."""

from __future__ import annotations

import logging
from pathlib import Path

import grpc

from e4c2.api import certificates
from e4c2.settings import Settings
from e4core.errors import StorageError

log = logging.getLogger(__name__)


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """None: without TLS. Raises: StorageError: a file cannot be read or used."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    pair = _Pair((settings.tls_certificate, settings.tls_key), settings.tls_client_ca)
    return grpc.dynamic_ssl_server_credentials(pair.read(), pair.changed, settings.grpc_client_certificates)


class _Pair:
    def __init__(self, files: tuple[Path, Path], ca: Path | None) -> None:
        self._files, self._ca = files, ca
        self._seen = self._stamp()

    def read(self) -> grpc.ServerCertificateConfiguration:
        certificates.load(*self._files, self._ca)  # says what is wrong, where gRPC would be silent
        certificate, key = (file.read_bytes() for file in self._files)
        ca = self._ca and self._ca.read_bytes()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], ca)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked before each handshake, in a thread of gRPC; None: as before."""
        if (now := self._stamp()) == self._seen:
            return None
        self._seen = now
        try:
            return self.read()
        except (StorageError, OSError) as error:
            log.error("gRPC keeps its former certificate: %s", error)
            return None

    def _stamp(self) -> certificates.Marks:
        return certificates.marks(*self._files, self._ca)
