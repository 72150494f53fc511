# SPDX-License-Identifier: Apache-2.0
"""Databases at another host: nobody in between reads along or answers in their place, and passwords stay in their files."""

from __future__ import annotations

import asyncio
import gc
import secrets
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509

from e4c2 import settings
from e4c2.model import metadata
from e4c2.store.address import Address
from e4c2.store.engine import Store
from e4core.errors import InvalidInput, StorageError
from tests.c2.authority import Authority
from tests.cli.command import refused
from tests.databases import KINDS, OWNER, DatabaseServer, Kind, database_server
from tests.servers import ServerTls

OTHER_HOST = "0.0.0.0"
"""Connections to it end at this machine, and nothing counts it as that."""
THIS_HOST = "127.0.0.1"
PASSWORDS = {
    "postgresql": f"ALTER USER {OWNER} PASSWORD '{{}}'",
    "mariadb": f"ALTER USER {OWNER}@'{THIS_HOST}' IDENTIFIED BY '{{}}'",
}
WRONG_PASSWORD = {
    "postgresql": 'password authentication failed for user "owner"',
    "mariadb": "Access denied for user 'owner'",
}
CIPHERS = {
    "postgresql": "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mariadb": "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'",
}


@dataclass
class Guarded:
    """A server that lets its owner in with a password, and whose certificate is for `OTHER_HOST`."""

    server: DatabaseServer
    folder: Path
    authority: Authority
    password: str

    def uri(self, host: str = OTHER_HOST, **options: Path) -> str:
        """Of a new database."""
        place = self.server.make(OWNER)
        query = "&".join(f"{name.replace('_', '-')}={path}" for name, path in options.items())
        return f"{place.kind}://{OWNER}@{host}:{place.port}/{place.name}?{query}"

    def file(self, content: str | bytes, mode: int = 0o600) -> Path:
        path = self.folder / secrets.token_hex(4)
        path.touch(mode)
        path.chmod(mode)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def refuses(self, uri: str, why: str) -> None:
        text = refusal(Address.parse(uri))
        assert why in text
        assert self.password not in text
        assert "\n" not in text


def refusal(address: Address) -> str:
    """What is said when it is opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncmy forgets the socket of a handshake that failed
        try:
            Store(address).close()
        except StorageError as error:
            return str(error)
        finally:
            gc.collect()
    pytest.fail("it was opened")


@pytest.fixture(scope="module", params=KINDS)
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    pair = authority.pair("server", x509.IPAddress(ip_address(OTHER_HOST)))
    with database_server(request.param, ServerTls(authority.file, pair.certificate, pair.key)) as server:
        password = secrets.token_hex(16)
        server.sql(PASSWORDS[request.param].format(password))
        yield Guarded(server, folder, authority, password)


def test_the_connection_to_another_host_is_encrypted(guarded: Guarded) -> None:
    uri = guarded.uri(ca=guarded.authority.file, password_file=guarded.file(f"{guarded.password}\nnot this\n"))
    cipher = sa.text(CIPHERS[guarded.server._kind])
    with closing(Store(Address.parse(uri))) as store:
        assert store.run(lambda db: db.scalar(cipher))
        assert asyncio.run(store.read(lambda db: db.scalar(cipher)))
        assert set(store.run(lambda db: sa.inspect(db).get_table_names())) > set(metadata.tables)


def test_one_to_this_machine_is_so_only_with_certificates(guarded: Guarded) -> None:
    password = guarded.file(guarded.password)
    with closing(Store(Address.parse(guarded.uri(THIS_HOST, password_file=password)))) as store:
        assert not store.run(lambda db: db.scalar(sa.text(CIPHERS[guarded.server._kind])))
    guarded.refuses(
        guarded.uri(THIS_HOST, ca=guarded.authority.file, password_file=password), f"not valid for '{THIS_HOST}'"
    )


def test_a_server_whose_certificate_is_of_nobody_trusted_is_refused(guarded: Guarded) -> None:
    password = guarded.file(guarded.password)
    other = Authority(guarded.folder, "other").file
    guarded.refuses(guarded.uri(password_file=password), "certificate verify failed")
    guarded.refuses(guarded.uri(ca=other, password_file=password), "certificate verify failed")


def test_a_wrong_password_and_none_are_refused(guarded: Guarded) -> None:
    ca, why = guarded.authority.file, WRONG_PASSWORD[guarded.server._kind]
    guarded.refuses(guarded.uri(ca=ca, password_file=guarded.file(f"{guarded.password}x")), why)
    guarded.refuses(guarded.uri(ca=ca), why)


def test_files_that_cannot_be_used_are_refused(guarded: Guarded) -> None:
    ca, password = guarded.authority.file, guarded.file(guarded.password)
    for mode in (0o640, 0o604):
        open_to_others = guarded.file(guarded.password, mode)
        guarded.refuses(guarded.uri(ca=ca, password_file=open_to_others), f"chmod 600 {open_to_others}")
    for no_password in (guarded.folder / "none", guarded.file(""), guarded.file(b"\xff")):
        guarded.refuses(guarded.uri(ca=ca, password_file=no_password), str(no_password))
    for no_certificates in (guarded.folder / "none", guarded.file("no PEM")):
        uri = guarded.uri(ca=no_certificates, password_file=password)
        guarded.refuses(uri, f"the certificates {no_certificates} cannot be used")


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_tls_is_refused(kind: Kind) -> None:
    with database_server(kind) as server:
        place = server.make(OWNER)
        assert "cannot be used as a database over TLS" in refusal(replace(place, host=OTHER_HOST))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["host/e4", "host:5432/e4?ca=x", "host:port/e4", "host", "[::1/e4"])
def test_a_password_in_a_uri_is_refused_and_not_repeated(
    kind: str, end: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = f"{kind}://e4:s3cret@{end}"
    with pytest.raises(InvalidInput) as caught:
        Address.parse(uri)
    assert caught.value.kind == "bad_uri"
    monkeypatch.setenv("E4_DATABASE", uri)
    with pytest.raises(InvalidInput) as of_settings:
        settings.load(None)
    for line in (str(caught.value), str(of_settings.value), refused(3, "serve", env={"E4_DATABASE": uri})):
        assert "s3cret" not in line
