# SPDX-License-Identifier: Apache-2.0
"""Tokens of an issuer let in whom an identity names, while they are valid, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from e4c2.access.marks import FoundBy
from e4c2.oidc.issuer import Issuer as Trusted
from e4c2.oidc.keys import REFETCH_S, REFRESH_S, STALE_S, Keys
from e4core.errors import Denied, IssuerUnavailable
from tests.c2.issuer import AUDIENCE, Issuer, forged
from tests.c2.served import ADMIN, Served, bearer, created, problem, serving, settings_in

TLS = ssl.create_default_context()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer().serving() as served:
        yield served


class Trust:
    """A C2's view of an issuer, with a clock that stands still."""

    def __init__(self, issuer: Issuer) -> None:
        self.now = 1000.0
        self._trusted = Trusted(issuer.url, AUDIENCE, "groups", Keys(issuer.url, TLS, lambda: self.now))
        self._runner = asyncio.Runner()

    def subject(self, token: str) -> str:
        shown = self._runner.run(self._trusted.verify(token, time.time()))
        return shown.marks[0].value

    def groups(self, token: str) -> list[str]:
        shown = self._runner.run(self._trusted.verify(token, time.time()))
        return [mark.value for mark in shown.marks if mark.found_by is FoundBy.GROUP]

    def close(self) -> None:
        self._runner.close()


@pytest.fixture
def trust(issuer: Issuer) -> Iterator[Trust]:
    made = Trust(issuer)
    yield made
    made.close()


@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_whom_it_vouches_for_is_known(issuer: Issuer, trust: Trust, key: str) -> None:
    assert trust.subject(issuer.token(key)) == "ann"
    assert trust.subject(issuer.token(key, aud=["other", AUDIENCE], nbf=int(time.time()) + 20)) == "ann"
    assert trust.subject(issuer.token(key, {"typ": "at+JWT"})) == "ann"
    assert trust.groups(issuer.token(key, groups=["a", "b", 7, ""])) == ["a", "b"]
    assert trust.groups(issuer.token(key, groups="a")) == ["a"]
    assert len(issuer.asked) == 2


NOW = int(time.time())
WRONG: list[dict[str, Any]] = [
    {"iss": "https://other.example"},
    {"iss": None},
    {"aud": "other"},
    {"aud": ["other"]},
    {"aud": None},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"sub": "a\n"},
    {"exp": NOW - 3600},
    {"exp": None},
    {"exp": "never"},
    {"nbf": NOW + 3600},
    {"iat": NOW + 3600},
    {"iat": None},
    {"groups": ["g"] * 201},
]


# their ids must be the same in every process, whatever its clock says
@pytest.mark.parametrize(
    "claims", WRONG, ids=[f"{name}-{number}" for number, each in enumerate(WRONG) for name in each]
)
def test_what_it_says_of_others_or_another_time_is_refused(
    issuer: Issuer, trust: Trust, claims: dict[str, Any]
) -> None:
    with pytest.raises(Denied):
        trust.subject(issuer.token(**claims))


def test_a_token_that_is_not_signed_by_its_key_pair_is_refused(issuer: Issuer, trust: Trust) -> None:
    token = issuer.token()
    head, payload, signature = token.split(".")
    public = json.dumps(issuer.signing["ec"].as_dict(private=False)).encode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    deep = base64.urlsafe_b64encode(b"[" * 9000).decode().rstrip("=")
    other = Issuer()
    other.url = issuer.url
    for bad in (
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        forged(token, {"alg": "HS256", "kid": "ec"}, public),
        other.token(),
        f"{head}.{payload}.{signature[:-4]}AAAA",
        f"{head}.{payload}.",
        f"{deep}.{payload}.{signature}",
        issuer.token("rsa", {"kid": "ec"}),
        issuer.token("ec", {"kid": "rsa"}),
        issuer.token(header={"typ": "logout+jwt"}),
        "..",
        "a.b.c",
    ):
        with pytest.raises(Denied):
            trust.subject(bad)


def test_new_keys_are_found_and_asked_for_only_so_often(issuer: Issuer, trust: Trust) -> None:
    trust.subject(issuer.token())
    issuer.rotate("next")
    with pytest.raises(Denied):
        trust.subject(issuer.token())
    trust.now += REFETCH_S
    assert trust.subject(issuer.token()) == "ann"
    asked = len(issuer.asked)
    issuer.signing = {"ec": Issuer().signing["ec"]}
    for _ in range(5):
        with pytest.raises(Denied):
            trust.subject(issuer.token())
    assert len(issuer.asked) == asked
    trust.now += REFETCH_S
    with pytest.raises(Denied):
        trust.subject(issuer.token())
    assert len(issuer.asked) == asked + 2


def test_keys_that_it_took_back_are_forgotten(issuer: Issuer, trust: Trust) -> None:
    former = issuer.token()
    assert trust.subject(former) == "ann"
    issuer.rotate("next")
    trust.now += REFRESH_S + 1
    with pytest.raises(Denied):
        trust.subject(former)


def test_while_it_is_away_known_keys_go_on_for_a_day_and_others_wait(issuer: Issuer, trust: Trust) -> None:
    known = issuer.token()
    trust.subject(known)
    issuer.documents = {}
    trust.now += REFRESH_S + 1
    assert trust.subject(known) == "ann"
    issuer.signing["ec"] = Issuer().signing["rsa"]
    issuer.signing["new"] = RSAKey.generate_key(2048, {"kid": "new"})
    with pytest.raises(IssuerUnavailable):
        trust.subject(issuer.token("new"))
    trust.now += STALE_S
    with pytest.raises(IssuerUnavailable):
        trust.subject(known)


ABOUT = "/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (ABOUT, b"{"),
        (ABOUT, b"[]"),
        (ABOUT, b"[" * 100_000),
        (ABOUT, b" " * 600_000 + b"{}"),
        (ABOUT, b'{"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"}'),
        (ABOUT, b'{"issuer": "URL"}'),
        (ABOUT, b'{"issuer": "URL", "jwks_uri": "http://192.0.2.1/keys"}'),
        ("/keys", b"7"),
    ],
)
def test_answers_that_are_none_let_nobody_in(issuer: Issuer, trust: Trust, path: str, answer: bytes) -> None:
    issuer.documents[path] = answer.replace(b"URL", issuer.url.encode())
    with pytest.raises(IssuerUnavailable):
        trust.subject(issuer.token())


def test_keys_that_cannot_be_used_are_passed_over(issuer: Issuer, trust: Trust) -> None:
    keys = json.loads(issuer.documents["/keys"])["keys"]
    odd = [7, {}, {"kty": "EC"}, {"kty": "oct", "kid": "x", "k": "AAAA"}, {**keys[1], "kid": "enc", "use": "enc"}]
    issuer.documents["/keys"] = json.dumps({"keys": [*odd, *keys]}).encode()
    assert trust.subject(issuer.token()) == "ann"
    with pytest.raises(Denied):
        trust.subject(issuer.token("rsa", {"kid": "enc"}))


@pytest.fixture
def c2(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("oidc")
    with serving(settings_in(folder, oidc_issuer=issuer.url, oidc_audience=AUDIENCE)) as served:
        yield served


def test_an_identity_lets_do_what_it_grants_until_it_is_removed(c2: Served, issuer: Issuer) -> None:
    with c2.stranger(issuer.token(groups=["ops"])) as http:
        told = problem(http.get("/v1/topics"), 401, "unauthenticated")["detail"]
        assert "e4 identity create" in told
        viewer = [{"role": "viewer", "clients": ["*"], "topics": ["a/*"]}]
        group = {"name": "ops", "found_by": "group", "issuer": issuer.url, "value": "ops", "grants": viewer}
        made = created(c2.http.post("/v1/identities", json=group))
        who = http.get("/v1/self").json()
        assert (who["kind"], who["name"], who["grants"]) == ("oidc", "ann", viewer)
        problem(http.post("/v1/topics", json={"name": "a/1"}), 403, "forbidden")
        ann = {**group, "name": "Ann", "found_by": "subject", "value": "ann", "grants": ADMIN}
        created(c2.http.post("/v1/identities", json=ann))
        assert http.get("/v1/self").json()["id"] == who["id"]
        assert http.get("/v1/self").json()["name"] == "Ann"
        created(http.post("/v1/topics", json={"name": "a/1"}))
        newest = c2.http.get("/v1/audit").json()["items"]
        assert f"oidc/{who['id']} Ann" in {each["principal"] for each in newest}
        for each in c2.http.get("/v1/identities").json()["items"]:
            assert c2.http.delete(f"/v1/identities/{each['id']}").status_code == 204
        problem(http.get("/v1/self"), 401, "unauthenticated")
        problem(c2.http.get(f"/v1/identities/{made['id']}"), 404, "not_found")


def test_wrong_tokens_from_the_same_address_keep_out_nobody_whom_the_issuer_vouches_for(
    issuer: Issuer, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path, oidc_issuer=issuer.url, oidc_audience=AUDIENCE, failures_per_min=1)
    with serving(settings) as c2, c2.stranger() as http:
        ann = {"name": "Ann", "found_by": "subject", "issuer": issuer.url, "value": "ann", "grants": ADMIN}
        created(c2.http.post("/v1/identities", json=ann))
        problem(http.get("/v1/self", headers=bearer("e4_wrong")), 401)
        for locked in ("e4_wrong", issuer.token(sub="bob"), issuer.token(aud="other"), "a.b.c"):
            problem(http.get("/v1/self", headers=bearer(locked)), 429, "locked_out")
        assert http.get("/v1/self", headers=bearer(issuer.token(iat=NOW - 1))).json()["name"] == "Ann"


def test_an_issuer_that_never_answered_is_told_and_tokens_of_the_c2_go_on(c2: Served, issuer: Issuer) -> None:
    issuer.documents = {}
    with c2.stranger(issuer.token()) as http:
        told = problem(http.get("/v1/self"), 503, "issuer_unavailable")
        assert "show a token of the C2" in told["detail"]
    assert c2.http.get("/v1/self").status_code == 200


def test_a_token_that_expires_is_valid_no_more(c2: Served, issuer: Issuer) -> None:
    ann = {"name": "Ann", "found_by": "subject", "issuer": issuer.url, "value": "ann", "grants": ADMIN}
    created(c2.http.post("/v1/identities", json=ann))
    with c2.stranger(issuer.token()) as http:
        assert http.get("/v1/self").status_code == 200
        c2.clock.ahead_s = 120
        problem(http.get("/v1/self"), 401, "unauthenticated")
