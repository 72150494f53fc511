# SPDX-License-Identifier: Apache-2.0
"""Key files: sizes, modes, checks, and keys from passphrases."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nacl.pwhash import argon2id

from e4core.errors import Conflict, InvalidInput, StorageError
from e4core.keys import Secret
from e4device.keyfiles import KINDS, from_passphrase, identity_of, load_private, load_public, write
from e4device.passphrase import RECOMMENDED, Cost, derive

SIZES = {"symmetric": (32, None), "ed25519": (64, 32), "curve25519": (32, 32)}
CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
PASSPHRASE = Secret(b"correct horse battery staple")
SALT = bytes(range(16))


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fresh(kind: str) -> Secret:
    return Secret(identity_of(kind).generate())


def test_files_are_raw_bytes_of_the_size_that_e4s_own_tools_write(kind: str, tmp_path: Path) -> None:
    written = write(tmp_path / "key", identity_of(kind), fresh(kind))
    private, public = SIZES[kind]
    assert [path.stat().st_size for path in written] == [private, *([public] if public else [])]


def test_the_private_file_is_its_owners_alone_and_the_public_one_everybodys(kind: str, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(tmp_path / "key", identity_of(kind), fresh(kind), SALT)
    finally:
        os.umask(before)
    assert mode(tmp_path / "key") == 0o600
    assert mode(tmp_path / "key.salt") == 0o644
    if SIZES[kind][1]:
        assert mode(tmp_path / "key.pub") == 0o644


def test_what_was_written_is_loaded_and_the_halves_belong_together(kind: str, tmp_path: Path) -> None:
    identity, private = identity_of(kind), fresh(kind)
    write(tmp_path / "key", identity, private)
    assert load_private(tmp_path / "key", identity) == private
    if SIZES[kind][1]:
        assert load_public(tmp_path / "key.pub", identity) == identity.public(identity.load(private))


@pytest.mark.parametrize("existing", ["key", "key.pub", "key.salt"])
def test_nothing_is_overwritten_and_nothing_is_left_half_done(existing: str, tmp_path: Path) -> None:
    (tmp_path / existing).write_bytes(b"mine")
    with pytest.raises(Conflict):
        write(tmp_path / "key", identity_of("ed25519"), fresh("ed25519"), SALT)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {existing: b"mine"}


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        write(tmp_path / "key", identity_of("symmetric"), fresh("symmetric"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write(tmp_path / "no" / "key", identity_of("symmetric"), fresh("symmetric"))


def test_on_a_full_disk_nothing_is_left_half_done(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from e4core.errors import StorageError
from e4core.keys import Secret
from e4device.keyfiles import identity_of, write
identity = identity_of("ed25519")
private = Secret(identity.generate())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write(Path(sys.argv[1]), identity, private, bytes(200))
except StorageError as error:
    print(error)
"""
    path = tmp_path / "key"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.stdout == f"{path}.salt cannot be written: File too large\n", done.stderr
    assert list(tmp_path.iterdir()) == []


BROKEN_OFF = """
import errno, os, sys
from pathlib import Path
from e4core.errors import StorageError
from e4core.keys import Secret
from e4device.keyfiles import identity_of, write
identity = identity_of("ed25519")
folder, calls, fsync = Path(sys.argv[1]), 0, os.fsync
def breaking(fd):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        raise {"disk": OSError(errno.EIO, "Input/output error"), "person": KeyboardInterrupt()}[sys.argv[3]]
    fsync(fd)
os.fsync = breaking
try:
    write(folder / "key", identity, Secret(identity.generate()), bytes(16))
except (StorageError, KeyboardInterrupt) as error:
    print(type(error).__name__, os.listdir(folder))
"""


@pytest.mark.parametrize(("by", "error"), [("disk", "StorageError"), ("person", "KeyboardInterrupt")])
@pytest.mark.parametrize("flush", range(1, 7))
def test_whenever_it_is_broken_off_nothing_stays(flush: int, by: str, error: str, tmp_path: Path) -> None:
    """Each of the three files is flushed to the disk, and then the folder."""
    command = [sys.executable, "-c", BROKEN_OFF, str(tmp_path), str(flush), by]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"{error} []\n", done.stderr


def test_the_private_file_is_written_last(tmp_path: Path) -> None:
    identity, private = identity_of("ed25519"), fresh("ed25519")
    written = write(tmp_path / "key", identity, private, SALT)
    assert [path.name for path in written] == ["key", "key.pub", "key.salt"]
    private_file, *others = [path.stat().st_ctime_ns for path in written]
    assert private_file >= max(others)


@pytest.mark.parametrize("name", ["/", "."])
def test_a_folder_is_not_taken_for_a_name(name: str) -> None:
    with pytest.raises(Conflict):
        write(Path(name), identity_of("ed25519"), fresh("ed25519"))


def test_a_private_key_open_to_others_is_refused(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "key", identity_of(kind), fresh(kind))
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(StorageError, match="chmod 600"):
        load_private(tmp_path / "key", identity_of(kind))


@pytest.mark.parametrize("content", [b"", bytes(32), bytes(64), b"x" * 31, b"x" * 33, b"x" * 64, b"x" * 65])
def test_what_is_no_key_is_refused_with_the_name_of_the_file(kind: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=str(path)) as caught:
        load_private(path, identity_of(kind))
    assert caught.value.kind == "bad_key"


@pytest.mark.parametrize("kind", ["ed25519", "curve25519"])
@pytest.mark.parametrize("content", [b"", bytes(32), b"x" * 31, b"\x01" + bytes(31)])
def test_what_is_no_public_key_is_refused(kind: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        load_public(path, identity_of(kind))
    assert caught.value.kind == "bad_key"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="symmetric, ed25519, curve25519"):
        identity_of("rsa")


class TestFromPassphrase:
    def test_the_same_passphrase_and_salt_give_the_same_valid_key(self, kind: str) -> None:
        one, two = (from_passphrase(kind, PASSPHRASE, SALT, CHEAP) for _ in range(2))
        assert one == two
        identity_of(kind).load(one)

    def test_another_salt_gives_another_key(self, kind: str) -> None:
        keys = {bytes(from_passphrase(kind, PASSPHRASE, bytes([n]) * 16, CHEAP)) for n in range(3)}
        assert len(keys) == 3

    def test_no_two_kinds_get_the_same_key_nor_the_derived_root(self) -> None:
        keys = {bytes(from_passphrase(kind, PASSPHRASE, SALT, CHEAP)[:32]) for kind in KINDS}
        assert len(keys | {bytes(derive(PASSPHRASE, SALT, CHEAP))}) == len(KINDS) + 1

    def test_the_public_half_is_that_of_another_library(self) -> None:
        ed25519 = from_passphrase("ed25519", PASSPHRASE, SALT, CHEAP)
        public = Ed25519PrivateKey.from_private_bytes(ed25519[:32]).public_key().public_bytes_raw()
        assert ed25519[32:] == public
        curve = from_passphrase("curve25519", PASSPHRASE, SALT, CHEAP)
        identity = identity_of("curve25519")
        other = X25519PrivateKey.from_private_bytes(curve).public_key().public_bytes_raw()
        assert identity.public(identity.load(curve)) == other

    @pytest.mark.parametrize("salt", [b"", b"x" * 15])
    def test_a_salt_is_required(self, salt: bytes) -> None:
        with pytest.raises(InvalidInput) as caught:
            from_passphrase("symmetric", PASSPHRASE, salt, CHEAP)
        assert caught.value.kind == "bad_salt"

    @pytest.mark.parametrize("passphrase", [b"", b"fifteen bytes.."])
    def test_a_short_passphrase_is_refused(self, passphrase: bytes) -> None:
        with pytest.raises(InvalidInput) as caught:
            from_passphrase("symmetric", Secret(passphrase), SALT, CHEAP)
        assert caught.value.kind == "bad_passphrase"

    def test_the_documented_construction_is_what_it_does(self) -> None:
        root = derive(PASSPHRASE, SALT, CHEAP)
        extracted = hmac.digest(bytes(32), root, hashlib.sha256)
        expected = hmac.digest(extracted, b"e4 key file v1 symmetric\x01", hashlib.sha256)
        assert bytes(from_passphrase("symmetric", PASSPHRASE, SALT, CHEAP)) == expected


@pytest.mark.parametrize("cost", [(7, 1, 1), (8, 0, 1), (8, 1, 0), (8, 65, 1), (1 << 30, 1, 1), (31, 1, 4)])
def test_costs_out_of_range_are_refused(cost: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInput):
        Cost(*cost)


def test_the_recommended_cost_is_rfc_9106s_second_option() -> None:
    assert Cost(memory_kib=1 << 16, passes=3, lanes=4) == RECOMMENDED


def test_the_derivation_is_argon2id_of_another_library() -> None:
    # libsodium has one lane only
    expected = argon2id.kdf(32, bytes(PASSPHRASE), SALT, opslimit=2, memlimit=64 << 10)
    assert bytes(derive(PASSPHRASE, SALT, Cost(memory_kib=64, passes=2, lanes=1))) == expected
