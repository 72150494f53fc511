# SPDX-License-Identifier: Apache-2.0
"""With ``require_fips`` a C2 starts only where all that it uses is approved, and says everything that is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from e4backends import fips, sk
from e4backends.modules import Modules
from e4c2 import approved
from e4c2.app import open_c2, recover
from e4c2.settings import Settings, load
from e4cli.exits import code_of
from e4core.errors import InvalidInput
from e4core.suite import Suite
from tests.c2.served import settings_in

GOOD = Modules(
    cryptography_in_fips_mode=True, python_in_fips_mode=True, hashlib_is_openssl=True, kernel_in_fips_mode=True
)
TOKEN = "pkcs11:token=t;object=k?module-path=/m.so&pin-source=env:P"
KEY = "pkcs11:token=t;object=c2-{version}?module-path=/m.so&pin-source=env:P"


def start(settings: Settings) -> None:
    async def story() -> None:
        async with open_c2(settings):
            pass

    asyncio.run(story())


def against(suite: Suite, kms: Sequence[str], modules: Modules = GOOD, key: str | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        approved.require(suite, kms, key, modules)
    assert caught.value.kind == "not_approved"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_c2_does_not_start_and_makes_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, require_fips=True)
    with pytest.raises(InvalidInput, match=r"the suite sk .*a KMS of file: wraps with AES-256-GCM-SIV") as caught:
        start(settings)
    assert code_of(caught.value) == 3
    assert not settings.data.exists()


def test_grpc_brings_a_tls_that_is_not_approved(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="leave out grpc_port"):
        start(settings_in(tmp_path, require_fips=True, grpc_port=0))


def test_nobody_gets_a_token_of_such_a_c2_either(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    start(settings)
    with pytest.raises(InvalidInput, match="require_fips"):
        asyncio.run(recover(settings.model_copy(update={"require_fips": True})))


def test_without_it_nothing_is_asked(tmp_path: Path) -> None:
    assert not Settings().require_fips
    start(settings_in(tmp_path))


def test_it_is_set_in_the_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "e4.toml"
    file.write_text("require_fips = true\n")
    assert load(file).require_fips
    file.write_text("require_fips = 'perhaps'\n")
    with pytest.raises(InvalidInput, match="require_fips"):
        load(file)
    file.write_text("")
    monkeypatch.setenv("E4_REQUIRE_FIPS", "true")
    assert load(file).require_fips


@pytest.mark.parametrize("suite", [fips.SUITE_SK, fips.SUITE_PK], ids=lambda suite: suite.name)
def test_where_all_is_well_nothing_is_said(suite: Suite) -> None:
    approved.require(suite, [TOKEN, "vault+https://h/transit/keys/k", "awskms:///alias/k?region=eu-west-1"], KEY, GOOD)


@pytest.mark.parametrize(
    "uri", ["file:kek.json", "passphrase:env:P", "shamir:2?share=a&share=b", "vault+http://h", "acme:k", "odd"]
)
def test_a_kms_that_nobody_vouches_for_is_named_without_its_uri(uri: str) -> None:
    scheme = uri.partition(":")[0]
    said = against(fips.SUITE_PK, [TOKEN, uri])
    assert f"a KMS of {scheme}: " in said
    assert "take pkcs11:, vault+https: or awskms:" in said
    assert uri == scheme or uri not in said


def test_a_c2_key_that_nobody_vouches_for_is_named_without_its_uri() -> None:
    said = against(fips.SUITE_PK, [TOKEN], key="acme:secret-{version}")
    assert "a C2 key of acme: " in said
    assert "secret" not in said


def test_all_that_is_wrong_is_said_at_once() -> None:
    modules = replace(GOOD, cryptography_in_fips_mode=False, loaded=frozenset({"nacl"}))
    said = against(sk.SUITE, ["file:kek.json"], modules)
    for each in ("library cryptography", "PyNaCl", "suite sk", "a KMS of file"):
        assert each in said


def test_a_suite_of_somebody_else_may_say_that_it_is_approved() -> None:
    approved.require(replace(sk.SUITE, approved=True), [TOKEN], None, GOOD)
