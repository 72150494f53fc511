# SPDX-License-Identifier: Apache-2.0
"""Private files and folders are for their owner alone, and locks for one process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from e4core import files
from e4core.errors import Conflict, StorageError
from e4core.files import LINE_MAX_LEN, MISSING, PUBLIC, Lock, check, create, first_line, make_folder, read, replace
from tests.core.children import mode, names, python

OPEN_BITS = [0o040, 0o020, 0o010, 0o004, 0o002, 0o001]
STRANGER = 65_534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A private file that holds ``old``."""
    path = tmp_path / "secret"
    create(path, b"old")
    return path


class TestReading:
    def test_a_private_file_is_read_whole(self, path: Path) -> None:
        replace(path, bytes(range(256)) * 1000)
        assert read(path) == bytes(range(256)) * 1000
        path.chmod(0o400)
        assert len(read(path)) == 256_000

    @pytest.mark.parametrize("take", [read, first_line, check])
    @pytest.mark.parametrize("bit", OPEN_BITS)
    def test_a_file_open_to_others_is_refused_with_the_remedy(
        self, path: Path, take: Callable[[Path], object], bit: int
    ) -> None:
        path.chmod(0o600 | bit)
        with pytest.raises(StorageError, match=f"chmod 600 {path}$"):
            take(path)
        assert read(path, private=False) == b"old"

    @pytest.mark.parametrize("take", [read, first_line, check])
    @only_root
    def test_a_file_of_somebody_else_is_refused(self, path: Path, take: Callable[[Path], object]) -> None:
        os.chown(path, STRANGER, STRANGER)
        with pytest.raises(StorageError, match=f"belongs to user {STRANGER}, not to user 0 .* chown 0 {path}"):
            take(path)

    def test_the_remedy_can_be_typed_whatever_the_name(self, tmp_path: Path) -> None:
        path = tmp_path / "it's $HOME; a name"
        create(path, b"data", PUBLIC)
        with pytest.raises(StorageError) as caught:
            read(path)
        subprocess.run(str(caught.value).split("run: ")[1], shell=True, check=True)
        assert read(path) == b"data"

    @pytest.mark.parametrize("take", [read, first_line])
    def test_a_file_that_is_missing_is_told_from_one_that_cannot_be_read(
        self, path: Path, take: Callable[[Path], object]
    ) -> None:
        with pytest.raises(StorageError, match="does not exist") as caught:
            take(path.with_name("none"))
        assert caught.value.kind == MISSING
        for name in ("secret/x", "n" * 300, "."):
            with pytest.raises(StorageError) as caught:
                take(path.parent / name)
            assert caught.value.kind != MISSING

    @pytest.mark.parametrize("take", [read, check])
    def test_a_pipe_is_refused_without_waiting_for_it(self, tmp_path: Path, take: Callable[[Path], object]) -> None:
        os.mkfifo(tmp_path / "fifo", 0o600)
        with pytest.raises(StorageError, match="no regular file"):
            take(tmp_path / "fifo")

    def test_a_link_is_followed_unless_that_is_forbidden(self, path: Path) -> None:
        link = path.with_name("link")
        link.symlink_to(path)
        assert read(link) == b"old"
        with pytest.raises(StorageError, match="symbolic link"):
            read(link, follow=False)
        path.chmod(0o644)
        with pytest.raises(StorageError, match="chmod"):
            read(link)

    def test_what_does_not_exist_is_open_to_nobody(self, tmp_path: Path) -> None:
        check(tmp_path / "none")
        check(tmp_path / "no" / "folder")

    @pytest.mark.parametrize(
        ("content", "line"),
        [
            (b"secret", b"secret"),
            (b" s p \nrest\n", b" s p "),
            (b"secret\r\nrest", b"secret"),
            (b"\xff\0\n", b"\xff\0"),
            (b"\nrest", b""),
            (b"", b""),
            (b"x" * LINE_MAX_LEN + b"\n", b"x" * LINE_MAX_LEN),
        ],
    )
    def test_the_first_line_is_given_without_its_end(self, path: Path, content: bytes, line: bytes) -> None:
        path.write_bytes(content)
        assert first_line(path) == line

    def test_a_line_that_can_be_no_secret_is_refused_and_not_read_to_its_end(self, path: Path) -> None:
        path.write_bytes(b"x" * (LINE_MAX_LEN + 1) + b"\n")
        for endless in (path, Path("/dev/zero")):
            with pytest.raises(StorageError, match="too long"):
                first_line(endless)

    def test_a_secret_may_come_through_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo", 0o644)
        writer = os.open(tmp_path / "fifo", os.O_RDWR)
        try:
            os.write(writer, b"secret\nrest")
            assert first_line(tmp_path / "fifo") == b"secret"
        finally:
            os.close(writer)


class TestFolders:
    @pytest.mark.parametrize("umask", [0o000, 0o022])
    def test_a_new_folder_is_its_owners_alone(self, tmp_path: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            make_folder(tmp_path / "parent" / "data")
        finally:
            os.umask(before)
        assert mode(tmp_path / "parent" / "data") == 0o700

    def test_a_folder_that_is_there_stays_as_it_is(self, path: Path) -> None:
        path.parent.chmod(0o700)
        make_folder(path.parent)
        assert names(path.parent) == ["secret"]

    @pytest.mark.parametrize("bit", OPEN_BITS)
    def test_a_folder_open_to_others_is_refused_with_the_remedy(self, tmp_path: Path, bit: int) -> None:
        tmp_path.chmod(0o700 | bit)
        with pytest.raises(StorageError, match=f"chmod 700 {tmp_path}$"):
            make_folder(tmp_path)

    @only_root
    def test_a_folder_of_somebody_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir(0o700)
        os.chown(tmp_path / "data", STRANGER, STRANGER)
        with pytest.raises(StorageError, match=f"belongs to user {STRANGER}"):
            make_folder(tmp_path / "data")

    @pytest.mark.parametrize("name", ["secret", "secret/x", "n" * 300])
    def test_what_can_be_no_folder_is_a_typed_error(self, path: Path, name: str) -> None:
        with pytest.raises(StorageError, match="cannot be a folder"):
            make_folder(path.parent / name)


class TestLocks:
    TAKE = "import sys; from pathlib import Path; from e4core.files import Lock; Lock.take(Path(sys.argv[1]), 'taken')"

    def test_two_never_hold_it_and_the_second_is_told_so(self, path: Path) -> None:
        lock = Lock.take(path, "taken")
        with pytest.raises(Conflict, match="taken") as caught:
            Lock.take(path, "taken")
        assert caught.value.kind == "in_use"
        assert "Conflict: taken" in python(self.TAKE, path).stderr
        lock.release()
        Lock.take(path, "taken").release()
        assert path.read_bytes() == b"old"

    def test_it_ends_with_its_process_however_that_ends(self, tmp_path: Path) -> None:
        script = f"{self.TAKE}; import os; os.kill(os.getpid(), 9)"
        assert python(script, tmp_path / "lock").returncode == -signal.SIGKILL
        Lock.take(tmp_path / "lock", "taken").release()

    def test_its_file_is_private_and_stays(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            Lock.take(tmp_path / "lock", "taken").release()
        finally:
            os.umask(before)
        assert mode(tmp_path / "lock") == 0o600

    def test_a_forked_child_does_not_hold_it(self, tmp_path: Path) -> None:
        script = f"""
{self.TAKE.rsplit(";", 1)[0]}
import os
lock = Lock.take(Path(sys.argv[1]), "taken")
if not (child := os.fork()):
    os._exit(lock.is_ours)
print(lock.is_ours, os.waitpid(child, 0)[1])
"""
        assert python(script, tmp_path / "lock").stdout == "True 0\n"

    @pytest.mark.parametrize("name", ["link", "missing/lock", "."])
    def test_what_cannot_be_locked_is_a_typed_error(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "target")
        with pytest.raises(StorageError):
            Lock.take(tmp_path / name, "taken")
        assert names(tmp_path) == ["link"]


def test_the_core_itself_uses_no_files() -> None:
    modules = "e4core.client, e4core.plugins, e4core.state, e4core.e4go"
    assert python(f"import sys, {modules}; print('e4core.files' in sys.modules)").stdout == "False\n"
    assert files.__name__ == "e4core.files"
