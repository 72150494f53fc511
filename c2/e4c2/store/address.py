# SPDX-License-Identifier: Apache-2.0
"""Where a database server is, parsed once from its URI."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from e4core.uri import Option, is_loopback, options, path, refuse

_PORTS = {"postgresql": 5432, "mariadb": 3306}


@dataclass(frozen=True, slots=True)
class Address:
    """``postgresql://user@host[:5432]/name?option=value&...`` or ``mariadb://user@host[:3306]/name?...``.

    To any host but this machine itself the connection uses TLS and checks the server's certificate.
    Attributes: ca: PEM certificates to trust instead of the system's; with it TLS is used to this machine too.
    """

    kind: str
    user: str
    host: str
    port: int
    name: str
    password_file: Path | None = None
    ca: Path | None = None

    def __str__(self) -> str:
        return f"{self.kind}://{self.host}:{self.port}/{self.name}"

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Raises: InvalidInput (``bad_uri``): with what is wrong, never with a password that stands in the URI."""
        try:
            url = sa.make_url(uri)
        except (sa.exc.ArgumentError, ValueError):
            url = sa.URL.create("none")
        if url.password is not None:
            refuse("a password does not belong into a URI; put it into a file and say ?password-file=PATH")
        if url.drivername not in _PORTS or not (url.username and url.host and url.database) or "/" in url.database:
            refuse("a database URI has the form postgresql://user@host[:port]/name or mariadb://user@host[:port]/name")
        address = cls(url.drivername, url.username, url.host, url.port or _PORTS[url.drivername], url.database)
        return replace(address, **options("a database URI", uri.partition("?")[2], _OPTIONS))

    @property
    def tls(self) -> bool:
        return self.ca is not None or not is_loopback(self.host)


_OPTIONS: dict[str, Option] = {
    "password-file": ("password_file", path, "the path of a file whose first line is the password"),
    "ca": ("ca", path, "the path of a file with PEM certificates"),
}
