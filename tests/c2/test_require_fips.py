# SPDX-License-Identifier: Apache-2.0
"""With ``require_fips`` a C2 starts only where all that it uses is approved, and says everything that is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from e4backends import fips, sk
from e4backends.modules import Modules
from e4c2 import approved
from e4c2.app import open_c2, recover
from e4c2.settings import Settings, load
from e4c2.store.engine import Store
from e4cli.exits import code_of
from e4core.errors import InvalidInput
from e4core.suite import Suite
from tests.backends.recording import recording
from tests.backends.test_fips_calls import ALLOWED
from tests.backends.test_fips_modules import run_on_provider
from tests.c2.approved_story import grant
from tests.c2.served import settings_in
from tests.kms.memory import MemoryKms

GOOD = Modules(
    cryptography_in_fips_mode=True, python_in_fips_mode=True, hashlib_is_openssl=True, kernel_in_fips_mode=True
)
TOKEN = "pkcs11:token=t;object=k?module-path=/m.so&pin-source=env:P"


DATABASE = {
    "_hashlib.compare_digest",
    "openssl.aead.AESGCM",
    "openssl.hmac.HMAC",
    "posix.urandom",
    "primitives.hashes.SHA256",
    "primitives.kdf.hkdf.HKDF",
    "random.SystemRandom.randbytes",
}
"""AES-256-GCM (SP 800-38D), HMAC (FIPS 198-1; SP 800-108), SHA-2 (FIPS 180-4), HKDF (SP 800-56C), random numbers of the kernel."""
ON_PROVIDER = """
from pathlib import Path
from tests.c2.approved_story import grant_and_rotate
from tests.kms.memory import MemoryKms
for suite in (SUITE_SK, SUITE_PK):
    grant_and_rotate(Path({folder!r}) / suite.name, suite, {{"memory:": MemoryKms()}})
"""


def start(settings: Settings) -> None:
    async def story() -> None:
        async with open_c2(settings):
            pass

    asyncio.run(story())


def against(suite: Suite, kms: Sequence[str], modules: Modules = GOOD) -> str:
    with pytest.raises(InvalidInput) as caught:
        approved.require(suite, kms, modules)
    assert caught.value.kind == "not_approved"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_c2_does_not_start_and_makes_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, require_fips=True)
    with pytest.raises(InvalidInput, match=r"the suite sk .*a KMS of file: wraps with AES-256-GCM-SIV") as caught:
        start(settings)
    assert code_of(caught.value) == 3
    assert not settings.data.exists()


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
    approved.require(suite, [TOKEN, "vault+https://h/transit/keys/k", "awskms:///alias/k?region=eu-west-1"], GOOD)


@pytest.mark.parametrize("uri", ["file:kek.json", "passphrase:env:P", "shamir:2?share=a&share=b", "acme://kms", "odd"])
def test_a_kms_that_nobody_vouches_for_is_named_without_its_uri(uri: str) -> None:
    scheme = uri.partition(":")[0]
    said = against(fips.SUITE_PK, [TOKEN, uri])
    assert f"a KMS of {scheme}: wraps with" in said
    assert uri == scheme or uri not in said


def test_all_that_is_wrong_is_said_at_once() -> None:
    modules = replace(GOOD, cryptography_in_fips_mode=False, loaded=frozenset({"nacl"}))
    said = against(sk.SUITE, ["file:kek.json"], modules)
    for each in ("library cryptography", "PyNaCl", "suite sk", "a KMS of file"):
        assert each in said


@pytest.mark.parametrize("suite", [fips.SUITE_SK, fips.SUITE_PK], ids=lambda suite: suite.name)
def test_a_database_calls_these_primitives_and_no_others(suite: Suite, tmp_path: Path) -> None:
    def recorded(db: sa.Connection) -> set[str]:
        with recording() as record:
            grant(db, suite, {"memory:": MemoryKms()})
        return record.names

    with closing(Store(tmp_path / "c2.sqlite")) as store:
        called = store.run(recorded)
    assert DATABASE <= called <= DATABASE | ALLOWED[suite.name]


def test_a_database_works_on_a_fips_provider(tmp_path: Path) -> None:
    run_on_provider(ON_PROVIDER.format(folder=str(tmp_path)), tmp_path)


def test_a_suite_of_somebody_else_may_say_that_it_is_approved() -> None:
    approved.require(replace(sk.SUITE, approved=True), [TOKEN], GOOD)
