# SPDX-License-Identifier: Apache-2.0
"""URIs of the vault driver: what they mean, and what is refused without showing a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from e4core.errors import InvalidInput
from e4kms.vault import open_kms
from e4kms.vault.address import Address

KEY = "vault+https://vault.example/transit/keys/e4"
APPROLE = f"{KEY}?auth=approle&role-id=r&secret-id-file=/s"


def test_a_short_uri_means_the_defaults() -> None:
    assert Address.parse(KEY) == Address("https://vault.example:8200", "transit", "e4")


def test_all_options_are_understood() -> None:
    uri = (
        "vault+https://[::1]:8300/team/transit/keys/e4.main?auth=jwt&auth-mount=team/jwt&namespace=team/one&ca=/ca%20x.pem"
        "&timeout=0.5&jwt-file=/jwt&role=c2"
    )
    assert Address.parse(uri) == Address(
        "https://[::1]:8300",
        "team/transit",
        "e4.main",
        auth="jwt",
        auth_mount="team/jwt",
        namespace="team/one",
        ca=Path("/ca x.pem"),
        timeout_s=0.5,
        role="c2",
        jwt_file=Path("/jwt"),
    )


def test_each_way_to_log_in_has_its_mount() -> None:
    assert Address.parse(APPROLE).auth_mount == "approle"
    kubernetes = Address.parse(f"{KEY}?auth=kubernetes&role=r")
    assert (kubernetes.auth_mount, kubernetes.jwt_file) == (
        "kubernetes",
        Path("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_plain_http_is_for_this_machine(host: str) -> None:
    assert Address.parse(f"vault+http://{host}/transit/keys/e4").url == f"http://{host}:8200"


def test_plain_http_elsewhere_is_a_danger_that_must_be_named() -> None:
    with pytest.raises(InvalidInput, match=r"vault\+https"):
        Address.parse("vault+http://10.0.0.1/transit/keys/e4")
    assert Address.parse("vault+http://10.0.0.1/transit/keys/e4?danger-plain-http=yes").plain_http


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "vault:",
        "vault://vault.example/transit/keys/e4",
        "https://vault.example/transit/keys/e4",
        "vault+https:///transit/keys/e4",
        "vault+https://vault.example",
        "vault+https://vault.example/transit/e4",
        "vault+https://vault.example/transit/keys/",
        "vault+https://vault.example/transit/keys/a/b",
        "vault+https://vault.example/../keys/e4",
        "vault+https://vault.example/tran%2fsit/keys/e4",
        "vault+https://vault.example:0/transit/keys/e4",
        "vault+https://vault.example:65536/transit/keys/e4",
        "vault+https://[vault]/transit/keys/e4",
        "vault+https://va_ult!/transit/keys/e4",
        f"{KEY}#part",
        f"{KEY}\n",
        f"{KEY}?timeout",
        f"{KEY}?timeout=0",
        f"{KEY}?timeout=nan",
        f"{KEY}?timeout=301",
        f"{KEY}?timeout=1&timeout=1",
        f"{KEY}?colour=red",
        f"{KEY}?auth=ldap",
        f"{KEY}?auth=approle&role-id=r",
        f"{KEY}?auth=kubernetes",
        f"{KEY}?auth=jwt&role=r",
        f"{KEY}?auth=jwt&jwt-file=/j&token-file=/t",
        f"{KEY}?role-id=r",
        f"{KEY}?auth-mount=token",
        f"{KEY}?namespace=../root",
        f"{KEY}?ca=",
        f"{KEY}?token-file=%00",
        "vault+http://127.0.0.1/transit/keys/e4?ca=/ca.pem",
    ],
)
def test_any_other_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_kms(uri)
    assert caught.value.kind == "bad_uri"


@pytest.mark.parametrize(
    "uri",
    [
        f"{KEY}?token=hunter2",
        f"{APPROLE}&secret-id=hunter2",
        f"{KEY}?jwt=hunter2",
        f"{KEY}?password=hunter2",
        f"{KEY}?hunter2=1",
        "vault+https://root:hunter2@vault.example/transit/keys/e4",
        "vault+https://hunter2@vault.example/transit/keys/e4",
    ],
)
def test_a_secret_in_a_uri_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_kms(uri)
    assert caught.value.kind == "bad_uri"
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
