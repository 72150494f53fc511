# SPDX-License-Identifier: Apache-2.0
"""``e4 keygen`` makes key files, and never spoils one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from e4cli.keygen import Kind
from e4device import keyfiles
from tests.cli.command import answer, e4, ok, refused

PASSPHRASE = b"correct horse battery staple\n"
SALT = "000102030405060708090a0b0c0d0e0f"


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.touch(0o600)
    path.write_bytes(PASSPHRASE)
    return path


def test_the_kinds_are_those_of_the_key_files() -> None:
    assert [kind.value for kind in Kind] == list(keyfiles.KINDS)


@pytest.mark.parametrize(
    ("kind", "private_len", "public"), [("symmetric", 32, False), ("ed25519", 64, True), ("curve25519", 32, True)]
)
def test_a_key_file_of_each_kind_loads_and_its_public_key_is_shown(
    tmp_path: Path, kind: str, private_len: int, public: bool
) -> None:
    shown = answer("keygen", kind, "--out", tmp_path / "key")
    files = [tmp_path / "key", *([tmp_path / "key.pub"] if public else [])]
    assert shown == {
        "files": [str(path) for path in files],
        "public_key": (tmp_path / "key.pub").read_bytes().hex() if public else None,
    }
    assert len((tmp_path / "key").read_bytes()) == private_len
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    keyfiles.load_private(tmp_path / "key", keyfiles.identity_of(kind))


def test_no_private_key_is_printed(tmp_path: Path) -> None:
    for number, kind in enumerate(Kind):
        path = tmp_path / str(number)
        done = e4("--verbose", "keygen", kind.value, "--out", path)
        private = path.read_bytes()[:32]
        assert private.hex().encode() not in done.stdout + done.stderr


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"mine")
    assert "exists already" in refused(9, "keygen", "symmetric", "--out", tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == b"mine"


def test_a_key_from_a_passphrase_can_be_made_again_from_the_salt_beside_it(tmp_path: Path, passphrase: Path) -> None:
    ok("keygen", "ed25519", "--out", tmp_path / "one", "--passphrase-file", passphrase)
    salt = (tmp_path / "one.salt").read_bytes()
    assert len(salt) == 16
    ok("keygen", "ed25519", "--out", tmp_path / "two", "--passphrase-file", passphrase, "--salt", salt.hex())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_passphrase_gives_other_keys_to_other_kinds(tmp_path: Path, passphrase: Path) -> None:
    for kind in Kind:
        ok("keygen", kind.value, "--out", tmp_path / kind, "--passphrase-file", passphrase, "--salt", SALT)
    assert len({(tmp_path / kind).read_bytes()[:32] for kind in Kind}) == 3


def test_each_owner_in_a_suite_gets_the_key_that_the_suite_needs(tmp_path: Path) -> None:
    answer("keygen", "--suite", "pk", "--out", tmp_path / "device")
    answer("keygen", "--suite", "pk", "--for", "c2", "--out", tmp_path / "c2")
    keyfiles.load_private(tmp_path / "device", keyfiles.identity_of("ed25519"))
    keyfiles.load_private(tmp_path / "c2", keyfiles.identity_of("curve25519"))


def test_what_makes_no_key_is_refused_and_leaves_nothing(tmp_path: Path, passphrase: Path) -> None:
    out = ("--out", tmp_path / "key")
    secret = ("--passphrase-file", passphrase)
    refused(11, "keygen", "--suite", "sk", "--for", "c2", *out)
    refused(12, "keygen", "--suite", "nonesuch", *out)
    refused(3, "keygen", "symmetric", *out, *secret, "--salt", "00")
    refused(3, "keygen", "symmetric", *out, *secret, "--salt", "xyz")
    refused(18, "keygen", "symmetric", *out, "--passphrase-file", tmp_path / "missing")
    passphrase.write_bytes(b"too short\n")
    refused(3, "keygen", "symmetric", *out, *secret)
    passphrase.chmod(0o644)
    assert "chmod 600" in refused(18, "keygen", "symmetric", *out, *secret)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["passphrase"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("keygen", "--out", "x"),
        ("keygen", "symmetric", "--suite", "sk", "--out", "x"),
        ("keygen", "symmetric"),
        ("keygen", "rsa", "--out", "x"),
        ("keygen", "symmetric", "--salt", SALT, "--out", "x"),
        ("keygen", "--suite", "sk", "--passphrase-file", "f", "--out", "x"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert e4(*arguments, cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []
