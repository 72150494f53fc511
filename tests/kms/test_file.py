# SPDX-License-Identifier: Apache-2.0
"""The ``file:`` driver: who may read the key, what a wrap is bound to, and that a key is made once."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import Conflict, E4Error, InvalidInput, KeyNotFound, KmsError, Tampered
from e4core.kms import Kms, KmsFactory
from e4core.plugins import KMS
from e4kms.file import FileKms, create, open_kms, path_of
from tests.kms.samples import CONTEXT, SECRET, shown


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "kek.json"
    assert create(path)
    return path


@pytest.fixture
def kms(path: Path) -> FileKms:
    return open_kms(f"file://{path}")


def test_a_relative_uri_names_the_same_file(path: Path, kms: FileKms) -> None:
    relative = os.path.relpath(path)
    assert open_kms(f"file:{relative}").unwrap(kms.wrap(SECRET, CONTEXT), CONTEXT) == SECRET


def test_a_percent_encoded_uri_names_the_decoded_path(tmp_path: Path) -> None:
    create(tmp_path / "a key?.json")
    open_kms(f"file://{tmp_path}/a%20key%3F.json").check()


@pytest.mark.parametrize(
    "uri",
    [
        "file:",
        "file://",
        "file:///",
        "file:.",
        "file://host/kek.json",
        "file:////kek.json",
        "file:/a?pin=1",
        "file:/a#b",
        "file:/a%00b",
        "file:/\ud800",
        "/kek.json",
        "passphrase:/kek.json",
        "",
    ],
)
def test_a_uri_that_names_no_file_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_kms(uri)
    assert caught.value.kind == "bad_uri"


@settings(deadline=None)
@given(st.text())
def test_no_uri_raises_anything_but_our_errors(rest: str) -> None:
    with pytest.raises(E4Error):
        open_kms("file:/nowhere/" + rest).check()


def test_the_path_of_a_uri_is_where_the_key_is_made(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/kek.json"
    assert create(path_of(uri))
    open_kms(uri).check()


# What may stand in the file, and who may read it


def test_a_missing_file_is_not_made_silently(tmp_path: Path) -> None:
    missing = open_kms(f"file://{tmp_path}/kek.json")
    for use in (missing.check, lambda: missing.wrap(SECRET, CONTEXT)):
        with pytest.raises(KeyNotFound, match="does not exist: restore it"):
            use()
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_missing_is_used_once_it_is_there(tmp_path: Path) -> None:
    late = open_kms(f"file://{tmp_path}/kek.json")
    create(tmp_path / "kek.json")
    late.check()


def test_a_key_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    kms = open_kms(f"file://{tmp_path}/kek.json")
    kms.create_key()
    wrapped = kms.wrap(SECRET, CONTEXT)
    with pytest.raises(Conflict, match="never overwritten"):
        kms.create_key()
    assert open_kms(f"file://{tmp_path}/kek.json").unwrap(wrapped, CONTEXT) == SECRET


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_may_read_a_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create(tmp_path / "kek.json")
    finally:
        os.umask(before)
    assert (tmp_path / "kek.json").stat().st_mode & 0o7777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["kek.json"]


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_a_file_open_to_others_is_refused(path: Path, bit: int) -> None:
    path.chmod(0o600 | bit)
    with pytest.raises(KmsError, match="chmod 600"):
        open_kms(f"file://{path}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    os.chown(path, 65534, 65534)
    with pytest.raises(KmsError, match="belongs to user 65534"):
        open_kms(f"file://{path}")


def _symlink(path: Path) -> None:
    target = path.rename(path.with_name("target.json"))
    path.symlink_to(target)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("replace", "reason"), [(_symlink, "symbolic link"), (_folder, "regular file"), (_fifo, "regular file")]
)
def test_what_is_no_plain_file_is_refused(path: Path, replace: Callable[[Path], None], reason: str) -> None:
    replace(path)
    with pytest.raises(KmsError, match=reason):
        open_kms(f"file://{path}")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"algorithm": "aes-256-cbc"},
        {"key_id": "AB" * 16},
        {"key_id": "ab" * 15},
        {"key_id": 7},
        {"key": base64.b64encode(bytes(32)).decode()},
        {"key": base64.b64encode(bytes(range(31))).decode()},
        {"key": "not base64"},
        {"key": None},
    ],
)
def test_a_field_of_another_form_is_refused(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KmsError, match="not a KEK file"):
        open_kms(f"file://{path}")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[" * 4096, b"\xff\xfe", b'{"version":' + b"9" * 4000 + b"}", b"x" * 10000]
)
def test_what_is_no_kek_file_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(KmsError, match="not a KEK file"):
        open_kms(f"file://{path}")


def test_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    data = path.read_bytes().rstrip()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(KmsError, match="not a KEK file"):
            open_kms(f"file://{path}")


@settings(deadline=None)
@given(data=st.binary())
def test_garbage_in_the_file_raises_only_our_errors(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(KmsError):
        open_kms(f"file://{path}")


# What a wrap is bound to


def test_another_mechanism_is_an_alarm(kms: FileKms) -> None:
    with pytest.raises(Tampered):
        kms.unwrap(dataclasses.replace(kms.wrap(SECRET, CONTEXT), mechanism="aes-256-gcm"), CONTEXT)


def test_a_wrap_of_another_key_says_so(tmp_path: Path, kms: FileKms) -> None:
    create(tmp_path / "other.json")
    wrapped = open_kms(f"file://{tmp_path}/other.json").wrap(SECRET, CONTEXT)
    with pytest.raises(KeyNotFound, match=wrapped.key_id):
        kms.unwrap(wrapped, CONTEXT)


def test_a_wrap_of_another_key_under_this_key_id_is_an_alarm(path: Path, kms: FileKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    fields = json.loads(path.read_text()) | {"key": base64.b64encode(os.urandom(32)).decode()}
    path.write_text(json.dumps(fields))
    with pytest.raises(Tampered):
        open_kms(f"file://{path}").unwrap(wrapped, CONTEXT)


# Secrets show themselves nowhere


def test_no_repr_shows_the_key(path: Path, kms: FileKms) -> None:
    text = repr(kms) + str(kms) + repr(kms.wrap(SECRET, CONTEXT))
    key = base64.b64decode(json.loads(path.read_text())["key"])
    assert not [form for form in shown(key) + shown(SECRET) if form in text]


def test_no_error_about_a_damaged_file_holds_the_key(path: Path) -> None:
    key = json.loads(path.read_text())["key"]
    path.write_bytes(path.read_bytes().replace(b"}", b""))
    with pytest.raises(KmsError) as caught:
        open_kms(f"file://{path}")
    assert key not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_no_error_about_a_wrap_holds_a_secret(kms: FileKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    with pytest.raises(Tampered) as caught:
        kms.unwrap(wrapped, b"other")
    text = "".join(traceback.format_exception(caught.value))
    assert not [form for form in shown(SECRET) if form in text]


def test_it_is_registered_as_the_kms_of_file_uris(path: Path) -> None:
    factory: KmsFactory = entry_points(group=KMS)["file"].load()
    kms: Kms = factory(f"file://{path}")
    kms.check()
