# SPDX-License-Identifier: Apache-2.0
"""The ``passphrase:`` driver: where the passphrase comes from, what a wrap is bound to, and that guesses stay dear."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from e4core.errors import E4Error, InvalidInput, KeyNotFound, KmsDenied, KmsError, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms.passphrase import MOST_MEMORY_KIB, PassphraseKms, open_kms
from e4kms.records import canonical
from tests.kms.samples import CONTEXT, SECRET, shown

PASSPHRASE = Secret(b"correct horse battery staple")
WRONG = Secret(b"another long passphrase")
SHORT = Secret(b"eleven char")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "passphrase", PASSPHRASE + b"\n")


@pytest.fixture(scope="module")
def kms(tmp_path_factory: pytest.TempPathFactory) -> PassphraseKms:
    """One for all, since a derivation is dear on purpose: under its salt there is one."""
    path = written(tmp_path_factory.mktemp("passphrase") / "passphrase", PASSPHRASE + b"\n")
    return open_kms(f"passphrase://{path}")


def written(path: Path, data: bytes) -> Path:
    path.touch(0o600)
    path.write_bytes(data)
    return path


def test_file_and_variable_with_one_passphrase_open_the_same(
    kms: PassphraseKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E4_TEST_PASSPHRASE", PASSPHRASE.decode())
    assert open_kms("passphrase:env:E4_TEST_PASSPHRASE").unwrap(kms.wrap(SECRET, CONTEXT), CONTEXT) == SECRET


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nanother line\n"])
def test_only_the_first_line_counts(tmp_path: Path, kms: PassphraseKms, end: bytes) -> None:
    other = open_kms(f"passphrase://{written(tmp_path / 'other', PASSPHRASE + end)}")
    assert other.unwrap(kms.wrap(SECRET, CONTEXT), CONTEXT) == SECRET


def test_a_percent_encoded_uri_names_the_decoded_path(tmp_path: Path) -> None:
    written(tmp_path / "a pass?", PASSPHRASE)
    open_kms(f"passphrase://{tmp_path}/a%20pass%3F").check()


def test_it_wraps_as_its_docstring_says(kms: PassphraseKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    mechanism = b"argon2id(m=65536,t=3,p=4)+aes-256-gcm-siv"
    salt, checksum, nonce, ciphertext = (wrapped.blob[i:j] for i, j in pairwise([0, 16, 24, 36, None]))
    root = Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=65536).derive(PASSPHRASE)
    key_id = HKDF(SHA256(), 8, None, b"e4 passphrase key id v1").derive(root).hex()
    kek = HKDF(SHA256(), 32, None, b"e4 passphrase kek v1").derive(root)
    bound = canonical(b"e4 passphrase kms v1", mechanism, key_id.encode(), CONTEXT)
    assert (wrapped.mechanism.encode(), wrapped.key_id) == (mechanism, key_id)
    assert AESGCMSIV(kek).decrypt(nonce, ciphertext, bound) == SECRET
    summed = canonical(b"e4 passphrase sum v1", mechanism, key_id.encode(), salt, nonce + ciphertext)
    assert checksum == sha256(summed).digest()[:8]


# Where the passphrase comes from


@pytest.mark.parametrize(
    "uri",
    [
        "passphrase:",
        "passphrase:correct horse battery staple",
        "passphrase://correct-horse/battery",
        "passphrase:////correct/horse",
        "passphrase:///correct?horse=1",
        "passphrase:///correct#horse",
        "passphrase:///correct%00horse",
        "passphrase:///",
        "passphrase:env:",
        "passphrase:env:correct horse",
        "passphrase:env:1CORRECT",
        "passphrase:env:CORRECT\n",
        "passphrase:/correct",
        "file:///correct",
        "correct horse",
    ],
)
def test_a_bad_uri_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_kms(uri)
    assert caught.value.kind == "bad_uri"
    assert "correct" not in "".join(traceback.format_exception(caught.value)).lower()


@given(st.text())
def test_no_uri_raises_anything_but_our_errors(rest: str) -> None:
    for begin in ("passphrase:", "passphrase:env:", "passphrase:///nowhere/"):
        with pytest.raises(E4Error):
            open_kms(begin + rest)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("E4_TEST_MISSING", raising=False)
    with pytest.raises(KeyNotFound, match="E4_TEST_MISSING is not set"):
        open_kms("passphrase:env:E4_TEST_MISSING")
    with pytest.raises(KeyNotFound, match="nothing does not exist"):
        open_kms(f"passphrase://{tmp_path}/nothing")


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o004, 0o002])
def test_a_file_open_to_others_is_refused(path: Path, bit: int) -> None:
    path.chmod(0o600 | bit)
    with pytest.raises(KmsError, match="chmod 600"):
        open_kms(f"passphrase://{path}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    os.chown(path, 65534, 65534)
    with pytest.raises(KmsError, match="belongs to user 65534"):
        open_kms(f"passphrase://{path}")


def test_a_pipe_does_not_hang_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KmsError, match="regular file"):
        open_kms(f"passphrase://{tmp_path}/pipe")


@pytest.mark.parametrize("passphrase", [b"", b"\n", b"eleven char", "elf Zéichen".encode()])
def test_a_short_passphrase_wraps_nothing(tmp_path: Path, passphrase: bytes) -> None:
    short = open_kms(f"passphrase://{written(tmp_path / 'short', passphrase)}")
    with pytest.raises(KmsDenied, match="shorter than 12 characters") as caught:
        short.wrap(SECRET, CONTEXT)
    assert caught.value.kind == "kms_passphrase_short"


@pytest.mark.parametrize("passphrase", [b"twelve chars", b"\xff" * 12])
def test_twelve_characters_are_enough(tmp_path: Path, passphrase: bytes) -> None:
    kms = open_kms(f"passphrase://{written(tmp_path / 'enough', passphrase)}")
    assert kms.unwrap(kms.wrap(SECRET, CONTEXT), CONTEXT) == SECRET


@pytest.mark.parametrize("wrong", [b"", b"correct horse battery stapl", b"correct horse battery staple "])
def test_a_wrong_passphrase_is_no_alarm(tmp_path: Path, kms: PassphraseKms, wrong: bytes) -> None:
    other = open_kms(f"passphrase://{written(tmp_path / 'wrong', wrong)}")
    with pytest.raises(KmsDenied) as caught:
        other.unwrap(kms.wrap(SECRET, CONTEXT), CONTEXT)
    assert caught.value.kind == "kms_passphrase_wrong"


def test_a_wrong_passphrase_is_not_told_what_key_it_gives(tmp_path: Path, kms: PassphraseKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    root = Argon2id(salt=wrapped.blob[:16], length=32, iterations=3, lanes=4, memory_cost=65536).derive(WRONG)
    with pytest.raises(KmsDenied) as caught:
        open_kms(f"passphrase://{written(tmp_path / 'wrong', WRONG)}").unwrap(wrapped, CONTEXT)
    given_key_id = HKDF(SHA256(), 8, None, b"e4 passphrase key id v1").derive(root).hex()
    assert given_key_id not in "".join(traceback.format_exception(caught.value))


# What a wrap is bound to


def test_a_flipped_bit_is_an_alarm_under_a_wrong_passphrase_too(tmp_path: Path, kms: PassphraseKms) -> None:
    other = open_kms(f"passphrase://{written(tmp_path / 'other', WRONG)}")
    wrapped = kms.wrap(SECRET, CONTEXT)
    for at in range(len(wrapped.blob)):
        blob = wrapped.blob[:at] + bytes([wrapped.blob[at] ^ 1]) + wrapped.blob[at + 1 :]
        with pytest.raises(Tampered):
            other.unwrap(replace(wrapped, blob=blob), CONTEXT)


CHANGES: list[Callable[[str], str]] = [
    lambda text: "",
    lambda text: text[:-1],
    lambda text: text + "\0",
    lambda text: text + "\ud800",
]


@pytest.mark.parametrize("change", CHANGES, ids=["empty", "shorter", "longer", "no UTF-8"])
def test_a_changed_name_is_an_alarm(kms: PassphraseKms, change: Callable[[str], str]) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    for bad in (
        replace(wrapped, key_id=change(wrapped.key_id)),
        replace(wrapped, mechanism=change(wrapped.mechanism)),
    ):
        with pytest.raises(Tampered):
            kms.unwrap(bad, CONTEXT)


def summed(wrapped: Wrapped) -> Wrapped:
    """``wrapped`` as a forger leaves it: with a checksum that fits."""
    salt, sealed = wrapped.blob[:16], wrapped.blob[24:]
    names = (text.encode(errors="surrogatepass") for text in (wrapped.mechanism, wrapped.key_id))
    checksum = sha256(canonical(b"e4 passphrase sum v1", *names, salt, sealed)).digest()[:8]
    return replace(wrapped, blob=salt + checksum + sealed)


FORGED = [
    ("argon2id(m=65536,t=3,p=4)+aes-256-gcm", "another cipher"),
    ("argon2i(m=65536,t=3,p=4)+aes-256-gcm-siv", "another function"),
    ("argon2id(m=065536,t=3,p=4)+aes-256-gcm-siv", "written in another way"),
    ("argon2id(m=65536,t=3,p=4)+aes-256-gcm-siv\n", "a line end"),
    ("argon2id(m=\u0666\u0665536,t=3,p=4)+aes-256-gcm-siv", "other digits"),
    (f"argon2id(m={MOST_MEMORY_KIB + 1},t=1,p=4)+aes-256-gcm-siv", "too much memory"),
    ("argon2id(m=1048576,t=5,p=4)+aes-256-gcm-siv", "too much time"),
    ("argon2id(m=65536,t=17,p=4)+aes-256-gcm-siv", "too many passes"),
    ("argon2id(m=65536,t=3,p=17)+aes-256-gcm-siv", "too many lanes"),
    ("argon2id(m=65535,t=3,p=4)+aes-256-gcm-siv", "too cheap"),
    ("argon2id(m=9999999999999,t=3,p=4)+aes-256-gcm-siv", "a number without end"),
]


@pytest.mark.parametrize("mechanism", [text for text, _ in FORGED], ids=[name for _, name in FORGED])
def test_forged_parameters_are_refused_before_they_cost_anything(kms: PassphraseKms, mechanism: str) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    # under another salt a derivation would end in KmsDenied
    forged = summed(replace(wrapped, mechanism=mechanism, blob=bytes(16) + wrapped.blob[16:]))
    with pytest.raises(Tampered, match="newer release"):
        kms.unwrap(forged, CONTEXT)


def test_who_mends_the_checksum_opens_nothing(kms: PassphraseKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    salt, nonce = (bytearray(wrapped.blob) for _ in range(2))
    salt[0] ^= 1
    nonce[30] ^= 1
    forged = [
        (replace(wrapped, blob=bytes(salt)), KmsDenied),
        (replace(wrapped, key_id="0" * 16), KmsDenied),
        (replace(wrapped, key_id="\ud800"), KmsDenied),
        (replace(wrapped, blob=bytes(nonce)), Tampered),
    ]
    for wrap, error in forged:
        with pytest.raises(error):
            kms.unwrap(summed(wrap), CONTEXT)


# Secrets show themselves nowhere


def test_no_secret_is_in_a_log_a_repr_or_an_error(
    tmp_path: Path, kms: PassphraseKms, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    other = open_kms(f"passphrase://{written(tmp_path / 'other', WRONG)}")
    wrapped = kms.wrap(SECRET, CONTEXT)
    texts = [repr(kms), str(kms), repr(wrapped)]
    uses: list[Callable[[], object]] = [
        lambda: kms.unwrap(wrapped, b"elsewhere"),
        lambda: kms.unwrap(replace(wrapped, blob=wrapped.blob[:-1]), CONTEXT),
        lambda: other.unwrap(wrapped, CONTEXT),
        lambda: PassphraseKms("passphrase:test", SHORT).wrap(SECRET, CONTEXT),
    ]
    for use in uses:
        with pytest.raises(KmsError) as caught:
            use()
        texts += traceback.format_exception(caught.value)
    texts.append(caplog.text)
    secrets = [form for secret in (SECRET, PASSPHRASE, WRONG, SHORT) for form in shown(secret)]
    assert [form for form in secrets for text in texts if form in text] == []
