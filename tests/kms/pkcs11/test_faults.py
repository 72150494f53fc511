# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with tokens: PINs, tokens that go and come back, modules that hang."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pkcs11
import pytest
from pkcs11 import Attribute, TokenFlag

from e4core.errors import KeyNotFound, KmsDenied, KmsError, KmsUnavailable, Tampered
from e4kms.pkcs11 import Pkcs11Kms, open_kms
from e4kms.pkcs11.identity import P256_SIGN, open_identity
from e4kms.pkcs11.module import Module, module_at
from e4kms.pkcs11.refusals import is_wrong_pin
from tests.kms.pkcs11.conftest import CONTEXT, OpenKms, new_key, new_secret
from tests.kms.pkcs11.tokens import Token, finalize

PIN_WRONG = "kms_pin_wrong"


@pytest.fixture(autouse=True)
def no_wrong_pin_so_far(request: pytest.FixtureRequest) -> None:
    """A token that counts them begins anew when it gets the right one."""
    if "token" in request.fixturenames:
        token = request.getfixturevalue("token")
        log_in(token, token.pin)


def wrong_pin() -> str:
    """One that was never tried: no process tries another twice."""
    return f"w-{os.urandom(3).hex()}"


def pin_file(uri: str) -> Path:
    return Path(uri.partition("pin-source=file:")[2].partition("&")[0])


def test_a_wrong_pin_is_refused(open_at: OpenKms, key: str) -> None:
    with pytest.raises(KmsDenied) as caught:
        open_at(key, pin=wrong_pin()).check()
    assert caught.value.kind == PIN_WRONG


def test_after_a_wrong_pin_nothing_is_tried_until_opened_again(token: Token, kms: Pkcs11Kms, key: str) -> None:
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)
    kms.close()
    refused = open_kms(uri := token.uri(key, pin=wrong_pin()))
    calls = (refused.check, refused.create_key, lambda: refused.unwrap(wrapped, CONTEXT))
    with pytest.raises(KmsDenied):
        refused.check()
    pin_file(uri).write_text(token.pin)
    for call in calls:  # that the PIN is right by now shows that it is not even looked at
        with pytest.raises(KmsDenied) as caught:
            call()
        assert caught.value.kind == PIN_WRONG
    refused.close()
    reopened = open_kms(uri)
    assert reopened.unwrap(wrapped, CONTEXT) == secret
    reopened.close()


def test_many_threads_with_a_wrong_pin_try_it_once(token: Token, open_at: OpenKms, key: str) -> None:
    kms = open_at(key, pin=wrong_pin())

    def kind(_: int) -> str:
        with pytest.raises(KmsDenied) as caught:
            kms.check()
        return caught.value.kind

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(kind, range(16))) == {PIN_WRONG}
    assert not flags(token) & (TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_LOCKED)
    open_at(key).create_key()  # the right one still opens it


def test_a_wrong_pin_is_sent_to_the_token_once_whoever_asks(token: Token, open_at: OpenKms, key: str) -> None:
    wrong = wrong_pin()
    with pytest.raises(KmsDenied):
        open_at(key, pin=wrong).check()
    kms, pair = open_at(new_key(), pin=wrong), open_identity(token.uri(new_key(), pin=wrong), P256_SIGN)
    set_pin(token, token.pin, wrong)
    try:  # that the token would take it by now shows that it is not sent
        for call in (kms.check, kms.create_key, pair.public):
            with pytest.raises(KmsDenied) as caught:
                call()
            assert caught.value.kind == PIN_WRONG
    finally:
        set_pin(token, wrong, token.pin)
        pair.close()
    open_at(key).create_key()


def set_pin(token: Token, old: str, new: str) -> None:
    def change(_: Module) -> None:
        with bare(token).open(rw=True, user_pin=old) as session:
            session.set_pin(old, new)

    module_at(token.module).call(change, 20)


@pytest.mark.parametrize("error", [pkcs11.PinLocked, pkcs11.UserPinNotInitialized, pkcs11.DeviceRemoved])
def test_a_pin_that_was_not_judged_may_be_sent_again(error: type[pkcs11.PKCS11Error]) -> None:
    assert is_wrong_pin(pkcs11.PinIncorrect()) and not is_wrong_pin(error())


def test_the_last_attempt_at_a_pin_is_never_made(token: Token, open_at: OpenKms, key: str) -> None:
    for _ in range(20 if token.counts_pins else 3):
        if flags(token) & TokenFlag.USER_PIN_FINAL_TRY:
            break
        with pytest.raises(KmsDenied) as caught:
            open_at(key, pin=wrong_pin()).check()
        assert caught.value.kind == PIN_WRONG
    if token.counts_pins:
        for pin in (wrong_pin(), token.pin):
            with pytest.raises(KmsDenied, match="lock"):
                open_at(key, pin=pin).check()
        assert not flags(token) & TokenFlag.USER_PIN_LOCKED
        log_in(token, token.pin)
    open_at(key).create_key()


def test_a_locked_pin_is_said_to_be_locked(token: Token, open_at: OpenKms, key: str) -> None:
    for _ in range(20 if token.counts_pins else 0):
        if flags(token) & TokenFlag.USER_PIN_LOCKED:
            break
        with pytest.raises(pkcs11.PKCS11Error):
            log_in(token, wrong_pin())
    if token.counts_pins:
        with pytest.raises(KmsDenied, match="locked"):
            open_at(key).check()
        token.unlock()
    open_at(key).create_key()


def flags(token: Token) -> TokenFlag:
    return module_at(token.module).call(lambda module: bare(token).flags, 20)


def bare(token: Token) -> pkcs11.Token:
    return pkcs11.lib(str(token.module.resolve())).get_token(token_label=token.label)


def log_in(token: Token, pin: str) -> None:
    module_at(token.module).call(lambda module: bare(token).open(user_pin=pin).close(), 20)


@pytest.mark.parametrize("is_initialized", [True, False])
def test_it_goes_on_when_the_module_was_finalized_by_others(token: Token, kms: Pkcs11Kms, is_initialized: bool) -> None:
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)

    def others(_: Module) -> None:
        finalize(token.module)
        if is_initialized:
            pkcs11.lib(str(token.module.resolve())).initialize()

    module_at(token.module).call(others, 20)
    assert kms.unwrap(wrapped, CONTEXT) == secret
    kms.check()


def test_it_goes_on_when_it_was_logged_out_by_others(token: Token, kms: Pkcs11Kms) -> None:
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)

    def log_out() -> None:
        session = bare(token).open()
        with pytest.raises(pkcs11.UserAlreadyLoggedIn):
            bare(token).open(user_pin=token.pin)
        session.close()

    module_at(token.module).call(lambda module: log_out(), 20)
    assert kms.unwrap(wrapped, CONTEXT) == secret


def test_a_token_that_went_and_came_back_is_used_again(token: Token, kms: Pkcs11Kms) -> None:
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)
    token.lose()
    try:
        for call in (kms.check, lambda: kms.unwrap(wrapped, CONTEXT), kms.create_key):
            with pytest.raises(KmsUnavailable):
                call()
    finally:
        token.restore()
    assert kms.unwrap(wrapped, CONTEXT) == secret
    kms.check()


def test_tampering_is_still_seen_after_the_token_came_back(token: Token, kms: Pkcs11Kms) -> None:
    wrapped = kms.wrap(new_secret(), CONTEXT)
    token.lose()
    token.restore()
    with pytest.raises(Tampered):
        kms.unwrap(replace(wrapped, blob=wrapped.blob[:-1] + bytes([wrapped.blob[-1] ^ 1])), CONTEXT)


def test_a_key_that_was_destroyed_is_not_found(token: Token, kms: Pkcs11Kms, key: str) -> None:
    wrapped = kms.wrap(new_secret(), CONTEXT)

    def destroy(session: pkcs11.Session) -> None:
        for found in list(session.get_objects({Attribute.LABEL: key.removeprefix("object=")})):
            found.destroy()

    token.job(destroy)
    with pytest.raises(KeyNotFound):
        kms.unwrap(wrapped, CONTEXT)
    with pytest.raises(KeyNotFound):
        kms.check()


def test_a_call_ends_at_its_deadline_though_the_module_hangs(
    token: Token, kms: Pkcs11Kms, key: str, open_at: OpenKms
) -> None:
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)
    hurried = open_at(key, options="&timeout=0.1")
    hurried.check()
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(_: Module) -> bool:
        hangs.set()
        return goes_on.wait(60)

    with ThreadPoolExecutor(1) as threads:
        hung = threads.submit(module_at(token.module).call, hang, 60)
        hangs.wait(60)
        try:
            for call in (hurried.check, lambda: hurried.unwrap(wrapped, CONTEXT)):
                with pytest.raises(KmsUnavailable, match=r"0\.1 s"):
                    call()
            hurried.close()  # does not wait for long either
        finally:
            goes_on.set()
        assert hung.result(60)
    assert kms.unwrap(wrapped, CONTEXT) == secret


def test_what_nobody_waits_for_any_more_is_not_begun(token: Token, key: str) -> None:
    hangs, goes_on, begun = threading.Event(), threading.Event(), threading.Event()

    def hang(_: Module) -> bool:
        hangs.set()
        return goes_on.wait(60)

    with ThreadPoolExecutor(1) as threads:
        hung = threads.submit(module_at(token.module).call, hang, 60)
        hangs.wait(60)
        with pytest.raises(KmsUnavailable):
            module_at(token.module).call(lambda _: begun.set(), 0.01)
        goes_on.set()
        assert hung.result(60)
    module_at(token.module).call(lambda _: None, 60)
    assert not begun.is_set()


def test_a_module_under_another_name_is_the_same(token: Token, kms: Pkcs11Kms, key: str, tmp_path: Path) -> None:
    (tmp_path / "another.so").symlink_to(token.module)
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)
    other = open_kms(token.uri(key).replace(quote(str(token.module)), str(tmp_path / "another.so")))
    assert other.unwrap(wrapped, CONTEXT) == secret
    other.close()


@pytest.mark.parametrize("module", ["/nowhere/module.so", "/lib/x86_64-linux-gnu/libc.so.6", __file__])
def test_what_is_no_module_is_said_so(tmp_path: Path, module: str) -> None:
    pin = tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text("1234")
    kms = open_kms(f"pkcs11:token=a;object=b?module-path={module}&pin-source=file:{pin}")
    for _ in range(2):
        with pytest.raises(KmsError, match="module"):
            kms.check()


def test_without_a_pin_the_token_is_not_asked(token: Token, open_at: OpenKms, key: str) -> None:
    uri = token.uri(key)
    pin_file(uri).unlink()
    kms = open_kms(uri)
    with pytest.raises(KmsDenied) as caught:
        kms.check()
    assert caught.value.kind == "kms_denied"
    pin_file(uri).touch(0o600)
    pin_file(uri).write_text(token.pin)
    kms.create_key()  # a PIN that was not tried was not refused
    kms.check()
    kms.close()
