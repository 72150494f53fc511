# SPDX-License-Identifier: Apache-2.0
"""Commands that ask a C2, when they cannot have what they want: one sentence, an exit status, and nothing changed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path

import pytest

from e4cli.exits import code_of
from e4core.errors import E4Error
from tests.c2.served import PATIENCE_S, Served, serving, settings_in
from tests.c2.test_app_listening import certificate as certificate
from tests.cli.c2_server import C2, Asked, send, server
from tests.cli.command import answer, e4, environment, program, refused
from tests.cli.test_api_client import ERRORS, PROBLEM, problem
from tests.servers import Mosquitto, free_port

KEY = b"\x01" * 32
_numbers = count()


@pytest.fixture(scope="module")
def known(sk: C2) -> C2:
    """A C2 with the client ``known``, and the topic ``known``, of which it is no member."""
    sk.served.client("known", KEY)
    sk.served.topic("known")
    return sk


def key_file(folder: Path, key: bytes = KEY) -> Path:
    path = folder / f"key-{next(_numbers)}"
    path.touch(0o600)
    path.write_bytes(key)
    return path


@contextlib.contextmanager
def registry(about: bytes) -> Iterator[tuple[dict[str, str], list[Asked]]]:
    """A server that says ``about`` of itself and takes whatever is registered; how it is reached, what it was asked."""

    def reply(asked: Asked, http: BaseHTTPRequestHandler) -> None:
        send(http, 200, "application/json", about if asked.method == "GET" else b"{}")

    with server(reply) as (url, asked):
        yield {"E4_URL": url, "E4_TOKEN": "t"}, asked


@pytest.mark.parametrize(
    "arguments",
    [
        ["clients", "show", "nobody"],
        ["clients", "remove", "nobody"],
        ["clients", "topics", "nobody"],
        ["clients", "new-key", "nobody", "--reason", "routine"],
        ["clients", "confirm-key", "nobody"],
        ["clients", "cancel-key", "nobody"],
        ["clients", "confirm-c2-key", "nobody"],
        ["clients", "enrol", "nobody", "--generate"],
        ["clients", "reset", "nobody"],
        ["topics", "show", "nobody"],
        ["topics", "members", "nobody"],
        ["topics", "join", "known", "known", "nobody"],
        ["topics", "join", "nobody", "known"],
        ["topics", "leave", "known", "known"],
        ["topics", "rotate", "nobody"],
        ["topics", "remove", "nobody"],
        ["links", "send", "known", "nobody"],
        ["links", "list", "nobody"],
        ["links", "remove", "nobody", "known"],
        ["links", "reset", "nobody"],
        ["commands", "list", "--client", "nobody"],
        ["commands", "show", "0" * 32],
        ["token", "revoke", "0" * 32],
    ],
)
def test_what_is_not_there_is_8(known: C2, arguments: list[str]) -> None:
    known.refused(8, *arguments)
    assert known.answer("topics", "members", "known") == []


def test_what_its_state_does_not_allow_is_9(known: C2) -> None:
    known.refused(9, "clients", "create", "known", "--key", key_file(known.folder, b"\x02" * 32))
    known.refused(9, "topics", "create", "known")
    known.refused(9, "clients", "confirm-key", "known")
    known.refused(9, "clients", "cancel-key", "known")
    known.refused(9, "clients", "enrol", "known", "--key", key_file(known.folder))


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics", "create", "e4/mine"],
        ["topics", "create", "a/#"],
        ["topics", "create", ""],
        ["topics", "show", "a" * 513],
        ["topics", "show", "\udcff"],
        ["clients", "show", "\udcff"],
        ["clients", "show", ""],
        ["clients", "create", "a\nb", "--generate"],
        ["clients", "create", "new", "--generate", "--id", "12"],
        ["commands", "show", "../c2"],
        ["commands", "list", "--state", "lost"],
        ["token", "revoke", "admin"],
        ["token", "create", "a\x7f", "--role", "viewer", "--out", "unwritten"],
        ["c2", "show", "--url", "http://c2.example"],
    ],
)
def test_a_wrong_input_is_3(known: C2, arguments: list[str]) -> None:
    known.refused(3, *arguments)
    assert not (known.folder / "unwritten").exists()


def test_what_is_wrong_is_called_by_its_name(known: C2) -> None:
    assert "token" in known.refused(3, "token", "create", "", "--role", "viewer", "--out", "unwritten")
    assert "token" in known.refused(3, "token", "create", "a" * 256, "--role", "viewer", "--out", "unwritten")


@pytest.mark.parametrize("key", [b"", bytes(32), b"\x01" * 31, b"\x01" * 64])
def test_a_wrong_key_is_3(known: C2, key: bytes) -> None:
    known.refused(3, "clients", "create", "new", "--key", key_file(known.folder, key))
    known.refused(8, "clients", "show", "new")


def test_what_the_suite_does_not_have_is_11(known: C2) -> None:
    known.refused(11, "links", "send", "known", "known")
    known.refused(11, "c2", "new-key", "--reason", "routine")
    known.refused(11, "c2", "new-key", "--reason", "compromised", "--yes")
    known.refused(11, "clients", "confirm-c2-key", "known")


@pytest.mark.parametrize(
    "arguments",
    [
        ["clients", "create", "new"],
        ["clients", "create", "new", "--generate", "--key", "key"],
        ["clients", "create", "new", "--key", "key", "--state", "state"],
        ["clients", "new-key", "known"],
        ["clients", "new-key", "known", "--reason", "boredom"],
        ["c2", "new-key"],
        ["c2", "new-key", "--reason", "boredom"],
        ["c2", "new-key", "--reason", "compromised"],
        ["topics", "join", "known"],
        ["clients", "list", "--limit", "0"],
        ["token", "create", "a", "--role", "viewer", "--out", "unwritten", "--days", "nan"],
        ["token", "create", "a", "--role", "viewer", "--out", "unwritten", "--days", "0"],
    ],
)
def test_a_command_line_that_is_not_understood_is_2(known: C2, arguments: list[str]) -> None:
    assert known.run(*arguments).code == 2
    assert known.run("clients", "show", "new").code == 8


class TestGenerate:
    def test_a_client_that_exists_leaves_no_state_behind(self, known: C2) -> None:
        taken = known.answer("clients", "show", "known")["id"]
        before = sorted(known.folder.iterdir())
        known.refused(9, "clients", "create", "known", "--generate")
        known.refused(9, "clients", "create", "new", "--generate", "--id", taken)
        known.refused(9, "clients", "enrol", "known", "--generate", "--state", "anew.state")
        assert sorted(known.folder.iterdir()) == before

    def test_a_state_that_exists_is_kept_and_nothing_registered(self, known: C2) -> None:
        state = known.folder / "theirs.state"
        state.write_text("something else")
        known.refused(9, "clients", "create", "theirs", "--generate")
        assert state.read_text() == "something else"
        known.refused(8, "clients", "show", "theirs")

    def test_a_state_is_kept_when_the_c2_may_know_its_key(self, tmp_path: Path) -> None:
        """Else the key would be lost, should it be registered."""
        about = b'{"suite": "sk", "wire_name": "sk", "c2_keys": []}'
        with server(
            lambda asked, http: send(http, 200, "application/json", about) if asked.method == "GET" else None
        ) as (
            url,
            asked,
        ):
            state = tmp_path / "state"
            refused(17, "clients", "create", "a", "--generate", "--state", state, env={"E4_URL": url, "E4_TOKEN": "t"})
        assert state.exists()
        assert [each.method for each in asked] == ["GET", "POST", "POST", "POST"]

    def test_a_public_key_needs_a_suite_of_the_same_wire_name_and_no_more(self, tmp_path: Path) -> None:
        """Whoever makes a state needs the very suite, as the state names it."""
        with registry(b'{"suite": "far-away", "wire_name": "sk"}') as (env, asked):
            answer("clients", "create", "a", "--key", key_file(tmp_path), env=env)
            assert json.loads(asked[-1].body) == {"name": "a", "key": b64encode(KEY).decode()}
            state = tmp_path / "state"
            assert "no 'far-away'" in refused(12, "clients", "create", "a", "--generate", "--state", state, env=env)
            assert not state.exists()
        for about in (b'{"suite": "far-away", "wire_name": "far-away"}', b'{"suite": "sk", "wire_name": "pk"}'):
            with registry(about) as (env, asked):
                refused(12, "clients", "create", "a", "--key", key_file(tmp_path), env=env)
            assert [each.method for each in asked] == ["GET"]

    def test_a_state_with_a_c2_key_that_was_changed_meanwhile_is_not_left_behind(self, tmp_path: Path) -> None:
        """Else the device would be registered with a key of the C2 that it does not hold."""
        with serving(settings_in(tmp_path, suite="pk")) as served, c2_key_changed_before_posts(served) as url:
            c2 = C2(served, tmp_path)
            create = ["clients", "create", "late", "--generate"]
            assert "try again" in c2.refused(9, *create, "--url", url)
            assert not (tmp_path / "late.state").exists()
            c2.refused(8, "clients", "show", "late")
            c2.ok(*create)
            assert c2.answer("clients", "show", "late")["c2_key"] == 2

    def test_the_same_holds_for_a_client_that_is_enrolled_anew(self, tmp_path: Path) -> None:
        with serving(settings_in(tmp_path, suite="pk")) as served, c2_key_changed_before_posts(served) as url:
            c2 = C2(served, tmp_path)
            c2.ok("clients", "create", "late", "--generate")
            c2.ok("clients", "new-key", "late", "--reason", "compromised")
            state = tmp_path / "anew.state"
            c2.refused(9, "clients", "enrol", "late", "--generate", "--state", state, "--url", url)
            assert not state.exists()
            assert c2.answer("clients", "show", "late")["status"] == "suspended"


@contextlib.contextmanager
def c2_key_changed_before_posts(served: Served) -> Iterator[str]:
    """The C2 behind a server that lets its key change once, between a question for it and what is made of the answer."""

    def reply(asked: Asked, http: BaseHTTPRequestHandler) -> None:
        if asked.method == "POST":
            served.http.post("/v1/c2/key", json={"reason": "routine"})
            served.http.post("/v1/c2/key/finish", json={"force": True})
        headers = {"content-type": "application/json"}
        answer = served.http.request(asked.method, asked.path, content=asked.body, headers=headers)
        send(http, answer.status_code, answer.headers["content-type"], answer.content)

    with server(reply) as (url, _):
        yield url


class TestToken:
    def test_a_wrong_or_missing_token_is_told_with_where_it_came_from(self, known: C2, tmp_path: Path) -> None:
        url = {"E4_URL": known.served.started.url}
        assert "$E4_TOKEN" in refused(10, "c2", "show", env={**url, "E4_TOKEN": "e4_wrong"})
        file = key_file(tmp_path, b"e4_wrong_too\n")
        assert str(file) in refused(10, "c2", "show", "--token-file", file, env=url)
        missing = refused(18, "c2", "show", env={**url, "E4_DATA": str(tmp_path / "none")})
        assert "none/admin-token" in missing
        assert "--token-file" in missing

    def test_a_file_that_others_can_read_is_refused(self, known: C2, tmp_path: Path) -> None:
        file = key_file(tmp_path, known.served.token.encode())
        file.chmod(0o644)
        assert "chmod" in known.refused(18, "c2", "show", "--token-file", file)

    @pytest.mark.parametrize("text", [b"", b"\n", b"two words", b"e4_\xff", b"\ntwo lines"])
    def test_what_can_be_no_token_is_refused(self, known: C2, tmp_path: Path, text: bytes) -> None:
        known.refused(3, "c2", "show", "--token-file", key_file(tmp_path, text))

    def test_a_token_may_come_through_a_pipe(self, known: C2) -> None:
        """As ``<(command)`` of a shell gives it."""
        ours, theirs = os.pipe()
        os.write(theirs, known.served.token.encode() + b"\nand more\n")
        os.close(theirs)
        try:
            known.ok("c2", "show", "--token-file", f"/dev/fd/{ours}")
        finally:
            os.close(ours)

    def test_the_option_goes_before_the_variable_and_that_before_the_data_directory(
        self, known: C2, tmp_path: Path
    ) -> None:
        env = {"E4_URL": known.served.started.url, "E4_DATA": str(known.served.settings.data)}
        run = [*program(), "c2", "show"]
        right, wrong = str(known.served.settings.admin_token_file), str(key_file(tmp_path, b"e4_wrong"))

        def code(*options: str, **more: str) -> int:
            return subprocess.run(
                [*run, *options], env=environment({**env, **more}), capture_output=True, check=False
            ).returncode

        assert code() == 0
        assert code(E4_TOKEN="e4_wrong") == 10
        assert code("--token-file", right, E4_TOKEN="e4_wrong") == 0
        assert code("--token-file", wrong, E4_TOKEN=known.served.token) == 10


def test_a_c2_that_does_not_run_is_17(tmp_path: Path) -> None:
    env = {"E4_URL": f"http://127.0.0.1:{free_port()}", "E4_TOKEN": "e4_any"}
    assert "e4 serve" in refused(17, "topics", "rotate", "a", env=env)
    refused(17, "clients", "create", "a", "--generate", "--state", tmp_path / "state", env=env)
    assert not (tmp_path / "state").exists()


def test_a_url_that_leads_elsewhere_is_told(known: C2) -> None:
    url = known.served.started.url
    assert "--url" in known.refused(17, "clients", "list", "--url", f"{url}/elsewhere")
    assert "--url" in known.refused(17, "clients", "list", "--url", f"{url}/v1")
    assert "TLS" in known.refused(17, "clients", "list", "--url", url.replace("http:", "https:"))


@pytest.mark.parametrize("leaf", ERRORS)
def test_every_error_of_the_c2_has_its_exit_status(known: C2, leaf: type[E4Error]) -> None:
    with server(lambda _asked, http: send(http, 500, PROBLEM, problem(500, leaf.kind))) as (url, _):
        known.refused(code_of(leaf("")), "c2", "show", "--url", url)


def test_a_c2_with_a_certificate_is_believed_only_by_who_knows_its_authority(
    tmp_path: Path, certificate: dict[str, Path]
) -> None:
    with serving(settings_in(tmp_path, **certificate)) as served:
        c2 = C2(served, tmp_path)
        assert "--ca" in c2.refused(17, "c2", "show")
        assert c2.answer("c2", "show", "--ca", certificate["tls_certificate"])["suite"] == "sk"


class TestWait:
    def test_what_cannot_be_sent_in_time_is_17_and_stays_on_its_way(self, tmp_path: Path, mosquitto: Mosquitto) -> None:
        with serving(settings_in(tmp_path, broker=mosquitto.uri)) as served:
            c2 = C2(served, tmp_path)
            served.topic("t", served.client("a"))
            c2.ok("topics", "rotate", "t", "--wait")
            mosquitto.stop()
            done = c2.run("topics", "rotate", "t", "--wait", "--timeout", "0.5", "-o", "json")
            assert done.code == 17
            assert '"id"' in done.stdout
            assert "e4 commands show" in done.stderr
            assert c2.run("topics", "rotate", "t").code == 0
            mosquitto.start()
            newest = c2.answer("commands", "list")[-1]["operation"]
            assert c2.answer("commands", "show", newest, "--wait")["counts"] == {"sent": 1}

    def test_ctrl_c_leaves_the_change_made_and_says_so(self) -> None:
        operation = b'{"id": "%s", "kind": "", "subject": "", "created": 1, "counts": {"sent": 3}, "awaited": 1}' % (
            b"0" * 32
        )
        with server(lambda _asked, http: send(http, 200, "application/json", operation)) as (url, asked):
            run = [*program(), "commands", "show", "0" * 32, "--wait", "--url", url]
            shown = on_a_terminal(run, {"E4_TOKEN": "e4_any"}, until="2/3", then=signal.SIGINT, code=130)
            assert "commands go out without this" in shown
            assert len(asked) >= 1


def test_a_token_is_shown_on_a_terminal(sk: C2) -> None:
    shown = on_a_terminal([*program(), "token", "create", "mine", "--role", "viewer"], sk.env, until="e4_", code=0)
    assert "mine" in shown


def test_a_recovered_token_is_shown_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    env = {"E4_DATA": str(settings.data)}
    command = ["token", "recover"]
    with serving(settings):
        assert "stop it" in refused(9, *command, env=env)
    for done in (e4(*command, env=env), e4(*command, "-o", "json", env=env)):
        assert done.returncode == 0
        assert str(settings.admin_token_file).encode() in done.stdout
        assert settings.admin_token_file.read_bytes().strip() not in done.stdout + done.stderr
    shown = on_a_terminal([*program(), *command], env, until="e4_", code=0)
    assert settings.admin_token_file.read_text().strip() in shown
    with serving(settings) as served:
        assert served.http.get("/v1/topics").status_code == 200


def test_no_token_is_recovered_where_there_is_no_c2(tmp_path: Path) -> None:
    refused(8, "token", "recover", env={"E4_DATA": str(tmp_path / "none")})
    assert list(tmp_path.iterdir()) == []


def test_whoever_is_asked_may_still_say_no(pk: C2) -> None:
    command = [*program(), "c2", "new-key", "--reason", "compromised"]
    keys = pk.answer("c2", "show")["c2_keys"]
    shown = on_a_terminal(command, pk.env, until="Go on?", answer=b"n\n", code=1)
    assert "suspends every client" in shown
    assert pk.answer("c2", "show")["c2_keys"] == keys
    on_a_terminal(command, pk.env, until="compromised", answer=b"y\n", code=0)
    assert pk.answer("c2", "show")["c2_keys"][-2]["state"] == "compromised"


def on_a_terminal(
    command: list[str],
    env: dict[str, str],
    *,
    until: str,
    then: signal.Signals | None = None,
    answer: bytes = b"",
    code: int,
) -> str:
    """What ``command`` shows on a terminal where somebody types ``answer``; it is sent a signal once it has shown ``until``."""
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    shown, deadline = "", time.monotonic() + PATIENCE_S
    env = environment({**env, "TERM": "xterm"})
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            while time.monotonic() < deadline:
                if not select.select([ours], [], [], 0.1)[0]:
                    continue
                try:
                    shown += os.read(ours, 4096).decode(errors="replace")
                except OSError:  # the other side has closed
                    break
                if then and until in shown:
                    process.send_signal(then)
                    then = None
        finally:
            process.kill() if time.monotonic() >= deadline else None
            os.close(ours)
        assert process.wait(PATIENCE_S) == code, shown
    assert until in shown
    return shown
