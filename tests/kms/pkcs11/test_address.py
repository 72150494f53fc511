# SPDX-License-Identifier: Apache-2.0
"""What a ``pkcs11:`` URI may say, and what it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.errors import InvalidInput, KmsDenied
from e4kms.pkcs11 import open_kms
from e4kms.pkcs11.address import Address, PinSource, TokenAddress
from tests.kms.pkcs11.tokens import Token

MODULE = "module-path=/lib/m.so"
PIN = "pin-source=file:/run/pin"
WHOLE = f"pkcs11:token=t;object=k?{MODULE}&{PIN}"


def test_all_that_can_be_said() -> None:
    parsed = Address.parse(
        "pkcs11:object=my%20key;token=Token%20%C3%A9;serial=00ab;manufacturer=Maker;model=M%3B1;slot-id=7;id=%00%ffx;"
        "type=private?timeout=2.5&former=00ff,0a&pin-source=env:THE_PIN&module-path=/opt/a%20b.so"
    )
    assert parsed == Address(
        TokenAddress("Token é", "00ab", "Maker", "M;1", 7),
        Path("/opt/a b.so"),
        PinSource(variable="THE_PIN"),
        "my key",
        b"\0\xffx",
        "private",
        (b"\0\xff", b"\n"),
        timeout_s=2.5,
    )


def test_the_least_that_must_be_said() -> None:
    parsed = Address.parse(WHOLE)
    assert (parsed.token, parsed.label, parsed.id) == (TokenAddress("t"), "k", b"")
    assert (parsed.module, parsed.pin, parsed.timeout_s) == (Path("/lib/m.so"), PinSource(Path("/run/pin")), 5.0)


@pytest.mark.parametrize("source", ["file:/run/pin", "file:///run/pin", "/run/pin"])
def test_the_file_of_a_pin(source: str) -> None:
    assert Address.parse(WHOLE.replace("file:/run/pin", source)).pin == PinSource(Path("/run/pin"))


@pytest.mark.parametrize(
    "uri",
    [
        f"{WHOLE}&former=",
        f"{WHOLE}&former=0",
        f"{WHOLE}&former=FF",
        f"{WHOLE}&former=00,",
        "",
        "pkcs11",
        "pkcs11:",
        "pkcs12:token=t",
        f"pkcs11:object=k?{MODULE}&{PIN}",
        f"pkcs11:token=t?{MODULE}&{PIN}",
        f"pkcs11:token=t;object=k?{MODULE}",
        f"pkcs11:token=t;object=k?{PIN}",
        f"pkcs11:model=m;object=k?{MODULE}&{PIN}",
        f"{WHOLE}#part",
        f"{WHOLE}&token=t",
        f"{WHOLE}&unknown=1",
        f"{WHOLE}&{PIN}",
        f"{WHOLE}&module-name=m",
        f"{WHOLE}&timeout=0",
        f"{WHOLE}&timeout=301",
        f"{WHOLE}&timeout=1e3",
        f"{WHOLE}&timeout=-1",
        f"{WHOLE}&timeout=nan",
        *(
            WHOLE.replace(*change)
            for change in (
                ("token=t", "token="),
                ("token=t", "token=%ff"),
                ("token=t", "token=a%00b"),
                ("token=t", "token=a%0ab"),
                ("token=t", "token=%4"),
                ("token=t", "token=t;token=u"),
                ("token=t", "token=a b"),
                ("token=t", "slot-id=x"),
                ("token=t", "slot-id=-1"),
                ("object=k", "object=k;type=cert"),
                ("/lib/m.so", "lib/m.so"),
                ("/lib/m.so", "/lib/%00"),
                ("module-path=/lib/m.so", "module-name=../../m"),
                ("module-path=/lib/m.so", "module-name=e4-has-no-such-module"),
                ("file:/run/pin", "file:run/pin"),
                ("file:/run/pin", "env:1X"),
                ("file:/run/pin", "env:"),
                ("file:/run/pin", "|/bin/cat"),
            )
        ),
    ],
)
def test_what_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_kms(uri)
    assert caught.value.kind == "bad_uri"


@pytest.mark.parametrize(
    "uri",
    [
        f"{WHOLE}&pin-value=4711-secret",
        f"{WHOLE}&pin-value=4711-secret%0",
        WHOLE.replace("object=k", "object=k;pin-value=4711-secret"),
        WHOLE.replace("file:/run/pin", "4711-secret"),
        WHOLE.replace("file:/run/pin", "env:4711-secret"),
        f"{WHOLE}&pin=4711-secret",
        f"{WHOLE}&4711-secret",
        f"{WHOLE}&4711-secret=1",
    ],
)
def test_a_pin_in_the_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_kms(uri)
    assert caught.value.kind == "bad_uri"
    assert "4711" not in f"{caught.value!r} {caught.value} {caught.value.__context__!r} {caught.value.__cause__!r}"


@given(st.text(alphabet="pkcs1:token=;?&%0aé/\0\n", max_size=60))
def test_garbage_is_refused_in_our_words(text: str) -> None:
    with pytest.raises(InvalidInput):
        Address.parse(f"pkcs11:{text}")


def test_a_module_is_found_by_name(token: Token) -> None:
    names = {"softhsm": "softhsm2", "opencryptoki": "opencryptoki", "nss": "p11-kit-proxy"}
    found = Address.parse(WHOLE.replace("module-path=/lib/m.so", f"module-name={names[token.name]}")).module
    assert found.resolve() == token.module.resolve()


@pytest.mark.parametrize("content", [b"4711", b"4711\n", b"4711\r\n", b"4711\nmore\n"])
def test_a_pin_is_the_first_line_of_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pin"
    path.touch(0o600)
    path.write_bytes(content)
    assert PinSource(path).read() == b"4711"


def test_a_pin_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E4_TEST_PIN", "47 é")
    assert PinSource(variable="E4_TEST_PIN").read() == "47 é".encode()
    monkeypatch.setenv("E4_TEST_PIN", "")
    with pytest.raises(KmsDenied, match="E4_TEST_PIN"):
        PinSource(variable="E4_TEST_PIN").read()


@pytest.mark.parametrize(("content", "mode"), [(b"4711", 0o640), (b"4711", 0o604), (b"", 0o600), (b"\xff\xfe", 0o600)])
def test_a_file_that_gives_no_pin_is_denied(tmp_path: Path, content: bytes, mode: int) -> None:
    path = tmp_path / "pin"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(KmsDenied) as caught:
        PinSource(path).read()
    assert "4711" not in str(caught.value)


def test_a_pipe_gives_no_pin_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pin", 0o600)
    with pytest.raises(KmsDenied):
        PinSource(tmp_path / "pin").read()


def test_the_name_of_a_key_tells_no_more_than_is_needed() -> None:
    said = str(Address.parse(WHOLE.replace("token=t", "token=t;serial=42").replace("object=k", "object=k;id=%01")))
    assert said == "the key with label 'k' and id 01 in the PKCS#11 token with token t, serial 42"
