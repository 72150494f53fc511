# SPDX-License-Identifier: Apache-2.0
"""The suite ``fast-sk`` as it is installed, and what is said where its extension is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e4backends import pyca, sk
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4core.suite import Aead, Suite

from .build import Installed
from .reference import siv_seal

KEY = bytes(range(64))
ABSENT = "import sys; sys.modules['e4backends.fast._fast'] = None"
"""Python's own way to say that there is no such module."""


@pytest.fixture(scope="module")
def suite() -> Suite:
    try:
        from e4backends.fast import suite as module
    except ImportError as error:
        outcome = pytest.fail if os.environ.get("CI") else pytest.skip
        outcome(f"the installed package is without its extension: {error}")
    return module.SUITE


@pytest.fixture(scope="module")
def aead(suite: Suite) -> Aead:
    return suite.aead


def test_the_suite_is_found_by_its_name(suite: Suite) -> None:
    assert load_suite("fast-sk") == suite
    assert (suite.name, suite.wire_name, suite.format) == ("fast-sk", "fast-sk", 2)
    assert (suite.aead.key_len, suite.aead.nonce_len, suite.aead.tag_len) == (64, 0, 16)
    assert suite.is_symmetric and suite.signature is None


def test_ids_and_keys_are_made_by_the_full_algorithms(suite: Suite) -> None:
    assert suite.derive_id("sensor") == sk.SUITE.derive_id("sensor")
    assert suite.hash.digest(b"topic") == sk.SUITE.hash.digest(b"topic")
    assert suite.kdf is pyca.hkdf_sha256


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(min_size=64, max_size=64).filter(any), text=st.binary(max_size=200), ad=st.binary(max_size=60))
def test_what_is_sealed_opens_and_nothing_else_does(aead: Aead, raw: bytes, text: bytes, ad: bytes) -> None:
    key, sealed = aead.key(raw), aead.key(Secret(raw)).seal(b"", text, ad)
    assert len(sealed) == len(text) + aead.tag_len
    assert key.open(b"", sealed, ad) == text
    for wrong, wrong_ad in ((sealed[:-1], ad), (sealed + b"\0", ad), (sealed, ad + b"\0"), (b"", ad)):
        with pytest.raises(AuthenticationFailed):
            key.open(b"", wrong, wrong_ad)


def test_the_installed_extension_is_the_one_of_the_sources(aead: Aead, fast: Installed) -> None:
    """Where it is not, the package was not installed again after a change: ``make setup``."""
    from e4backends.fast import _fast

    text = os.urandom(300)
    sealed = aead.key(KEY).seal(b"", text, b"ad")
    assert sealed == fast.SivKey(KEY).seal(b"", text, b"ad") == siv_seal(KEY, [b"ad"], text, rounds=10)
    assert (_fast.AES_ROUNDS, _fast.KECCAK_ROUNDS) == (fast.AES_ROUNDS, fast.KECCAK_ROUNDS)
    assert dir(_fast) == dir(fast)


@pytest.mark.parametrize("raw", [b"", bytes(64), b"\7" * 32, b"\7" * 63, b"\7" * 65], ids=len)
def test_a_bad_key_is_refused(aead: Aead, raw: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        aead.key(raw)
    assert caught.value.kind == "bad_key"


def test_device_and_c2_reach_each_other_with_a_key_of_each_container(suite: Suite) -> None:
    stored = suite.device.generate()
    device, c2 = suite.device.load(stored), suite.c2.load(suite.c2.generate())
    at_device = suite.control.at_device(device, b"")
    at_c2 = suite.control.at_c2(c2, suite.device.public(device))
    header, other = bytes(10) + os.urandom(16), bytes(10) + os.urandom(16)
    body = at_c2.seal(b"info", header, b"command")
    assert len(body) == len(b"command") + suite.control.overhead
    assert at_device.open(b"info", header, body) == b"command"
    assert at_c2.seal(b"info", other, b"command") != body
    for info, changed in ((b"other", header), (b"info", other)):
        with pytest.raises(AuthenticationFailed):
            at_device.open(info, changed, body)


def _without_the_extension(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{ABSENT}\n{code}"], capture_output=True, text=True, check=False
    )


def test_without_the_extension_the_list_says_why_and_all_else_is_there() -> None:
    listing = "sys.argv = ['e4', 'suites', '--output', 'json']\nfrom e4cli.start import main\nmain()"
    done = _without_the_extension(listing)
    assert done.returncode == 0, done.stderr
    rows: dict[str, Any] = {row["suite"]: row for row in json.loads(done.stdout)}
    assert (
        "fast-sk of e4core does not load: the C extension was not built; install a C compiler"
        in rows["fast-sk"]["problem"]
    )
    assert [rows[name]["problem"] for name in ("sk", "pk")] == [None, None]


def test_without_the_extension_loading_the_suite_says_why() -> None:
    done = _without_the_extension(
        "from e4core.plugins import load_suite\n"
        "from e4core.errors import PluginError\n"
        "try:\n    load_suite('fast-sk')\nexcept PluginError as error:\n    print(error)"
    )
    assert "the C extension was not built; install a C compiler" in done.stdout, done.stderr
