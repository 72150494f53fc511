# SPDX-License-Identifier: Apache-2.0
"""The vault driver on a real server: what a wrap is bound to, versions of the key, and what is refused."""

from __future__ import annotations

import base64
import dataclasses
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from e4core.errors import Conflict, KeyNotFound, KmsDenied, KmsError, Tampered
from e4core.keys import Secret
from e4core.kms import CreatesKey, Kms, Rewraps, Wrapped
from e4kms.vault import MECHANISM, VaultKms
from tests.kms.vault.conftest import OpenKms, limited_token
from tests.kms.vault.server import DevBao, shown

SECRET = Secret(bytes(range(100, 132)))
CONTEXT = b"the context"


def test_it_does_all_that_a_kms_may(kms: VaultKms) -> None:
    assert isinstance(kms, Kms)
    assert isinstance(kms, Rewraps)
    assert isinstance(kms, CreatesKey)


def test_what_was_wrapped_opens(kms: VaultKms, key: str) -> None:
    kms.check()
    wrapped = kms.wrap(SECRET, CONTEXT)
    assert (wrapped.key_id, wrapped.mechanism, len(wrapped.blob)) == (f"{key}:v1", MECHANISM, 12 + len(SECRET) + 16)
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


def test_the_server_opens_it_by_the_base64_of_the_context(bao: DevBao, key: str, kms: VaultKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    body = {
        "ciphertext": f"vault:v1:{base64.b64encode(wrapped.blob).decode()}",
        "context": base64.b64encode(CONTEXT).decode(),
    }
    assert bao.ask("POST", f"transit/decrypt/{key}", body)["data"]["plaintext"] == base64.b64encode(SECRET).decode()


def test_the_same_secret_is_never_wrapped_alike(kms: VaultKms) -> None:
    assert kms.wrap(SECRET, CONTEXT) != kms.wrap(SECRET, CONTEXT)


def test_a_changed_bit_is_an_alarm_wherever_it_is(kms: VaultKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    for position in range(len(wrapped.blob)):
        blob = bytearray(wrapped.blob)
        blob[position] ^= 1 << position % 8
        for use in (kms.unwrap, kms.rewrap):
            with pytest.raises(Tampered):
                use(dataclasses.replace(wrapped, blob=bytes(blob)), CONTEXT)


@pytest.mark.parametrize("length", [0, 1, 11, 12, 28, 59])
def test_a_part_is_an_alarm(kms: VaultKms, length: int) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    with pytest.raises(Tampered):
        kms.unwrap(dataclasses.replace(wrapped, blob=wrapped.blob[:length]), CONTEXT)


@pytest.mark.parametrize("context", [b"the contexT", b"the context\0", b"the contex", b"\xff" * 300])
def test_another_context_is_an_alarm(kms: VaultKms, context: bytes) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    for use in (kms.unwrap, kms.rewrap):
        with pytest.raises(Tampered):
            use(wrapped, context)


def test_swapped_wraps_are_an_alarm(kms: VaultKms) -> None:
    one, two = kms.wrap(SECRET, b"one"), kms.wrap(SECRET, b"two")
    for wrapped, context in ((one, b"two"), (two, b"one")):
        with pytest.raises(Tampered):
            kms.unwrap(wrapped, context)


def test_no_context_is_refused(kms: VaultKms) -> None:
    with pytest.raises(KmsError, match="context"):
        kms.wrap(SECRET, b"")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"mechanism": "aes-256-gcm-siv"}, Tampered),
        ({"key_id": "{key}"}, Tampered),
        ({"key_id": "{key}:v0"}, Tampered),
        ({"key_id": "{key}:v1:"}, Tampered),
        ({"key_id": "other:v1"}, KeyNotFound),
        ({"key_id": "{key}:v2"}, KeyNotFound),
        ({"key_id": "{key}:v9999999999"}, KeyNotFound),
    ],
)
def test_what_is_said_about_a_wrap_must_be_true(
    kms: VaultKms, key: str, change: dict[str, Any], error: type[KmsError]
) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    with pytest.raises(error):
        kms.unwrap(dataclasses.replace(wrapped, **{k: v.format(key=key) for k, v in change.items()}), CONTEXT)


def test_old_wraps_open_after_a_rotation_and_rewrap_brings_them_to_the_newest(
    bao: DevBao, key: str, kms: VaultKms
) -> None:
    old = kms.wrap(SECRET, CONTEXT)
    bao.ask("POST", f"transit/keys/{key}/rotate")
    assert kms.unwrap(old, CONTEXT) == SECRET
    new = kms.rewrap(old, CONTEXT)
    assert new.key_id == kms.wrap(SECRET, CONTEXT).key_id == f"{key}:v2"
    assert kms.unwrap(new, CONTEXT) == SECRET
    with pytest.raises(Tampered):
        kms.unwrap(dataclasses.replace(old, key_id=new.key_id), CONTEXT)


def test_a_version_that_is_no_longer_allowed_is_named_as_the_reason(bao: DevBao, key: str, kms: VaultKms) -> None:
    old = kms.wrap(SECRET, CONTEXT)
    bao.ask("POST", f"transit/keys/{key}/rotate")
    bao.ask("POST", f"transit/keys/{key}/config", {"min_decryption_version": 2})
    for use in (kms.unwrap, kms.rewrap):
        with pytest.raises(KeyNotFound, match="min_decryption_version") as caught:
            use(old, CONTEXT)
        assert caught.value.kind == "kms_key_disabled"
    bao.ask("POST", f"transit/keys/{key}/config", {"min_decryption_version": 1})
    assert kms.unwrap(old, CONTEXT) == SECRET


def test_a_deleted_key_is_not_found_and_not_made_again(bao: DevBao, key: str, opened: OpenKms, root: str) -> None:
    kms = opened(f"{bao.uri}/transit/keys/{key}?{root}")
    wrapped = kms.wrap(SECRET, CONTEXT)
    bao.ask("POST", f"transit/keys/{key}/config", {"deletion_allowed": True})
    bao.ask("DELETE", f"transit/keys/{key}")
    for use in (
        lambda: kms.unwrap(wrapped, CONTEXT),
        lambda: kms.rewrap(wrapped, CONTEXT),
        lambda: kms.wrap(SECRET, CONTEXT),
        kms.check,
    ):
        with pytest.raises(KeyNotFound) as caught:
            use()
        assert caught.value.kind == "kms_key_not_found"


def test_a_softly_deleted_key_is_disabled(bao: DevBao, key: str, kms: VaultKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    bao.ask("POST", f"transit/keys/{key}/config", {"deletion_allowed": True})
    bao.ask("DELETE", f"transit/keys/{key}/soft-delete")
    for use in (lambda: kms.unwrap(wrapped, CONTEXT), kms.check):
        with pytest.raises(KeyNotFound) as caught:
            use()
        assert caught.value.kind == "kms_key_disabled"
    bao.ask("POST", f"transit/keys/{key}/soft-delete-restore")
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


@pytest.mark.parametrize(
    "options",
    [{"derived": False}, {"exportable": True}, {"type": "ecdsa-p256", "derived": False}, {"type": "chacha20-poly1305"}],
)
def test_a_key_that_binds_no_context_or_can_leave_or_is_not_for_aes_is_not_used(
    bao: DevBao, options: dict[str, Any], opened: OpenKms, root: str
) -> None:
    kms = opened(f"{bao.uri}/transit/keys/{bao.make_key(**options)}?{root}")
    for use in (lambda: kms.wrap(SECRET, CONTEXT), kms.check):
        with pytest.raises(KmsError) as caught:
            use()
        assert caught.value.kind == "kms_unsupported"


def test_a_key_is_made_once_derived_and_never_exportable(bao: DevBao, opened: OpenKms, root: str) -> None:
    name = f"made-{id(opened)}"
    kms = opened(f"{bao.uri}/transit/keys/{name}?{root}")
    with pytest.raises(KeyNotFound):
        kms.check()
    kms.create_key()
    kms.check()
    made = bao.ask("GET", f"transit/keys/{name}")["data"]
    wanted = {"derived": True, "exportable": False, "allow_plaintext_backup": False, "type": "aes256-gcm96"}
    assert made | wanted == made
    wrapped = kms.wrap(SECRET, CONTEXT)
    with pytest.raises(Conflict) as caught:
        kms.create_key()
    assert caught.value.kind == "exists"
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


def test_without_the_policy_it_is_denied(
    bao: DevBao, key: str, secret_file: Callable[[str], Path], opened: OpenKms
) -> None:
    kms = opened(f"{bao.uri}/transit/keys/{key}?token-file={secret_file(limited_token(bao, 'another'))}")
    for use in (lambda: kms.wrap(SECRET, CONTEXT), kms.create_key, kms.check):
        with pytest.raises(KmsDenied) as caught:
            use()
        assert caught.value.kind == "kms_denied"


def test_a_mount_that_is_none_is_named_as_the_reason(bao: DevBao, opened: OpenKms, root: str) -> None:
    kms = opened(f"{bao.uri}/nowhere/keys/e4?{root}")
    with pytest.raises(KmsError, match="transit engine"):
        kms.unwrap(Wrapped("e4:v1", MECHANISM, bytes(60)), CONTEXT)


def test_namespaces_have_keys_of_their_own(bao: DevBao, opened: OpenKms, root: str) -> None:
    bao.ask("POST", "sys/namespaces/team", {})
    bao.mount_transit(namespace="team")
    bao.make_key("same")
    inside = opened(f"{bao.uri}/transit/keys/same?namespace=team&{root}")
    inside.create_key()
    wrapped = inside.wrap(SECRET, CONTEXT)
    assert inside.unwrap(wrapped, CONTEXT) == SECRET
    with pytest.raises(Tampered):
        opened(f"{bao.uri}/transit/keys/same?{root}").unwrap(wrapped, CONTEXT)


def test_many_threads_use_one_kms(kms: VaultKms) -> None:
    def use(number: int) -> bool:
        secret, context = Secret(bytes([number]) * 32), b"thread %d" % number
        return kms.unwrap(kms.rewrap(kms.wrap(secret, context), context), context) == secret

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(64)))


def test_a_forked_child_uses_it_and_leaves_the_parent_its_own(uri: str) -> None:
    script = """
import os, sys
from e4core.keys import Secret
from e4kms.vault import open_kms
kms = open_kms(sys.argv[1])
wrapped = kms.wrap(Secret(bytes(32)), b"context")
child = os.fork()
same = kms.unwrap(wrapped, b"context") == Secret(bytes(32))
if not child:
    kms.close()
    os._exit(0 if same else 3)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
kms.check()
sys.exit(status or (not same))
"""
    subprocess.run([sys.executable, "-c", script, uri], check=True, timeout=30)


def test_closed_is_closed(kms: VaultKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    kms.close()
    kms.close()
    for use in (
        lambda: kms.wrap(SECRET, CONTEXT),
        lambda: kms.unwrap(wrapped, CONTEXT),
        lambda: kms.rewrap(wrapped, CONTEXT),
        kms.create_key,
        kms.check,
    ):
        with pytest.raises(KmsError, match="closed"):
            use()


def test_no_secret_is_shown(
    bao: DevBao, key: str, secret_file: Callable[[str], Path], opened: OpenKms, caplog: pytest.LogCaptureFixture
) -> None:
    token = limited_token(bao, key)
    kms = opened(f"{bao.uri}/transit/keys/{key}?token-file={secret_file(token)}")
    seen = [repr(kms)]
    with caplog.at_level(logging.DEBUG):
        wrapped = kms.wrap(SECRET, CONTEXT)
        kms.check()
        seen += [repr(kms.unwrap(wrapped, CONTEXT)), repr(kms.rewrap(wrapped, CONTEXT))]
        bao.ask("POST", "auth/token/revoke", {"token": token})
        for use in (lambda: kms.wrap(SECRET, CONTEXT), lambda: kms.unwrap(wrapped, b"another"), kms.create_key):
            with pytest.raises(KmsDenied) as caught:
                use()
            seen += traceback.format_exception(caught.value)
        dead = opened(f"vault+http://127.0.0.1:1/transit/keys/e4?token-file={secret_file(token)}")
        with pytest.raises(KmsError) as lost:
            dead.wrap(SECRET, CONTEXT)
        seen += traceback.format_exception(lost.value)
    text = "\n".join(seen) + caplog.text
    assert "transit/encrypt" in text
    for hidden in (*shown(SECRET), token, *shown(token.encode())):
        assert hidden not in text
