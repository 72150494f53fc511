# SPDX-License-Identifier: Apache-2.0
"""Wrapping by a token: what comes back, what does not, and under which key.

The conformance kit has what is a property of every driver, and the tokens pass it with AES keys (`tests.kms.test_every_driver`).
"""

from __future__ import annotations

import base64
import logging
import os
import re
from dataclasses import replace

import pytest
from pkcs11 import Attribute, KeyType

from e4core.errors import E4Error, KmsDenied, KmsError, Tampered
from e4core.keys import Secret
from e4core.kms import CreatesKey, Kms, Rewraps
from e4kms.pkcs11 import Pkcs11Kms
from e4kms.pkcs11.ladder import RUNGS
from tests.kms.pkcs11.conftest import CONTEXT, OpenKms, new_key, new_secret
from tests.kms.pkcs11.tokens import CRYPT, WRAP, Token, import_key


@pytest.mark.parametrize("length", [1, 16, 32, 33, 64])
def test_a_secret_comes_back(any_kms: Pkcs11Kms, length: int) -> None:
    secret = Secret(os.urandom(length))
    assert any_kms.unwrap(any_kms.wrap(secret, CONTEXT), CONTEXT) == secret


def test_it_is_a_kms_that_makes_keys_and_rewraps(kms: Pkcs11Kms) -> None:
    assert isinstance(kms, Kms)
    assert isinstance(kms, Rewraps)
    assert isinstance(kms, CreatesKey)
    kms.check()


def test_it_says_of_which_version_module_and_token_are(kms: Pkcs11Kms) -> None:
    assert all(re.search(r"\S .*\d+\.\d+$", kms.about[name]) for name in ("module", "token")), kms.about


def test_the_best_mechanism_that_works_is_used_and_recorded(token: Token, any_kms: Pkcs11Kms, rsa_key: str) -> None:
    mechanism = any_kms.wrap(new_secret(), CONTEXT).mechanism
    assert mechanism in (token.mechanism, token.rsa_mechanism)
    assert mechanism.partition("-")[0] in ("aes", "rsa")


def test_no_wrap_is_like_another(rsa_kms: Pkcs11Kms) -> None:
    secret = new_secret()
    assert len({rsa_kms.wrap(secret, CONTEXT).blob for _ in range(10)}) == 10


def test_the_secret_does_not_stand_in_the_wrap(rsa_kms: Pkcs11Kms) -> None:
    secret = new_secret()
    assert bytes(secret) not in rsa_kms.wrap(secret, CONTEXT).blob


def test_a_bit_flipped_anywhere_is_noticed(rsa_kms: Pkcs11Kms) -> None:
    secret = new_secret()
    wrapped = rsa_kms.wrap(secret, CONTEXT)
    for index in range(len(wrapped.blob)):
        changed = bytearray(wrapped.blob)
        changed[index] ^= 1 << index % 8
        with pytest.raises(Tampered):
            rsa_kms.unwrap(replace(wrapped, blob=bytes(changed)), CONTEXT)
    assert rsa_kms.unwrap(wrapped, CONTEXT) == secret


def test_every_truncation_is_noticed(rsa_kms: Pkcs11Kms) -> None:
    wrapped = rsa_kms.wrap(new_secret(), CONTEXT)
    for length in range(0, len(wrapped.blob), 37):
        with pytest.raises(Tampered):
            rsa_kms.unwrap(replace(wrapped, blob=wrapped.blob[:length]), CONTEXT)
    with pytest.raises(Tampered):
        rsa_kms.unwrap(replace(wrapped, blob=wrapped.blob + b"\0"), CONTEXT)


@pytest.mark.parametrize("context", [b"", CONTEXT + b"\0", CONTEXT[:-1], b"another"])
def test_another_context_opens_nothing(rsa_kms: Pkcs11Kms, context: bytes) -> None:
    wrapped = rsa_kms.wrap(new_secret(), CONTEXT)
    with pytest.raises(Tampered):
        rsa_kms.unwrap(wrapped, context)


def test_wraps_are_not_exchangeable(rsa_kms: Pkcs11Kms) -> None:
    one, other = rsa_kms.wrap(new_secret(), b"one"), rsa_kms.wrap(new_secret(), b"other")
    with pytest.raises(Tampered):
        rsa_kms.unwrap(replace(one, blob=other.blob), b"one")


def test_a_wrap_said_to_be_under_another_key_does_not_open(kms: Pkcs11Kms, open_at: OpenKms, key: str) -> None:
    other = open_at(new_key())
    other.create_key()
    wrapped, foreign = kms.wrap(new_secret(), CONTEXT), other.wrap(new_secret(), CONTEXT)
    with pytest.raises(Tampered):
        open_at(key, options=f"&former={foreign.key_id}").unwrap(replace(wrapped, key_id=foreign.key_id), CONTEXT)


@pytest.mark.parametrize("mechanism", ["", "aes-256-gcm-siv", "AES-GCM"])
def test_a_mechanism_that_is_not_ours_is_tampering(kms: Pkcs11Kms, mechanism: str) -> None:
    wrapped = kms.wrap(new_secret(), CONTEXT)
    with pytest.raises(Tampered):
        kms.unwrap(replace(wrapped, mechanism=mechanism), CONTEXT)


def test_another_mechanism_of_ours_does_not_open_it(any_kms: Pkcs11Kms) -> None:
    wrapped = any_kms.wrap(secret := new_secret(), CONTEXT)
    for mechanism in RUNGS.keys() - {wrapped.mechanism}:
        with pytest.raises(KmsError):
            any_kms.unwrap(replace(wrapped, mechanism=mechanism), CONTEXT)
        assert any_kms.unwrap(wrapped, CONTEXT) == secret


def test_a_session_stuck_in_an_operation_is_replaced(token: Token, open_at: OpenKms, key: str) -> None:
    """NSS stays in the middle of AES-GCM when that has failed."""
    id = os.urandom(4)
    import_key(token, key, CRYPT + WRAP, id)
    import_key(token, key, (Attribute.SIGN, Attribute.VERIFY), id + b"-mac", kind=KeyType.GENERIC_SECRET)
    kms = open_at(key)
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)
    for _ in range(3):
        with pytest.raises(KmsError):
            kms.unwrap(replace(wrapped, mechanism="aes-gcm", blob=wrapped.blob[::-1]), CONTEXT)
        assert kms.unwrap(wrapped, CONTEXT) == secret


@pytest.mark.parametrize("key_id", ["", "a", "AB", "zz", "ab "])
def test_a_key_id_that_is_not_ours_is_tampering(kms: Pkcs11Kms, key_id: str) -> None:
    wrapped = kms.wrap(new_secret(), CONTEXT)
    with pytest.raises(Tampered):
        kms.unwrap(replace(wrapped, key_id=key_id), CONTEXT)


def test_nothing_secret_is_shown(
    token: Token, kms: Pkcs11Kms, open_at: OpenKms, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret, said = new_secret(), [repr(kms), str(kms), token.uri(key)]
    wrapped = kms.wrap(secret, CONTEXT)
    changed = replace(wrapped, blob=wrapped.blob[:-1] + bytes([wrapped.blob[-1] ^ 1]))
    failing = (
        lambda: kms.unwrap(changed, CONTEXT),
        lambda: kms.unwrap(wrapped, b"another"),
        lambda: open_at(new_key()).wrap(secret, CONTEXT),
        lambda: open_at(key, token="token=absent").wrap(secret, CONTEXT),
        kms.create_key,
    )
    for call in failing:
        with pytest.raises(E4Error) as caught:
            call()
        error: BaseException | None = caught.value
        while error:
            said += [repr(error), str(error)]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    said.append(caplog.text)
    for hidden in (bytes(secret), token.pin.encode()):
        for form in (repr(hidden)[2:-1], hidden.hex(), base64.b64encode(hidden).decode()):
            assert form not in "\n".join(said)


def test_closed_twice_and_then_of_no_use(kms: Pkcs11Kms) -> None:
    wrapped = kms.wrap(new_secret(), CONTEXT)
    kms.close()
    kms.close()
    calls = (lambda: kms.wrap(new_secret(), CONTEXT), lambda: kms.unwrap(wrapped, CONTEXT), kms.check, kms.create_key)
    for call in calls:
        with pytest.raises(KmsError, match="closed"):
            call()


def test_closing_one_leaves_the_others_logged_in(kms: Pkcs11Kms, open_at: OpenKms, key: str) -> None:
    other = open_at(key)
    other.check()
    kms.check()
    kms.close()
    other.check()


def test_the_last_that_closes_logs_out(token: Token, kms: Pkcs11Kms, key: str, open_at: OpenKms) -> None:
    kms.check()
    kms.close()
    with pytest.raises(KmsDenied):  # were the login still there, no PIN would be asked for
        open_at(key, pin="not-that").check()
    open_at(key).check()
