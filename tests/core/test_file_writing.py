# SPDX-License-Identifier: Apache-2.0
"""Private files are written whole or not at all, whatever crashes or runs full."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from e4core.errors import Conflict, StorageError
from e4core.files import PUBLIC, create, discard, read, replace
from tests.core.children import mode, names, python


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A private file that holds ``old``."""
    path = tmp_path / "secret"
    create(path, b"old")
    return path


class TestWriting:
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    @pytest.mark.parametrize("bits", [0o600, PUBLIC])
    def test_a_new_file_has_its_content_and_its_mode_and_nothing_beside_it(
        self, tmp_path: Path, umask: int, bits: int
    ) -> None:
        before = os.umask(umask)
        try:
            create(tmp_path / "new", b"data", bits)
        finally:
            os.umask(before)
        assert (tmp_path / "new").read_bytes() == b"data"
        assert mode(tmp_path / "new") == bits
        assert names(tmp_path) == ["new"]

    def test_create_never_overwrites(self, path: Path) -> None:
        with pytest.raises(Conflict, match="exists already") as caught:
            create(path, b"new")
        assert caught.value.kind == "exists"
        assert path.read_bytes() == b"old"
        assert names(path.parent) == ["secret"]

    def test_create_does_not_follow_a_dangling_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(Conflict):
            create(tmp_path / "link", b"new")
        assert names(tmp_path) == ["link"]

    def test_replace_puts_a_private_file_in_place_of_what_is_there(self, path: Path) -> None:
        path.chmod(0o666)
        replace(path, b"new")
        assert path.read_bytes() == b"new"
        assert mode(path) == 0o600
        assert names(path.parent) == ["secret"]

    def test_replace_also_makes_a_file(self, tmp_path: Path) -> None:
        replace(tmp_path / "new", b"data")
        assert read(tmp_path / "new") == b"data"

    def test_replace_takes_the_place_of_a_link_and_leaves_its_target(self, path: Path) -> None:
        link = path.with_name("link")
        link.symlink_to(path)
        replace(link, b"new")
        assert not link.is_symlink()
        assert (path.read_bytes(), link.read_bytes()) == (b"old", b"new")

    @pytest.mark.parametrize("write", [create, replace])
    @pytest.mark.parametrize("name", ["missing/x", "secret/x", "n" * 300, ".", "n" * 250])
    def test_a_place_that_cannot_be_used_is_a_typed_error_and_nothing_is_left(
        self, path: Path, write: Callable[[Path, bytes], None], name: str
    ) -> None:
        with pytest.raises((StorageError, Conflict)):
            write(path.parent / name, b"data")
        assert names(path.parent) == ["secret"]

    @pytest.mark.parametrize("write", [create, replace])
    def test_nothing_is_left_of_what_is_broken_off(self, tmp_path: Path, write: Callable[[Path, object], None]) -> None:
        with pytest.raises(TypeError):
            write(tmp_path / "new", "no bytes")
        assert names(tmp_path) == []

    @pytest.mark.parametrize(("write", "content"), [("create", None), ("replace", None), ("replace", b"old")])
    def test_on_a_full_disk_the_old_content_stays_and_nothing_else(
        self, tmp_path: Path, write: str, content: bytes | None
    ) -> None:
        script = """
import resource, signal, sys
from pathlib import Path
from e4core import files
from e4core.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    getattr(files, sys.argv[1])(Path(sys.argv[2]), bytes(200))
except StorageError as error:
    print(error)
"""
        path = tmp_path / "secret"
        if content is not None:
            create(path, content)
        assert python(script, write, path).stdout == f"{path} cannot be written: File too large\n"
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == (
            {} if content is None else {"secret": content}
        )

    def test_discard_removes_what_is_there_and_minds_nothing_else(self, path: Path) -> None:
        discard(path)
        discard(path)
        discard(path.parent)
        assert names(path.parent) == []


class TestCrashes:
    @pytest.mark.parametrize("write", ["create", "replace"])
    def test_killed_at_any_line_it_leaves_the_old_content_or_the_new_and_nothing_open(
        self, tmp_path: Path, write: str
    ) -> None:
        script = """
import itertools, os, signal, stat, sys
from pathlib import Path
from e4core import files

folder, write = Path(sys.argv[2]), getattr(files, sys.argv[1])
old, new = (b"" if write is files.create else b"old", b"n" * 100_000)
seen = set()

def killed_at(line):
    def trace(frame, event, _):
        nonlocal line
        if frame.f_code.co_filename != files.__file__:
            return None
        if event == "line":
            line -= 1
            if line == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

for line in itertools.count(1):
    path = folder / f"{line}"
    if write is files.replace:
        files.create(path, old)
    child = os.fork()
    if not child:
        sys.settrace(killed_at(line))
        write(path, new)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    content = path.read_bytes() if path.exists() else b""
    assert content in (old, new), f"a mix at line {line}"
    seen.add(content)
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in folder.iterdir()), f"open at line {line}"
    if ended == 0:
        assert content == new
        break
assert seen == {old, new}
print(line)
"""
        done = python(script, write, tmp_path)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 10

    def test_killed_at_a_random_moment_it_leaves_the_old_content_or_the_new_never_a_mix(self, tmp_path: Path) -> None:
        size = 300_000
        script = """
import sys
from itertools import cycle
from pathlib import Path
from e4core import files
for fill in cycle(range(256)):
    files.replace(Path(sys.argv[1]), bytes([fill]) * int(sys.argv[2]))
"""
        path = tmp_path / "secret"
        path.touch(0o600)
        for _ in range(8):
            before = path.stat().st_ino
            with subprocess.Popen([sys.executable, "-c", script, path, str(size)]) as process:
                while path.stat().st_ino == before and process.poll() is None:
                    time.sleep(0.001)
                time.sleep(random.uniform(0, 0.01))
                process.send_signal(signal.SIGKILL)
            assert process.returncode == -signal.SIGKILL
            content = read(path)
            assert (len(content), len(set(content))) == (size, 1)

    @pytest.mark.parametrize(("write", "name"), [(create, "link"), (replace, "replace")])
    def test_content_is_flushed_before_it_gets_its_name_and_the_folder_after(
        self, tmp_path: Path, write: Callable[[Path, bytes], None], name: str
    ) -> None:
        calls: list[str] = []

        def profile(_frame: FrameType, event: str, called: object) -> None:
            if event == "c_call":
                calls.append(getattr(called, "__name__", ""))

        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            write(tmp_path / "new", b"data")
        finally:
            sys.setprofile(before)
        steps = ("write", "fchmod", "fsync", name)
        assert [call for call in calls if call in steps] == ["write", "fchmod", "fsync", name, "fsync"]

    def test_what_a_crash_left_under_a_name_of_our_own_is_never_read(self, path: Path) -> None:
        new = path.with_name("secret.new")
        new.write_bytes(b"half of it")
        with pytest.raises(StorageError, match="File exists"):
            replace(path, b"new", new=new)
        assert read(path) == b"old"
        discard(new)
        replace(path, b"new", new=new)
        assert read(path) == b"new"
        assert names(path.parent) == ["secret"]
