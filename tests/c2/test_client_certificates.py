# SPDX-License-Identifier: Apache-2.0
"""Certificates of clients let in whom an identity names, on both APIs, and nobody else."""

from __future__ import annotations

import datetime
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx2
import pytest
from cryptography import x509
from grpc.experimental import session_cache

from e4core.errors import InvalidInput, StorageError
from tests.c2.authority import DAY, Authority, Pair
from tests.c2.grpc_client import Caller, refused
from tests.c2.pairs import self_signed
from tests.c2.served import ADMIN, PATIENCE_S, Served, bearer, created, problem, serving, settings_in

JSON = {"Content-Type": "application/json"}
VIEWER = [{"role": "viewer", "clients": ["*"], "topics": ["*"]}]


class Site:
    """A C2 that asks for certificates of a CA."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, Authority(folder)
        self.files = self_signed(folder)
        self.server = self.files["tls_certificate"]

    @contextmanager
    def serving(self, **other: object) -> Iterator[Served]:
        settings = settings_in(self.folder, tls_client_ca=self.ca.file, **self.files, **other)
        with serving(settings) as c2, self.connection(c2) as http:
            self.admin = http
            http.headers.update(bearer(c2.token))
            yield c2

    def connection(self, c2: Served, pair: Pair | None = None) -> httpx2.Client:
        """A client that shows ``pair``, or none, and no token."""
        verify = pair.trusting(self.server) if pair else ssl.create_default_context(cafile=self.server)
        return httpx2.Client(base_url=c2.started.url, verify=verify, timeout=PATIENCE_S, trust_env=False)

    def identity(self, found_by: str, value: str, grants: object = ADMIN) -> str:
        made = {"name": f"by {found_by}", "found_by": found_by, "value": value, "grants": grants}
        return str(created(self.admin.post("/v1/identities", json=made))["id"])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_whom_an_identity_names_is_let_in_until_it_is_removed(site: Site) -> None:
    names = [
        x509.DNSName("Ops.Example"),
        x509.UniformResourceIdentifier("spiffe://a/ops"),
        x509.RFC822Name("o@a.example"),
    ]
    pair = site.ca.pair("ops", *names)
    ways = {
        "san": ("dns:ops.example", "uri:spiffe://a/ops", "email:o@a.example"),
        "fingerprint": (pair.fingerprint.upper(),),
    }
    with site.serving() as c2, site.connection(c2, pair) as http:
        for found_by, value in [(by, value) for by, values in ways.items() for value in values]:
            told = problem(http.get("/v1/topics"), 401, "unauthenticated")["detail"]
            assert "e4 identity create" in told
            identity = site.identity(found_by, value)
            who = http.get("/v1/self").json()
            assert who == {"kind": "certificate", "id": identity, "name": f"by {found_by}", "grants": ADMIN}
            created(http.post("/v1/topics", json={"name": value.lower()}))
            assert site.admin.delete(f"/v1/identities/{identity}").status_code == 204


def test_one_of_another_ca_or_of_the_past_gets_no_connection(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "ca").pair("ops", x509.DNSName("ops.example"))
    past = site.ca.pair("past", x509.DNSName("ops.example"), ends=-datetime.timedelta(hours=1))
    with site.serving() as c2:
        site.identity("san", "dns:ops.example")
        for pair in (other, past):
            with site.connection(c2, pair) as http, pytest.raises(httpx2.TransportError):
                http.get("/v1/self")
        with site.connection(c2) as http:
            problem(http.get("/v1/self"), 401, "unauthenticated")


def test_one_that_expires_on_an_open_connection_is_valid_no_more(site: Site) -> None:
    pair = site.ca.pair("ops", x509.DNSName("ops.example"))
    with site.serving() as c2, site.connection(c2, pair) as http:
        site.identity("san", "dns:ops.example")
        assert http.get("/v1/self").status_code == 200
        c2.clock.ahead_s = DAY.total_seconds() + 60
        assert "expired" in problem(http.get("/v1/self"), 401, "unauthenticated")["detail"]


def test_beside_a_token_the_token_counts_right_or_wrong(site: Site) -> None:
    pair = site.ca.pair("ops", x509.DNSName("ops.example"))
    with site.serving() as c2, site.connection(c2, pair) as http:
        site.identity("san", "dns:ops.example", VIEWER)
        assert http.get("/v1/self", headers=bearer(c2.token)).json()["kind"] == "token"
        for wrong in (bearer("e4_wrong"), {"Authorization": "Basic b3Bz"}, {"Authorization": ""}):
            problem(http.get("/v1/self", headers=wrong), 401, "unauthenticated")
        assert http.get("/v1/self").json()["kind"] == "certificate"


def test_it_lets_do_no_more_than_its_maker_may(site: Site) -> None:
    pair = site.ca.pair("ops", x509.DNSName("ops.example"))
    with site.serving() as c2, site.connection(c2, pair) as http:
        site.identity("san", "dns:ops.example", [{"role": "admin", "clients": ["a/*"], "topics": ["a/*"]}])
        more = {"name": "x", "found_by": "san", "value": "dns:x.example", "grants": ADMIN}
        problem(http.post("/v1/identities", json=more), 403, "forbidden")
        assert len(http.get("/v1/identities").json()["items"]) == 1
        mine = {**more, "grants": [{"role": "operator", "clients": ["a/*"], "topics": []}]}
        created(http.post("/v1/identities", json=mine))
        problem(http.post("/v1/identities", json=mine), 409, "conflict")
        site.identity("fingerprint", "ab" * 32)
        assert len(http.get("/v1/identities").json()["items"]) == 2


def test_what_names_nobody_is_refused(site: Site) -> None:
    with site.serving():
        body = {"name": "x", "found_by": "san", "value": "dns:a", "grants": []}
        for wrong in (
            {"value": "a.example"},
            {"value": "dns:"},
            {"value": "ip:1.2.3.4"},
            {"value": "dns:a\n"},
            {"value": "dns:" + "a" * 512},
            {"issuer": "https://issuer.example"},
            {"found_by": "fingerprint", "value": "ab" * 31},
            {"found_by": "subject", "value": "a"},
            {"found_by": "group", "value": "", "issuer": "https://issuer.example"},
            {"found_by": "subject", "value": "\ud800", "issuer": "https://issuer.example"},
        ):
            content = json.dumps({**body, **wrong})  # as JSON may hold a lone surrogate
            problem(site.admin.post("/v1/identities", content=content, headers=JSON), 422, "bad_identity")
        problem(site.admin.post("/v1/identities", json={**body, "found_by": "dn"}), 422)
        assert site.admin.get("/v1/identities").json()["items"] == []


def test_grpc_takes_them_where_it_requires_one(site: Site) -> None:
    pair = site.ca.pair("ops", x509.DNSName("ops.example"))
    trusted = site.server.read_bytes()
    with site.serving(grpc_port=0, grpc_client_certificates=True) as c2:
        shown = grpc.ssl_channel_credentials(trusted, pair.key.read_bytes(), pair.certificate.read_bytes())
        with grpc.secure_channel(c2.started.grpc, shown) as channel:
            nobody = Caller(channel, None)
            with refused("UNAUTHENTICATED", "unauthenticated"):
                nobody("C2.ShowSelf")
            identity = site.identity("san", "dns:ops.example", VIEWER)
            assert nobody("C2.ShowSelf").id == identity
            assert Caller(channel, c2.token)("C2.ShowSelf").kind == "token"
            site.admin.delete(f"/v1/identities/{identity}")
            with refused("UNAUTHENTICATED", "unauthenticated"):
                nobody("C2.ShowSelf")
        with (
            grpc.secure_channel(c2.started.grpc, grpc.ssl_channel_credentials(trusted)) as channel,
            refused("UNAVAILABLE"),
        ):
            Caller(channel, c2.token)("C2.ShowSelf")


def test_grpc_takes_a_new_ca_and_trusts_the_former_no_more(site: Site, tmp_path: Path) -> None:
    pair = site.ca.pair("ops", x509.DNSName("ops.example"))
    cached = (("grpc.ssl_session_cache", session_cache.ssl_session_cache_lru(8)),)
    shown = grpc.ssl_channel_credentials(site.server.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes())

    def who(c2: Served) -> str:
        with grpc.secure_channel(c2.started.grpc, shown, (*cached, ("grpc.use_local_subchannel_pool", 1))) as channel:
            return str(Caller(channel, c2.token)("C2.ShowSelf").kind)

    with site.serving(grpc_port=0, grpc_client_certificates=True) as c2:
        assert who(c2) == who(c2) == "token"
        (tmp_path / "other").mkdir()
        site.ca.file.write_bytes(Authority(tmp_path / "other", "other").file.read_bytes())
        with refused("UNAVAILABLE"):
            who(c2)


def test_settings_that_cannot_work_are_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("no PEM")
    with (
        pytest.raises(StorageError, match="CA of clients"),
        serving(settings_in(tmp_path, tls_client_ca=tmp_path / "none.pem", **site.files)),
    ):
        pass
    oidc = {"oidc_issuer": "https://issuer.example", "oidc_audience": "e4"}
    with (
        pytest.raises(StorageError, match="CA of the issuer"),
        serving(settings_in(tmp_path, oidc_ca=tmp_path / "none.pem", **oidc)),
    ):
        pass
    for wrong in (
        {"tls_client_ca": site.ca.file},
        {"grpc_client_certificates": True, **site.files},
        {"oidc_issuer": "https://issuer.example"},
        {**oidc, "oidc_issuer": "http://issuer.example"},
        {**oidc, "oidc_issuer": "issuer"},
        {**oidc, "oidc_issuer": "http://[::1"},
    ):
        with pytest.raises((InvalidInput, ValueError)):
            settings_in(tmp_path, **wrong)
