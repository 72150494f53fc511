# SPDX-License-Identifier: Apache-2.0
"""Every driver with the real thing behind it: how it is made ready, what is secret in it, and what may happen to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from importlib.metadata import version
from itertools import cycle
from urllib.parse import quote

import boto3
from pkcs11 import TokenFlag

from e4conformance.kms import KmsHooks
from e4core.errors import KeyNotFound, KmsDenied, KmsError, KmsUnavailable
from e4core.keys import Secret
from e4core.plugins import load_kms
from e4kms import pkcs11
from tests.kms.awskms.conftest import CREDENTIALS
from tests.kms.awskms.servers import REGION, Fault, drop, moto_port, proxy_before, refusal
from tests.kms.pkcs11.conftest import lasting_key
from tests.kms.pkcs11.test_faults import flags, wrong_pin
from tests.kms.pkcs11.tokens import TOKENS, Token
from tests.kms.sites import Driver, Failure, Site, between, gone, holds, phrase, readable
from tests.kms.vault.server import POLICY, RaftBao, bao_program

LOST = "the token is gone"
MIXED = "shamir of a file and a passphrase"

_NO_SERVICE = dict.fromkeys(["outage", "restart", "deadline", "tries"], "there is no service behind it")
_NO_RIGHTS = dict.fromkeys(["permissions", "disabled-key"], "who can read it can use it")
_ONE_KEY = {"rotation": "it holds one key, and a new one is another KMS"}


def _file(site: Site) -> Driver:
    path, key = site.kek()
    failures = {
        "it is gone": Failure(gone(path), KeyNotFound, "kms_key_not_found"),
        "another key is in it": Failure(holds(path, site.kek()[0].read_bytes()), KeyNotFound, "kms_key_not_found"),
        "others may read it": Failure(readable(path), KmsError, "kms"),
    }
    hooks = KmsHooks(
        secrets=(key,),
        key_gone=gone(path),
        second_uri=site.new_kek_uri,
        absent_uri=site.absent_kek_uri,
        lacks={**_NO_SERVICE, **_NO_RIGHTS, **_ONE_KEY, "credentials": "the file is the key"},
    )
    return Driver("file", path.as_uri(), (key,), failures, hooks)


def _passphrase(site: Site) -> Driver:
    name, right = f"FLEET_{os.urandom(4).hex()}", phrase()
    site.environment.setenv(name, right.decode())

    def put(text: bytes) -> Callable[[], object]:
        return lambda: os.environ.update({name: text.decode()})

    def other() -> str:
        return f"passphrase://{site.private(phrase())}"

    failures = {
        "it is not set": Failure(between(lambda: os.environ.pop(name), put(right)), KeyNotFound, "kms_key_not_found"),
        "it is another": Failure(between(put(phrase()), put(right)), KmsDenied, "kms_passphrase_wrong"),
    }
    hooks = KmsHooks(
        key_gone=failures["it is not set"].happens,
        denied=failures["it is another"].happens,
        second_uri=other,
        wrong_credentials_uri=other,
        lacks={**_NO_SERVICE, **_ONE_KEY, "disabled-key": _NO_RIGHTS["disabled-key"]},
    )
    return Driver("passphrase", f"passphrase:env:{name}", (right,), failures, hooks)


def _shamir(site: Site) -> Driver:
    """Both are needed, so that a change of either matters."""
    (path, key), (other, other_key) = site.kek(), site.kek()
    failures = {"a key is gone": Failure(gone(path), KmsError, "kms")}
    hooks = KmsHooks(
        second_uri=lambda: _shares(path.as_uri(), site.new_kek_uri()),
        lacks={
            **_NO_SERVICE,
            **_NO_RIGHTS,
            **_ONE_KEY,
            "credentials": "the files are the keys",
            "missing-key": "the others may be enough, so one that is gone is no KeyNotFound",
            "spare-share": "all are needed here",
        },
    )
    return Driver("shamir", _shares(path.as_uri(), other.as_uri()), (key, other_key), failures, hooks)


def _mixed_shares(site: Site) -> Driver:
    path, key = site.kek()
    other = site.private(right := phrase())
    failures = {"a passphrase is another": Failure(holds(other, phrase()), KmsDenied, "kms_denied")}
    return Driver(MIXED, _shares(path.as_uri(), f"passphrase://{other}"), (key, right), failures, KmsHooks())


def _shares(*uris: str) -> str:
    return "shamir:2?" + "&".join(f"share={quote(each, safe='')}" for each in uris)


def _token(name: str) -> Callable[[Site], Driver]:
    def make(site: Site) -> Driver:
        token = site.any_token(name)
        pin = site.private(token.pin.encode())

        def uri_of(key: str) -> str:
            return f"{token.uri(key).partition('pin-source=')[0]}pin-source=file:{pin}"

        def made(key: str) -> str:
            with closing(pkcs11.open_kms(uri_of(key))) as kms:
                kms.create_key()
            return uri_of(key)

        uri = made(lasting_key())

        @contextmanager
        def wrong() -> Iterator[None]:
            with holds(pin, b"wrong-42")():
                yield
            # else a token that counts the wrong ones says at the second that the next is the last
            token.log_in()

        failures = {
            LOST: Failure(between(token.lose, token.restore), KmsUnavailable, "kms_unavailable"),
            "the PIN is wrong": Failure(wrong, KmsDenied, "kms_pin_wrong"),
            "the PIN is gone": Failure(gone(pin), KmsDenied, "kms_denied"),
        }
        hooks = _token_hooks(token, uri, made, uri_of, failures)
        return Driver(name, uri, (token.pin.encode(),), failures, hooks)

    return make


def _token_hooks(
    token: Token, uri: str, made: Callable[[str], str], uri_of: Callable[[str], str], failures: dict[str, Failure]
) -> KmsHooks:
    def rotate() -> str:
        with closing(load_kms(uri)) as kms:
            former = kms.wrap(Secret(bytes(32)), b"former").key_id
        return f"{made(lasting_key())}&former={former}"

    def wrong_pin_uri() -> str:
        token.log_in()
        return token.uri(uri.partition(";")[2].partition("?")[0], pin=wrong_pin())

    def tries() -> int:
        seen = flags(token)
        return sum(bool(seen & flag) for flag in (TokenFlag.USER_PIN_COUNT_LOW, TokenFlag.USER_PIN_FINAL_TRY))

    def restart() -> None:
        token.lose()
        token.restore()

    return KmsHooks(
        unreachable=failures[LOST].happens,
        restart=restart,
        rotate=rotate,
        second_uri=lambda: made(lasting_key()),
        absent_uri=lambda: uri_of(lasting_key()),
        wrong_credentials_uri=wrong_pin_uri,
        tries=tries if token.counts_pins else None,
        lacks={
            "missing-key": "a key of a token that is gone does not come back",
            **dict.fromkeys(["permissions", "disabled-key"], "a process that is logged in may use its keys"),
            "deadline": "a module is no address",
            **({} if token.counts_pins else {"tries": "this token counts none"}),
        },
    )


def _vault(site: Site) -> Driver:
    folder = site.folder / "raft"
    folder.mkdir()
    bao = RaftBao(bao_program(), folder)
    site.stack.callback(bao.stop)
    bao.prepare()
    key, second, role = bao.make_key(), bao.make_key(), "auth/approle/role/c2"
    bao.ask("POST", "sys/auth/approle", {"type": "approle"})
    absent = 'path "transit/+/absent-*" { capabilities = ["create", "read", "update"] }'
    policy = bao.make_policy(POLICY.format(key=key) + POLICY.format(key=second) + absent)
    bao.ask("POST", role, {"token_policies": [policy]})
    role_id = bao.ask("GET", f"{role}/role-id")["data"]["role_id"]
    secret_id: str = bao.ask("POST", f"{role}/secret-id", {})["data"]["secret_id"]
    login = site.private(secret_id.encode())

    def unseal() -> None:
        bao.unseal()
        bao.until_it_serves()

    def restart() -> None:
        bao.stop()
        bao.start()
        unseal()

    def disable() -> None:
        bao.ask("POST", f"transit/keys/{key}/config", {"deletion_allowed": True})
        bao.ask("DELETE", f"transit/keys/{key}/soft-delete")

    def uri_of(key: str, *, at: str = bao.uri, login: object = login, timeout: int = 20) -> str:
        options = f"auth=approle&role-id={role_id}&secret-id-file={login}&timeout={timeout}&{bao.options}"
        return f"{at}/transit/keys/{key}?{options}"

    def rotate() -> str:
        bao.ask("POST", f"transit/keys/{key}/rotate")
        return uri_of(key)

    failures = {
        "it is sealed": Failure(between(bao.seal, unseal), KmsUnavailable, "kms_sealed"),
        "it is stopped": Failure(between(bao.stop, restart), KmsUnavailable, "kms_unavailable"),
        "the login is wrong": Failure(holds(login, b"wrong-42"), KmsDenied, "kms_denied"),
    }
    hooks = KmsHooks(
        secrets=(bao.admin.encode(),),
        unreachable=failures["it is sealed"].happens,
        key_disabled=between(disable, lambda: bao.ask("POST", f"transit/keys/{key}/soft-delete-restore")),
        denied=failures["the login is wrong"].happens,
        restart=restart,
        rotate=rotate,
        second_uri=lambda: uri_of(second),
        absent_uri=lambda: uri_of(f"absent-{os.urandom(4).hex()}"),
        wrong_credentials_uri=lambda: uri_of(key, login=site.private(b"wrong-42")),
        black_hole_uri=lambda address: uri_of(key, at=f"vault+https://{address}", timeout=1),
        lacks={"missing-key": "a deleted key does not come back", "tries": "this login counts none"},
    )
    return Driver("vault", uri_of(key), (secret_id.encode(), bao.admin.encode()), failures, hooks)


def _awskms(site: Site) -> Driver:
    moto = moto_port()
    nowhere = str(site.folder / "nowhere")
    files = dict.fromkeys(["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"], nowhere)
    for name, value in (CREDENTIALS | files | {"AWS_EC2_METADATA_DISABLED": "true"}).items():
        site.environment.setenv(name, value)
    client = boto3.session.Session("operator", "of the account", region_name=REGION).client(
        "kms", endpoint_url=f"http://127.0.0.1:{moto}"
    )
    site.stack.callback(client.close)
    proxy = site.stack.enter_context(proxy_before(moto))

    def uri_of(alias: str, *, endpoint: str = proxy.url, timeout: int = 10, former: str = "") -> str:
        return f"awskms:///alias/{alias}?region={REGION}&endpoint={endpoint}&timeout={timeout}{former}"

    # moto takes its time to make one
    now, other = (client.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    first, second = (f"{name}-{os.urandom(4).hex()}" for name in ("e4", "second"))
    for alias, arn in ((first, now), (second, other)):
        client.create_alias(AliasName=f"alias/{alias}", TargetKeyId=arn)
    turns = cycle([(other, now), (now, other)])

    def rotate() -> str:
        new, former = next(turns)
        client.update_alias(AliasName=f"alias/{first}", TargetKeyId=new)
        return uri_of(first, former=f"&former={former}")

    def with_all(fault: Fault) -> Callable[[], AbstractContextManager[None]]:
        def begin() -> None:
            for operation in ("Encrypt", "Decrypt", "ReEncrypt"):
                proxy.always(operation, fault)

        return between(begin, proxy.never)

    failures = {
        "it hangs up": Failure(with_all(drop), KmsUnavailable, "kms_unavailable"),
        "it does not allow this": Failure(with_all(refusal("AccessDeniedException")), KmsDenied, "kms_denied"),
        "the key is disabled": Failure(with_all(refusal("DisabledException")), KeyNotFound, "kms_key_disabled"),
    }
    secrets = (CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode(), CREDENTIALS["AWS_SESSION_TOKEN"].encode())
    hooks = KmsHooks(
        secrets=secrets,
        unreachable=failures["it hangs up"].happens,
        key_gone=with_all(refusal("NotFoundException")),
        key_disabled=failures["the key is disabled"].happens,
        denied=failures["it does not allow this"].happens,
        rotate=rotate,
        second_uri=lambda: uri_of(second),
        absent_uri=lambda: uri_of(f"absent-{os.urandom(4).hex()}"),
        black_hole_uri=lambda address: uri_of(first, endpoint=f"http://{address}", timeout=1),
        lacks=dict.fromkeys(["credentials", "tries"], "moto takes any credentials") | {"restart": "it is always there"},
        about={"service": f"moto {version('moto')}"},
    )
    return Driver("awskms", uri_of(first), secrets, failures, hooks)


DRIVERS: dict[str, Callable[[Site], Driver]] = {
    "file": _file,
    "passphrase": _passphrase,
    "shamir": _shamir,
    **{name: _token(name) for name in TOKENS},
    "vault": _vault,
    "awskms": _awskms,
}
EVERY = {**DRIVERS, MIXED: _mixed_shares}
"""With one that takes its time for each key that is opened, for what depends on the kind of share."""
