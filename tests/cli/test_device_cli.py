# SPDX-License-Identifier: Apache-2.0
"""``e4 device`` on real files."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
import sys
import time
from base64 import b64encode
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from e4cli.device import app as device_app
from e4core.keys import ClientId, Secret, control_topic
from e4core.plugins import load_suite
from tests.cli.command import PROGRAM, answer, e4, environment, ok, refused
from tests.cli.devices import E4GO, PASSPHRASE, TOPIC, loaded, stored, with_key
from tests.device.c2 import TinyC2, new_key


@dataclass
class Pair:
    """State files of two devices that hold the key of `TOPIC`."""

    alice: Path
    bob: Path


@pytest.fixture(params=["sk", "pk"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    c2, key = TinyC2(load_suite(request.param)), new_key()
    alice, bob = c2.enrol("alice"), c2.enrol("bob")
    peers = () if load_suite(request.param).is_symmetric else (alice, bob)
    return Pair(
        stored(tmp_path / "alice", with_key(alice, key, *peers)), stored(tmp_path / "bob", with_key(bob, key, *peers))
    )


class TestInit:
    def test_a_device_of_each_suite_gets_its_state_and_shows_it(self, tmp_path: Path) -> None:
        for suite, c2_key in (("sk", ()), ("pk", ("--c2-key", tmp_path / "c2.pub"))):
            ok("keygen", "--suite", suite, "--out", tmp_path / suite)
            if c2_key:
                ok("keygen", "curve25519", "--out", tmp_path / "c2")
            state = tmp_path / f"{suite}.state"
            made = answer(
                "device", "init", "attic", "--suite", suite, "--key", tmp_path / suite, *c2_key, "--state", state
            )
            device = ClientId(load_suite(suite).derive_id("attic"))
            assert (made["id"], made["control_topic"]) == (device.hex(), control_topic(device))
            public = None if load_suite(suite).is_symmetric else (tmp_path / f"{suite}.pub").read_bytes().hex()
            assert made["public_key"] == public
            assert stat.S_IMODE(state.stat().st_mode) == 0o600
            assert answer("device", "show", "--state", state) == {**made, "synchronised": False, "encrypted": False}
            assert loaded(state).private == Secret((tmp_path / suite).read_bytes())

    def test_an_id_can_be_given_instead_of_a_name(self, tmp_path: Path) -> None:
        ok("keygen", "symmetric", "--out", tmp_path / "key")
        id_ = "00112233445566778899aabbccddeeff"
        init = ("device", "init", "--suite", "sk", "--key", tmp_path / "key", "--state", tmp_path / "state")
        assert answer(*init, "--id", id_)["id"] == id_

    def test_no_secret_is_shown(self, tmp_path: Path, pair: Pair) -> None:
        state = loaded(pair.alice)
        for output in ("table", "json"):
            text = ok("device", "show", "--state", pair.alice, "--output", output)
            for secret in (state.private, *(keys.key for keys in state.topics.values())):
                assert secret[:16].hex().encode() not in text
                assert b64encode(secret)[:20] not in text

    def test_what_makes_no_device_is_refused_and_leaves_nothing(self, tmp_path: Path) -> None:
        ok("keygen", "symmetric", "--out", tmp_path / "key")
        ok("keygen", "ed25519", "--out", tmp_path / "ed")
        ok("keygen", "curve25519", "--out", tmp_path / "c2")
        before = sorted(tmp_path.iterdir())
        state = ("--state", tmp_path / "state")
        sk = ("device", "init", *state, "--suite", "sk", "--key")
        pk = ("device", "init", *state, "--suite", "pk", "--key")
        refused(3, *sk, tmp_path / "ed", "name")
        refused(3, *pk, tmp_path / "key", "--c2-key", tmp_path / "c2.pub", "name")
        refused(3, *sk, tmp_path / "key", "--id", "0011")
        refused(3, *sk, tmp_path / "key", "--id", "xyz")
        refused(3, *sk, tmp_path / "key", "a\nname")
        refused(18, *sk, tmp_path / "missing", "name")
        refused(12, "device", "init", *state, "--suite", "nonesuch", "--key", tmp_path / "key", "name")
        assert e4(*sk, tmp_path / "key").returncode == 2
        assert e4(*sk, tmp_path / "key", "name", "--id", "00" * 16).returncode == 2
        assert e4(*sk, tmp_path / "key", "name", "--c2-key", tmp_path / "c2.pub").returncode == 2
        assert e4(*pk, tmp_path / "ed", "name").returncode == 2
        assert sorted(tmp_path.iterdir()) == before

    def test_the_private_key_of_the_c2_is_not_taken_for_its_public_key(self, tmp_path: Path) -> None:
        ok("keygen", "ed25519", "--out", tmp_path / "ed")
        ok("keygen", "curve25519", "--out", tmp_path / "c2")
        init = ("device", "init", "x", "--suite", "pk", "--key", tmp_path / "ed", "--state", tmp_path / "state")
        assert f"give {tmp_path}/c2.pub" in refused(3, *init, "--c2-key", tmp_path / "c2")
        assert f"give {tmp_path}/ed.pub" in refused(3, *init, "--c2-key", tmp_path / "ed")
        assert not (tmp_path / "state").exists()
        ok(*init, "--c2-key", tmp_path / "c2.pub")

    def test_an_existing_state_is_not_overwritten(self, tmp_path: Path, pair: Pair) -> None:
        ok("keygen", "symmetric", "--out", tmp_path / "key")
        before = pair.alice.read_bytes()
        refused(9, "device", "init", "x", "--suite", "sk", "--key", tmp_path / "key", "--state", pair.alice)
        assert pair.alice.read_bytes() == before


class TestPassphrase:
    def test_a_state_is_sealed_and_opened_with_a_passphrase_from_a_file_or_the_environment(
        self, tmp_path: Path
    ) -> None:
        ok("keygen", "symmetric", "--out", tmp_path / "key")
        secret, state = tmp_path / "passphrase", tmp_path / "state"
        secret.touch(0o600)
        secret.write_text(PASSPHRASE + "\n")
        sealing = ("--passphrase-file", secret)
        ok("device", "init", "x", "--suite", "sk", "--key", tmp_path / "key", "--state", state, *sealing)
        assert json.loads(state.read_bytes())["format"] == "e4-sealed-state"
        assert answer("device", "show", "--state", state, *sealing)["encrypted"] is True
        assert answer("device", "show", "--state", state, env={"E4_STATE_PASSPHRASE": PASSPHRASE})["encrypted"] is True

    def test_a_wrong_or_missing_passphrase_is_told_in_one_line(self, tmp_path: Path) -> None:
        device = TinyC2(load_suite("sk")).enrol("x")
        state = stored(tmp_path / "state", device.state, Secret(PASSPHRASE.encode()))
        wrong = refused(4, "device", "show", "--state", state, env={"E4_STATE_PASSPHRASE": "another"})
        assert "wrong passphrase or damaged file" in wrong
        assert "--passphrase-file" in refused(3, "device", "show", "--state", state)
        refused(3, "device", "show", "--state", state, env={"E4_STATE_PASSPHRASE": ""})

    def test_a_passphrase_file_open_to_others_is_refused(self, tmp_path: Path, pair: Pair) -> None:
        (tmp_path / "passphrase").write_text(PASSPHRASE)
        (tmp_path / "passphrase").chmod(0o644)
        arguments = ("device", "show", "--state", pair.alice, "--passphrase-file", tmp_path / "passphrase")
        assert "chmod 600" in refused(18, *arguments)

    def test_no_option_takes_a_passphrase(self) -> None:
        group = get_command(device_app)
        assert isinstance(group, TyperGroup)
        for command in group.commands.values():
            options = {name for option in command.params for name in option.opts if "pass" in name}
            assert options == {"--passphrase-file"}

    def test_a_passphrase_is_asked_for_at_the_terminal_while_the_payload_comes_from_a_pipe(
        self, tmp_path: Path
    ) -> None:
        device = TinyC2(load_suite("sk")).enrol("x")
        state = stored(tmp_path / "state", with_key(device, new_key()), Secret(PASSPHRASE.encode()))
        (tmp_path / "payload").write_bytes(b"rain")
        protect = shlex.join([*PROGRAM, "device", "protect", "--topic", TOPIC, "--state", str(state)])
        shell = f"cat {tmp_path}/payload | {protect} > {tmp_path}/data"
        spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', sys.argv[1]])))"
        with subprocess.Popen(
            [sys.executable, "-c", spawn, shell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        ) as terminal:
            assert terminal.stdin is not None
            assert terminal.stdout is not None
            prompt = b""
            while not prompt.endswith(b"passphrase of the state: "):
                prompt += terminal.stdout.read(1)
            terminal.stdin.write(PASSPHRASE.encode() + b"\n")
            terminal.stdin.flush()
            assert terminal.wait(30) == 0
            assert PASSPHRASE.encode() not in terminal.stdout.read()
        assert len((tmp_path / "data").read_bytes()) == 24 + len(b"rain")


class TestMessages:
    @pytest.mark.parametrize("payload", [b"rain", bytes(range(256)), b"x" * 100_000])
    def test_what_one_protects_the_other_unprotects_once(self, pair: Pair, payload: bytes) -> None:
        data = ok("device", "protect", "--topic", TOPIC, "--state", pair.alice, stdin=payload)
        assert payload[:30] not in data
        unprotect = ("device", "unprotect", "--topic", TOPIC, "--state", pair.bob)
        assert ok(*unprotect, stdin=data) == payload
        refused(5, *unprotect, stdin=data)

    def test_files_and_base64_do_the_same(self, pair: Pair, tmp_path: Path) -> None:
        (tmp_path / "payload").write_bytes(b"rain")
        files = ("--in", tmp_path / "payload", "--out", tmp_path / "data", "--base64")
        assert ok("device", "protect", "--topic", TOPIC, "--state", pair.alice, *files) == b""
        back = ("--in", tmp_path / "data", "--out", tmp_path / "back", "--base64")
        ok("device", "unprotect", "--topic", TOPIC, "--state", pair.bob, *back)
        assert (tmp_path / "data").read_text().isascii()
        assert (tmp_path / "back").read_bytes() == b"rain"

    def test_json_tells_who_sent_it(self, pair: Pair) -> None:
        data = ok("device", "protect", "--topic", TOPIC, "--state", pair.alice, stdin=b"rain\xff")
        shown = json.loads(
            ok("device", "unprotect", "--topic", TOPIC, "--state", pair.bob, "--output", "json", stdin=data)
        )
        alice = loaded(pair.alice)
        assert shown["payload_base64"] == b64encode(b"rain\xff").decode()
        assert shown["text"] is None
        signed = not load_suite(alice.suite).is_symmetric
        assert shown["sender"] == (alice.client_id.hex() if signed else None)
        assert shown["authenticated"] is signed

    def test_protecting_the_same_again_and_again_waits_and_never_gives_equal_bytes(self, pair: Pair) -> None:
        protect = ("device", "protect", "--topic", TOPIC, "--state", pair.alice)
        assert len({ok(*protect, stdin=b"same") for _ in range(4)}) == 4

    def test_each_refusal_has_its_exit_status(self, pair: Pair) -> None:
        data = ok("device", "protect", "--topic", TOPIC, "--state", pair.alice, stdin=b"rain")
        unprotect = ("device", "unprotect", "--state", pair.bob, "--topic")
        changed = data[:-1] + bytes([data[-1] ^ 1])
        refused(4, *unprotect, TOPIC, stdin=changed)
        refused(6, *unprotect, "another", stdin=data)
        refused(3, *unprotect, "a/+", stdin=data)
        refused(3, *unprotect, TOPIC, stdin=b"short")
        refused(3, *unprotect, TOPIC, "--base64", stdin=b"no base64!")
        refused(5, *unprotect, TOPIC, stdin=(int(time.time()) + 3600).to_bytes(8, "little") + data[8:])
        refused(5, *unprotect, TOPIC, stdin=(int(time.time()) - 3600).to_bytes(8, "little") + data[8:])
        refused(18, *unprotect, TOPIC, "--in", "/nonexistent")
        assert ok(*unprotect, TOPIC, stdin=data) == b"rain"


class TestE4go:
    @pytest.mark.parametrize("mode", ["sk", "pk"])
    def test_a_device_of_e4go_comes_over_and_goes_back(self, tmp_path: Path, mode: str) -> None:
        source = tmp_path / "go.json"
        source.touch(0o600)
        source.write_text(E4GO[mode]["start_text"])
        shown = answer("device", "import-e4go", source, "--state", tmp_path / "state")
        assert (shown["suite"], shown["id"]) == (mode, E4GO[mode]["id"])
        ok("device", "export-e4go", "--state", tmp_path / "state", "--out", tmp_path / "back.json")
        assert (tmp_path / "back.json").read_text() == E4GO[mode]["start_text"]
        refused(9, "device", "export-e4go", "--state", tmp_path / "state", "--out", tmp_path / "back.json")

    def test_what_is_no_state_of_e4go_is_refused(self, tmp_path: Path) -> None:
        source = tmp_path / "go.json"
        source.touch(0o600)
        for text in ("", "[]", "{}", '{"Key": {"keyType": 7, "keyData": {}}}'):
            source.write_text(text)
            line = refused(3, "device", "import-e4go", source, "--state", tmp_path / "state")
            assert line.startswith(f"e4: {source}: no state of e4go")
            assert "from a copy" not in line
        assert not (tmp_path / "state").exists()


def test_reset_clock_forgets_times_beyond_now(tmp_path: Path) -> None:
    device = TinyC2(load_suite("sk")).enrol("x")
    far = int(time.time()) + 10**6
    state = replace(with_key(device, new_key()), floor=far, command_second=far, sent=far)
    path = stored(tmp_path / "state", state)
    protect = ("device", "protect", "--topic", TOPIC, "--state", path)
    ok("device", "reset-clock", "--state", path)
    after = loaded(path)
    assert max(after.floor, after.command_second, after.mark) < far
    ok(*protect, stdin=b"x")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\x00" * 50, b'{"format": "e4-device-state"}', b"{" * 5000])
def test_a_damaged_state_is_one_line_and_no_traceback(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.touch(0o600)
    path.write_bytes(content)
    assert str(path) in refused(3, "device", "show", "--state", path)
    assert str(path) in refused(3, "device", "reset-clock", "--state", path)


def test_a_wrong_passphrase_is_told_with_the_file_that_it_is_for(tmp_path: Path) -> None:
    device = TinyC2(load_suite("sk")).enrol("x")
    path = stored(tmp_path / "state", device.state, Secret(PASSPHRASE.encode()))
    for command in ("show", "reset-clock"):
        line = refused(4, "device", command, "--state", path, env={"E4_STATE_PASSPHRASE": "another"})
        assert line.startswith(f"e4: {path}: wrong passphrase")
