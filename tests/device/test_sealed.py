# SPDX-License-Identifier: Apache-2.0
"""A state under a passphrase; and damage to any state, which is answered with a typed error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.errors import AuthenticationFailed, E4Error, InvalidInput
from e4core.formats import AnyState
from e4core.keys import Secret
from e4core.state import State, dump
from e4device.passphrase import Cost
from e4device.statefile import StateFile
from tests.device.states import CHEAP, E4GO, NOW, PASSPHRASE, STATE, created


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


class TestSealed:
    def test_no_secret_is_in_the_file(self, path: Path) -> None:
        created(StateFile(path, PASSPHRASE, cost=CHEAP))
        content = path.read_bytes()
        assert b"private" not in content
        assert b"topics" not in content

    def test_each_save_takes_a_fresh_nonce_and_the_same_key(self, path: Path) -> None:
        file = created(StateFile(path, PASSPHRASE, cost=CHEAP))
        saved = [json.loads(path.read_text())]
        with file:
            for _ in range(3):
                file.save(STATE)
                saved.append(json.loads(path.read_text()))
        assert len({body["nonce"] for body in saved}) == 4
        assert len({body["salt"] for body in saved}) == 1

    def test_a_save_does_not_derive_the_key_again(self, path: Path) -> None:
        script = """
import resource, sys
from pathlib import Path
from e4core.errors import StorageError
from e4core.keys import Secret
from e4device.statefile import StateFile
passphrase = Secret(sys.argv[2].encode())
with StateFile(sys.argv[1], passphrase) as file:
    state = file.load(0)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
    file.save(state)
    try:
        StateFile(sys.argv[1], passphrase).load(0)
    except StorageError as error:
        sys.exit(error.kind)
"""
        created(StateFile(path, PASSPHRASE, cost=Cost(memory_kib=256 << 10, passes=1, lanes=1)))
        command = [sys.executable, "-c", script, str(path), bytes(PASSPHRASE).decode()]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == "memory\n"

    def test_a_wrong_passphrase_is_told_as_such(self, path: Path) -> None:
        created(StateFile(path, PASSPHRASE, cost=CHEAP))
        with pytest.raises(AuthenticationFailed, match="wrong passphrase or damaged file"):
            StateFile(path, Secret(b"Correct horse battery staple")).load(NOW)

    def test_without_its_passphrase_it_says_that_one_is_needed(self, path: Path) -> None:
        created(StateFile(path, PASSPHRASE, cost=CHEAP))
        with pytest.raises(InvalidInput) as caught:
            StateFile(path).load(NOW)
        assert caught.value.kind == "passphrase_missing"
        assert StateFile(path).is_sealed()

    @pytest.mark.parametrize("content", [dump(STATE), E4GO["sk"]["start_text"].encode()], ids=["clear", "e4go"])
    def test_with_a_passphrase_a_state_in_clear_is_not_taken(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(InvalidInput) as caught:
            StateFile(path, PASSPHRASE).load(NOW)
        assert caught.value.kind == "passphrase_not_needed"

    def test_a_foreign_file_cannot_ask_for_all_memory(self, path: Path) -> None:
        created(StateFile(path, PASSPHRASE, cost=CHEAP))
        body = json.loads(path.read_text())
        path.write_text(json.dumps({**body, "memory_kib": 1 << 31}, separators=(",", ":")) + "\n")
        with pytest.raises(InvalidInput) as caught:
            StateFile(path, PASSPHRASE).load(NOW)
        assert caught.value.kind == "bad_cost"


def stored(content: bytes, passphrase: Secret | None) -> AnyState:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        path.touch(0o600)
        path.write_bytes(content)
        state = StateFile(path, passphrase).load(NOW)
        assert isinstance(state, State)
        return state


def content_of(passphrase: Secret | None) -> bytes:
    with TemporaryDirectory() as folder:
        return created(StateFile(Path(folder) / "state", passphrase, cost=CHEAP)).path.read_bytes()


SEALED = content_of(PASSPHRASE)
CLEAR = content_of(None)


@given(length=st.integers(0, len(SEALED) - 1))
def test_any_truncation_of_a_sealed_state_is_a_typed_error(length: int) -> None:
    with pytest.raises(E4Error):
        stored(SEALED[:length], PASSPHRASE)


@given(position=st.integers(0, len(SEALED) - 1), change=st.integers(1, 255))
def test_any_changed_byte_of_a_sealed_state_is_a_typed_error(position: int, change: int) -> None:
    damaged = bytearray(SEALED)
    damaged[position] ^= change
    with pytest.raises(E4Error):
        stored(bytes(damaged), PASSPHRASE)


@given(addition=st.binary(min_size=1, max_size=20))
def test_anything_after_a_sealed_state_is_a_typed_error(addition: bytes) -> None:
    with pytest.raises(E4Error):
        stored(SEALED + addition, PASSPHRASE)


@given(length=st.integers(0, len(CLEAR.rstrip()) - 1))
def test_any_truncation_of_a_clear_state_is_a_typed_error(length: int) -> None:
    with pytest.raises(E4Error):
        stored(CLEAR[:length], None)


@given(content=st.binary(max_size=200))
def test_garbage_is_a_typed_error(content: bytes) -> None:
    with pytest.raises(E4Error):
        stored(content, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
BODIES: dict[str, dict[str, Any]] = {
    "own": json.loads(CLEAR),
    "sealed": json.loads(SEALED),
    "e4go sk": json.loads(E4GO["sk"]["start_text"]),
    "e4go pk": json.loads(E4GO["pk"]["start_text"]),
}


@pytest.mark.parametrize("name", BODIES)
@given(data=st.data())
def test_a_field_of_any_other_form_is_a_typed_error_or_no_harm(name: str, data: st.DataObject) -> None:
    body = json.loads(json.dumps(BODIES[name]))
    part = body
    if "Key" in body and data.draw(st.booleans()):
        part = body["Key"]["keyData"]
    field = data.draw(st.sampled_from(sorted(part)))
    part[field] = data.draw(JSON)
    try:
        state = stored(json.dumps(body).encode(), PASSPHRASE if name == "sealed" else None)
    except E4Error:
        return
    assert isinstance(state, State)
    dump(state)
