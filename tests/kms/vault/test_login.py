# SPDX-License-Identifier: Apache-2.0
"""How the vault driver gets its token, keeps it, replaces it and gives it back; on a real server."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e4core.errors import KmsDenied
from e4core.keys import Secret
from e4kms.vault import VaultKms
from tests.kms.vault.conftest import OpenKms, limited_token
from tests.kms.vault.identity import ACCOUNT, Issuer, token_reviews
from tests.kms.vault.server import POLICY, DevBao, shown

SECRET = Secret(bytes(range(100, 132)))
CONTEXT = b"the context"

WriteSecret = Callable[[str], Path]


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="session")
def kubernetes(bao: DevBao, issuer: Issuer) -> Iterator[None]:
    """Kubernetes auth is set up on ``bao``."""
    with token_reviews(issuer) as url:
        config = {
            "kubernetes_host": url,
            "kubernetes_ca_cert": issuer.public_pem,
            "disable_local_ca_jwt": True,
            "token_reviewer_jwt": issuer.jwt(),
        }
        bao.ask("POST", "auth/kubernetes/config", config)
        yield


@pytest.fixture
def policy(bao: DevBao, key: str) -> str:
    return bao.make_policy(POLICY.format(key=key))


@pytest.fixture
def approle(bao: DevBao, key: str, policy: str, secret_file: WriteSecret) -> Callable[..., str]:
    """Makes an AppRole with these options, and gives the URI of ``key`` that logs in by it."""

    def make(*, secret_id: dict[str, object] | None = None, **options: object) -> str:
        role = f"auth/approle/role/{policy}"
        bao.ask("POST", role, {"token_policies": [policy], **options})
        role_id = bao.ask("GET", f"{role}/role-id")["data"]["role_id"]
        made = bao.ask("POST", f"{role}/secret-id", secret_id or {})["data"]["secret_id"]
        return f"{bao.uri}/transit/keys/{key}?auth=approle&role-id={role_id}&secret-id-file={secret_file(made)}"

    return make


def test_approle(approle: Callable[..., str], opened: OpenKms) -> None:
    _use(opened(approle()))


def test_approle_with_a_wrong_secret_id(bao: DevBao, key: str, secret_file: WriteSecret, opened: OpenKms) -> None:
    path = secret_file("0f2a6b1c-not-a-secret-id")
    kms = opened(f"{bao.uri}/transit/keys/{key}?auth=approle&role-id=nobody&secret-id-file={path}")
    with pytest.raises(KmsDenied, match="refuses the login by approle") as caught:
        kms.check()
    assert "0f2a6b1c" not in str(caught.value)


def test_a_wrong_secret_id_is_tried_once_and_locks_nobody_out(
    approle: Callable[..., str], secret_file: WriteSecret, opened: OpenKms
) -> None:
    uri = approle()
    right = Path(uri.rpartition("=")[2])
    wrong = secret_file("0f2a6b1c-not-a-secret-id")
    for _ in range(6):  # the server locks after five
        with pytest.raises(KmsDenied, match="not tried again for 16 minutes"):
            opened(uri.replace(str(right), str(wrong))).check()
    _use(opened(uri))
    wrong.write_bytes(right.read_bytes())
    _use(opened(uri.replace(str(right), str(wrong))))


def test_jwt(bao: DevBao, key: str, policy: str, issuer: Issuer, secret_file: WriteSecret, opened: OpenKms) -> None:
    bao.ask("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [issuer.public_pem]})
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["e4"], "token_policies": [policy]}
    bao.ask("POST", f"auth/jwt/role/{policy}", role)
    uri = f"{bao.uri}/transit/keys/{key}?auth=jwt&role={policy}&jwt-file="
    _use(opened(f"{uri}{secret_file(issuer.jwt())}"))
    for jwt in (issuer.jwt(aud=["other"]), issuer.jwt(exp=1), Issuer().jwt()):
        with pytest.raises(KmsDenied):
            opened(f"{uri}{secret_file(jwt)}").check()
    readable = secret_file(issuer.jwt())
    readable.chmod(0o644)
    with pytest.raises(KmsDenied, match="chmod 600"):
        opened(f"{uri}{readable}").check()


def test_where_nobody_is_locked_out_the_same_login_is_tried_again(
    bao: DevBao, key: str, policy: str, issuer: Issuer, secret_file: WriteSecret, opened: OpenKms
) -> None:
    bao.ask("POST", "auth/jwt/config", {"jwt_validation_pubkeys": [issuer.public_pem]})
    role = {"role_type": "jwt", "user_claim": "sub", "token_policies": [policy]}
    bao.ask("POST", f"auth/jwt/role/{policy}", {**role, "bound_audiences": ["other"]})
    kms = opened(f"{bao.uri}/transit/keys/{key}?auth=jwt&role={policy}&jwt-file={secret_file(issuer.jwt())}")
    with pytest.raises(KmsDenied, match=r"the role on the server$"):
        kms.check()
    bao.ask("POST", f"auth/jwt/role/{policy}", {**role, "bound_audiences": ["e4"]})
    _use(kms)


@pytest.mark.usefixtures("kubernetes")
def test_kubernetes(
    bao: DevBao, key: str, policy: str, issuer: Issuer, secret_file: WriteSecret, opened: OpenKms
) -> None:
    namespace, account = ACCOUNT.split(":")[2:]
    role = {
        "bound_service_account_names": [account],
        "bound_service_account_namespaces": [namespace],
        "token_policies": [policy],
    }
    bao.ask("POST", f"auth/kubernetes/role/{policy}", role)
    uri = f"{bao.uri}/transit/keys/{key}?auth=kubernetes&role={policy}&jwt-file="
    path = secret_file(issuer.jwt())
    path.chmod(0o644)  # as the kubelet leaves it
    _use(opened(f"{uri}{path}"))
    with pytest.raises(KmsDenied):
        opened(f"{uri}{secret_file(Issuer().jwt())}").check()


@pytest.mark.parametrize("variable", ["BAO_TOKEN", "VAULT_TOKEN"])
def test_a_token_from_the_environment(
    bao: DevBao, key: str, opened: OpenKms, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("BAO_TOKEN", "VAULT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    kms = opened(f"{bao.uri}/transit/keys/{key}")
    with pytest.raises(KmsDenied, match=f"there is no token .*{variable}"):
        kms.check()
    monkeypatch.setenv(variable, limited_token(bao, key))
    _use(kms)


@pytest.mark.parametrize("text", ["", "\n", "with space", "tab\t", "not-ascii-\xe9"])
def test_a_file_that_holds_no_token_is_refused_and_not_shown(
    bao: DevBao, key: str, secret_file: WriteSecret, opened: OpenKms, text: str
) -> None:
    with pytest.raises(KmsDenied) as caught:
        opened(f"{bao.uri}/transit/keys/{key}?token-file={secret_file(text)}").check()
    assert not text.strip() or text not in "".join(traceback.format_exception(caught.value))


def test_a_token_file_that_others_may_read_is_refused(
    bao: DevBao, key: str, secret_file: WriteSecret, opened: OpenKms
) -> None:
    path = secret_file(limited_token(bao, key))
    path.chmod(0o640)
    with pytest.raises(KmsDenied, match="chmod 600"):
        opened(f"{bao.uri}/transit/keys/{key}?token-file={path}").check()


def test_a_revoked_token_is_replaced_by_another_login(
    bao: DevBao, approle: Callable[..., str], opened: OpenKms
) -> None:
    before = bao.accessors()
    kms = opened(approle())
    wrapped = kms.wrap(SECRET, CONTEXT)
    (first,) = bao.accessors() - before
    bao.ask("POST", "auth/token/revoke-accessor", {"accessor": first})
    assert kms.unwrap(wrapped, CONTEXT) == SECRET
    assert len(bao.accessors() - before) == 1


def test_a_token_that_ended_is_replaced_by_another_login(
    bao: DevBao, approle: Callable[..., str], opened: OpenKms
) -> None:
    kms = opened(approle(token_ttl="1s", token_max_ttl="1s"))
    before = bao.accessors()
    wrapped = kms.wrap(SECRET, CONTEXT)
    (first,) = bao.accessors() - before
    while first in bao.accessors():
        time.sleep(0.1)
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


def test_a_login_that_is_good_for_once_is_not_repeated(
    bao: DevBao, approle: Callable[..., str], opened: OpenKms
) -> None:
    before = bao.accessors()
    kms = opened(approle(secret_id_num_uses=1))
    for _ in range(3):
        kms.check()
    (first,) = bao.accessors() - before
    bao.ask("POST", "auth/token/revoke-accessor", {"accessor": first})
    with pytest.raises(KmsDenied, match="refuses the login"):
        kms.check()


def test_a_revoked_token_that_was_given_is_denied_until_there_is_another(
    bao: DevBao, key: str, secret_file: WriteSecret, opened: OpenKms
) -> None:
    token = limited_token(bao, key)
    path = secret_file(token)
    kms = opened(f"{bao.uri}/transit/keys/{key}?token-file={path}")
    kms.check()
    bao.ask("POST", "auth/token/revoke", {"token": token})
    with pytest.raises(KmsDenied):
        kms.check()
    path.write_text(limited_token(bao, key))
    kms.check()


@pytest.mark.parametrize("auth", ["token", "approle"])
def test_a_token_in_use_outlives_its_first_lease(
    bao: DevBao, key: str, approle: Callable[..., str], secret_file: WriteSecret, opened: OpenKms, auth: str
) -> None:
    if auth == "approle":
        uri = approle(token_ttl="2s", secret_id_num_uses=1)
    else:
        uri = f"{bao.uri}/transit/keys/{key}?token-file={secret_file(limited_token(bao, key, ttl='2s'))}"
    kms = opened(uri)
    end = time.monotonic() + 2.6
    while time.monotonic() < end:
        kms.check()
        time.sleep(0.1)


def test_many_threads_log_in_once(bao: DevBao, approle: Callable[..., str], opened: OpenKms) -> None:
    before = bao.accessors()
    kms = opened(approle())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: kms.check(), range(16)))
    (first,) = bao.accessors() - before
    bao.ask("POST", "auth/token/revoke-accessor", {"accessor": first})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: kms.check(), range(16)))
    assert len(bao.accessors() - before) == 1


def test_logins_that_did_not_help_are_given_up(bao: DevBao, approle: Callable[..., str], opened: OpenKms) -> None:
    before = bao.accessors()
    kms = opened(approle(token_policies=[]))
    for _ in range(3):
        with pytest.raises(KmsDenied, match="does not allow us GET transit/keys"):
            kms.check()
    assert len(bao.accessors() - before) == 1


def test_a_login_ends_with_the_kms(bao: DevBao, approle: Callable[..., str], opened: OpenKms) -> None:
    before = bao.accessors()
    kms = opened(approle())
    kms.check()
    assert len(bao.accessors() - before) == 1
    kms.close()
    assert bao.accessors() == before


def test_a_token_that_was_given_outlives_the_kms(bao: DevBao, uri: str, opened: OpenKms) -> None:
    before = bao.accessors()
    kms = opened(uri)
    kms.check()
    kms.close()
    assert bao.accessors() == before
    opened(uri).check()


def test_a_login_shows_no_secret(
    approle: Callable[..., str], opened: OpenKms, caplog: pytest.LogCaptureFixture
) -> None:
    uri = approle(secret_id_num_uses=1)
    secret_id = Path(uri.partition("secret-id-file=")[2]).read_text().strip()
    with caplog.at_level(logging.DEBUG):
        opened(uri).check()
        with pytest.raises(KmsDenied) as caught:
            opened(uri).check()
    text = caplog.text + "".join(traceback.format_exception(caught.value))
    assert "auth/approle/login" in caplog.text
    for hidden in (secret_id, *shown(secret_id.encode())):
        assert hidden not in text


def _use(kms: VaultKms) -> None:
    kms.check()
    assert kms.unwrap(kms.rewrap(kms.wrap(SECRET, CONTEXT), CONTEXT), CONTEXT) == SECRET
