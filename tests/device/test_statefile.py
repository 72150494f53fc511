# SPDX-License-Identifier: Apache-2.0
"""The state file: it survives crashes, admits one process, and takes over from e4go."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from e4core import e4go
from e4core.errors import Conflict, InvalidInput, StorageError
from e4core.keys import Secret
from e4core.message import GRACE_S
from e4core.plugins import load_suite
from e4core.state import State, TopicState, new_state
from e4device.statefile import StateFile, import_e4go
from tests.device.states import CHEAP, E4GO, NOW, PASSPHRASE, STATE, created


@pytest.fixture(params=[None, PASSPHRASE], ids=["clear", "sealed"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], StateFile]:
    return lambda: StateFile(tmp_path / "state.json", request.param, cost=CHEAP)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def test_what_was_saved_is_loaded(make: Callable[[], StateFile]) -> None:
    created(make())
    changed = replace(STATE, mark=77, clean=False)
    with make() as file:
        assert file.load(NOW) == STATE
        file.save(changed)
    assert make().load(NOW) == changed


def test_a_new_file_is_readable_by_its_owner_alone_and_so_is_each_save(make: Callable[[], StateFile]) -> None:
    file = created(make())
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.path.chmod(0o400)
    with file:
        file.save(STATE)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_create_never_overwrites(make: Callable[[], StateFile]) -> None:
    created(make())
    with make() as file, pytest.raises(Conflict) as caught:
        file.create(replace(STATE, mark=1))
    assert caught.value.kind == "exists"
    assert make().load(NOW) == STATE


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_open_to_others_is_refused_with_the_remedy(make: Callable[[], StateFile], mode: int) -> None:
    file = created(make())
    file.path.chmod(mode)
    with pytest.raises(StorageError, match=f"chmod 600 {file.path}"):
        file.load(NOW)


def test_two_users_of_one_state_exclude_each_other(make: Callable[[], StateFile]) -> None:
    created(make())
    with make() as first:
        first.save(STATE)
        with pytest.raises(Conflict) as caught, make():
            raise AssertionError("both have it")
        assert caught.value.kind == "in_use"
    with make() as second:
        second.save(STATE)


def test_another_process_is_excluded_too_and_a_symbolic_link_is_no_way_round(tmp_path: Path, path: Path) -> None:
    created(StateFile(path))
    (tmp_path / "alias").symlink_to(path)
    script = "import sys; from e4device.statefile import StateFile\nwith StateFile(sys.argv[1]): pass"
    command = [sys.executable, "-c", script, str(tmp_path / "alias")]
    with StateFile(path):
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another process uses this state" in refused.stderr
    assert subprocess.run(command, check=False).returncode == 0


def test_others_are_told_that_a_device_is_synchronised_while_it_is_at_work(make: Callable[[], StateFile]) -> None:
    told = [make().is_synchronised()]
    created(make())
    told.append(make().is_synchronised())
    with make() as file:
        told.append(make().is_synchronised())
        file.mark_synchronised()
        told.append(make().is_synchronised())
    told.append(make().is_synchronised())
    with make():
        told.append(make().is_synchronised())
    assert told == [False, False, False, True, False, False]


def test_saving_without_the_lock_is_refused(make: Callable[[], StateFile]) -> None:
    file = created(make())
    with pytest.raises(StorageError):
        file.save(replace(STATE, mark=1))
    assert file.load(NOW) == STATE


def test_a_forked_child_does_not_inherit_the_right_to_save(path: Path) -> None:
    script = """
import os, sys
from e4core.errors import StorageError
from e4device.statefile import StateFile
with StateFile(sys.argv[1]) as file:
    state = file.load(0)
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    try:
        file.save(state)
    except StorageError:
        os._exit(0)
    os._exit(1)
"""
    created(StateFile(path))
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 0


def test_a_crash_between_write_and_rename_leaves_the_old_state(make: Callable[[], StateFile]) -> None:
    file = created(make())
    left_over = file.path.with_name(f".{file.path.name}.new")
    left_over.write_bytes(file.path.read_bytes()[:100])
    with make() as after:
        assert after.load(NOW) == STATE
        assert not left_over.exists()
        after.save(replace(STATE, mark=5))
    assert make().load(NOW).mark == 5
    assert sorted(p.name for p in file.path.parent.iterdir()) == [file.path.name, f"{file.path.name}.lock"]


def test_a_process_killed_while_it_saves_leaves_a_whole_state(path: Path) -> None:
    script = """
import sys
from dataclasses import replace
from e4device.statefile import StateFile
with StateFile(sys.argv[1]) as file:
    state = file.load(0)
    print("go", flush=True)
    while True:
        state = replace(state, mark=state.mark + 1)
        file.save(state)
"""
    created(StateFile(path))
    marks = [0]
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            before = path.stat().st_ino
            while path.stat().st_ino == before:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        marks.append(StateFile(path).load(NOW).mark)
    assert marks == sorted(set(marks))


def test_a_full_disk_is_a_typed_error_and_leaves_the_old_state(path: Path) -> None:
    script = """
import resource, signal, sys
from dataclasses import replace
from e4core.errors import StorageError
from e4device.statefile import StateFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with StateFile(sys.argv[1]) as file:
    state = file.load(0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    try:
        file.save(replace(state, mark=9))
    except StorageError:
        sys.exit(0)
sys.exit(1)
"""
    created(StateFile(path))
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 0
    assert StateFile(path).load(NOW) == STATE
    assert not path.with_name(f".{path.name}.new").exists()


def test_what_cannot_be_a_state_file_is_refused_without_hanging(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("missing", "fifo", "."):
        with pytest.raises(StorageError):
            StateFile(tmp_path / name).load(NOW)
    with pytest.raises(StorageError), StateFile(tmp_path / "no" / "folder"):
        pass


def test_a_previous_key_whose_grace_is_over_is_not_loaded(make: Callable[[], StateFile]) -> None:
    file = created(make())
    (keys,) = STATE.topics.values()
    assert file.load(keys.rotated + GRACE_S) == STATE
    (loaded,) = file.load(keys.rotated + GRACE_S + 1).topics.values()
    assert loaded == TopicState(keys.key)


class TestE4go:
    @pytest.mark.parametrize("mode", ["sk", "pk"])
    def test_a_previous_key_of_its_file_whose_grace_is_over_is_not_loaded(self, path: Path, mode: str) -> None:
        text = E4GO[mode]["steps"][-1]["file_text_after"]
        path.write_text(text)
        path.chmod(0o600)
        held = e4go.load(text.encode(), lambda _: load_suite(mode)).topics
        assert any(keys.previous for keys in held.values())
        after = StateFile(path).load(NOW).topics
        assert after == {topic: TopicState(keys.key) for topic, keys in held.items()}

    @pytest.mark.parametrize("mode", ["sk", "pk"])
    def test_its_file_loads_and_nothing_from_before_is_accepted(self, path: Path, mode: str) -> None:
        path.write_text(E4GO[mode]["start_text"])
        path.chmod(0o600)
        state = StateFile(path).load(NOW)
        assert isinstance(state, State)
        assert state.suite == mode
        assert state.client_id.hex() == E4GO[mode]["id"]
        assert (state.floor, state.command_floor, state.sent) == (int(NOW), int(NOW), int(NOW))

    def test_a_save_puts_our_own_format_in_its_place(self, path: Path) -> None:
        path.write_text(E4GO["sk"]["start_text"])
        path.chmod(0o600)
        with StateFile(path) as file:
            state = file.load(NOW)
            file.save(state)
        assert json.loads(path.read_text())["format"] == "e4-device-state"
        assert StateFile(path).load(NOW + 100) == state

    @pytest.mark.parametrize("mode", ["sk", "pk"])
    def test_an_exported_state_is_byte_for_byte_what_e4go_wrote(self, tmp_path: Path, path: Path, mode: str) -> None:
        source = tmp_path / "go.json"
        source.touch(0o600)
        last = E4GO[mode]["steps"][-1]["file_text_after"]
        source.write_text(last)
        rotated = max(keys.rotated for keys in e4go.load(last.encode(), lambda _: load_suite(mode)).topics.values())
        file = created(StateFile(path, PASSPHRASE, cost=CHEAP), import_e4go(source, rotated + GRACE_S))
        file.export_e4go(tmp_path / "back.json", rotated + GRACE_S)
        # e4go leaves the end of a longer former state behind its line
        assert (tmp_path / "back.json").read_text() == last[: last.index("\n") + 1]
        assert stat.S_IMODE((tmp_path / "back.json").stat().st_mode) == 0o600

    def test_it_has_no_other_suite(self, tmp_path: Path, path: Path) -> None:
        mine = replace(load_suite("sk"), name="mine")
        state = new_state(mine, STATE.client_id, Secret(os.urandom(32)))
        file = created(StateFile(path, suites=lambda _: mine), state)
        with pytest.raises(InvalidInput, match="e4go has no suite mine"):
            file.export_e4go(tmp_path / "go.json", NOW)
        assert not (tmp_path / "go.json").exists()

    def test_an_export_never_overwrites(self, tmp_path: Path, path: Path) -> None:
        (tmp_path / "back.json").write_text("mine")
        with pytest.raises(Conflict):
            created(StateFile(path)).export_e4go(tmp_path / "back.json", NOW)
        assert (tmp_path / "back.json").read_text() == "mine"
