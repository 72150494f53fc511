# SPDX-License-Identifier: Apache-2.0
"""``--wait``, with devices that confirm late, refuse, are away, or never report: it ends when all that report have answered."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from e4backends import fips
from e4cli import api_client, following
from e4cli.api_client import Api, Document
from e4cli.connection import Token
from e4core import report
from e4core.errors import E4Error, RateExceeded, TransportError
from e4core.keys import ClientId, Secret, control_topic, report_topic
from e4core.report import Ack, Outcome
from e4transports.memory import named
from tests.c2.devices import Ours, Witness
from tests.c2.served import PATIENCE_S, serving, settings_in
from tests.cli.c2_server import C2, send, server
from tests.cli.test_api_client import PROBLEM, TOKEN
from tests.servers import free_port

POLL_S = 0.02


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is looked at more often than it changes."""
    monkeypatch.setattr(following, "_POLL_S", (POLL_S, POLL_S))


class Refusing(Ours):
    """Does nothing that it is told, and says so."""

    def take(self, payload: bytes, now: float) -> Sequence[bytes]:
        no = Ack(self.digest(), payload[8:24], Outcome.REFUSED, "bad_key")
        return [report.seal(self.suite, self.channel(), self.id, no, os.urandom(report.SALT_LEN))]


class Live:
    """A device at the broker of the C2, in whose event loop it runs; while it is ``held`` it reads nothing."""

    def __init__(self, c2: C2, name: str, kind: type[Ours] | type[Witness] = Ours) -> None:
        suite = c2.suite
        private = Secret(suite.device.generate())
        identity = c2.served.client(name, suite.device.public(suite.device.load(private)))
        self.device = kind(suite, name, ClientId(bytes.fromhex(identity)), private, b"")
        self.meet(c2)
        if isinstance(self.device, Ours):
            until(lambda: c2.answer("clients", "show", name)["reports"])

    def meet(self, c2: C2) -> None:
        """Also another that serves in the place of the first one."""
        self._c2 = c2
        self._link = named(c2.served.settings.broker.removeprefix("memory:")).connect(self.device.name)
        self._reads = asyncio.Event()
        c2.served.run(self._begin())

    def hold(self) -> None:
        self._c2.served.run(self._set(False))

    def let_go(self) -> None:
        self._c2.served.run(self._set(True))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Until it is long known that the broker has a command with a key, which it does not read."""
        self.hold()
        with ThreadPoolExecutor(1) as thread:
            late = thread.submit(self._let_go_late)
            yield
            late.result(PATIENCE_S)

    def _let_go_late(self) -> None:
        until_sent(self._c2)
        time.sleep(20 * POLL_S)
        self.let_go()

    async def _begin(self) -> None:
        await self._link.__aenter__()
        await self._link.subscribe(control_topic(self.device.id))
        await self._set(True)
        self._running = asyncio.create_task(self._run())
        if isinstance(self.device, Ours):
            await self._link.publish(report_topic(self.device.id), self.device.hello(time.time()), 2)

    async def _run(self) -> None:
        async for incoming in self._link:
            await self._reads.wait()
            for each in self.device.take(incoming.payload, time.time()):
                await self._link.publish(report_topic(self.device.id), each, 2)

    async def _set(self, reads: bool) -> None:
        (self._reads.set if reads else self._reads.clear)()


def until_sent(c2: C2) -> None:
    """Until a command with a key is, of which nobody has heard."""
    with c2.served.stranger(c2.served.token) as http:

        def sent() -> set[str]:
            return {each["kind"] for each in http.get("/v1/commands", params={"state": "sent"}).json()["items"]}

        until(lambda: bool(sent() & {"topic", "next_key"}))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def c2(tmp_path: Path) -> Iterator[C2]:
    with serving(settings_in(tmp_path, suite="sk")) as served:
        yield C2(served, tmp_path)


@pytest.fixture
def c2_of_format_2(tmp_path: Path) -> Iterator[C2]:
    with serving(settings_in(tmp_path, suite=fips.SUITE_SK.name)) as served:
        yield C2(served, tmp_path)


def topic(c2: C2, *devices: Live) -> None:
    c2.ok("topics", "create", "t")
    c2.ok("topics", "join", "t", *(each.device.name for each in devices), "--wait")


def test_who_confirms_late_is_waited_for(c2: C2) -> None:
    device = Live(c2, "a")
    topic(c2, device)
    with device.held():
        operation = c2.answer("topics", "rotate", "t", "--wait")
    assert (operation["counts"], operation["awaited"]) == ({"confirmed": 1}, 0)


def test_who_never_reports_is_done_when_it_is_sent(c2: C2) -> None:
    topic(c2, Live(c2, "a", Witness))
    operation = c2.answer("topics", "rotate", "t", "--wait")
    assert (operation["counts"], operation["awaited"]) == ({"sent": 1}, 0)


def test_what_a_device_refuses_late_is_1(c2: C2) -> None:
    c2.ok("topics", "create", "t")
    device = Live(c2, "a", Refusing)
    with device.held():
        done = c2.run("topics", "join", "t", "a", "--wait")
    assert done.code == 1
    assert "e4 commands list --state refused" in done.stderr
    assert "refused 1" in done.stdout


def test_who_is_away_until_the_time_limit_is_17_and_confirms_later(c2: C2) -> None:
    here, away = Live(c2, "a"), Live(c2, "b")
    topic(c2, here, away)
    away.hold()
    done = c2.run("topics", "rotate", "t", "--wait", "--timeout", "0.5")
    assert done.code == 17
    show = ["commands", "show", done.stderr.split()[-1]]
    until(lambda: c2.answer(*show)["counts"] == {"confirmed": 1, "sent": 1})
    again = c2.run(*show, "--wait", "--timeout", "0")
    assert again.code == 17
    assert "1 commands are sent and not confirmed" in again.stderr
    away.let_go()
    operation = c2.answer(*show, "--wait")
    assert (operation["counts"], operation["awaited"]) == ({"confirmed": 2}, 0)


def test_who_removed_many_waits_for_members_that_the_token_does_not_see(c2: C2) -> None:
    topic(c2, Live(c2, "plant/a"), Live(c2, "plant/b"), Live(c2, "plant/stays"), away := Live(c2, "depot/stays"))
    file = c2.folder / "plant"
    c2.ok("token", "create", "plant", "--role", "operator", "--clients", "plant/*", "--topics", "*", "--out", file)
    away.hold()
    remove = c2.run("clients", "remove", "plant/a", "plant/b", "--wait", "--timeout", "1", "--token-file", file)
    assert remove.code == 17, "not all who stay have the new key"
    away.let_go()
    show = c2.answer("commands", "show", remove.stderr.split()[-1], "--wait")
    assert show["counts"] == {"confirmed": 2}


def test_a_c2_that_is_stopped_and_started_again_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "_PAUSES_S", ())
    settings, is_over = settings_in(tmp_path, suite="sk", port=free_port()), Event()

    def begin_anew(c2: C2, device: Live) -> None:
        until_sent(c2)
        c2.served.stop()
        c2.served.ended.result(PATIENCE_S)
        be_nobody(settings.port, 3)
        with serving(settings) as again:
            device.meet(C2(again, tmp_path))
            is_over.wait(PATIENCE_S)

    with serving(settings) as served, ThreadPoolExecutor(1) as thread:
        c2 = C2(served, tmp_path)
        device = Live(c2, "a")
        topic(c2, device)
        device.hold()
        anew = thread.submit(begin_anew, c2, device)
        try:
            operation = c2.answer("topics", "rotate", "t", "--wait")
        finally:
            is_over.set()
            anew.result(PATIENCE_S)
    assert (operation["counts"], operation["awaited"]) == ({"confirmed": 1}, 0)


def be_nobody(port: int, times: int) -> None:
    """At this port, where so many ask and none is answered."""
    with socket.create_server(("127.0.0.1", port)) as door:
        door.settimeout(PATIENCE_S)
        for _ in range(times):
            door.accept()[0].close()


OPERATION = b'{"id": "%s", "kind": "", "subject": "", "created": 1, "counts": {"%s": 3}, "awaited": 0}'
BUSY = b'{"type": "about:blank", "title": "", "status": 0, "detail": "not now", "kind": "%s"}'
PASSING = [(429, PROBLEM, BUSY % b"too_many"), (503, PROBLEM, BUSY % b"storage"), (502, "text/html", b"<p>a proxy</p>")]


@pytest.mark.parametrize("first", [OPERATION % (b"0" * 32, b"pending"), None])
def test_what_may_pass_by_itself_is_waited_out(first: bytes | None) -> None:
    """Also before anything of the operation is known."""
    answers = [*PASSING, (200, "application/json", OPERATION % (b"0" * 32, b"confirmed"))]
    begun = Document(id="0" * 32) if first is None else Document(json.loads(first))
    with (
        server(lambda _asked, http: send(http, *answers[len(every) - 1])) as (url, every),
        Api(url, TOKEN) as api,
    ):
        assert following.follow(api, begun, PATIENCE_S)["counts"] == {"confirmed": 3}
    assert len(every) == len(answers)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_what_does_not_pass_ends_the_wait_at_once_and_leaves_the_operation_named(
    status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        server(lambda _asked, http: send(http, status, PROBLEM, BUSY % b"not_this")) as (url, every),
        Api(url, TOKEN) as api,
        pytest.raises(E4Error, match="not now"),
    ):
        following.follow(api, Document(id="0" * 32), PATIENCE_S)
    assert len(every) == 1
    assert f"e4 commands show {'0' * 32}" in capsys.readouterr().err


def test_who_waits_for_a_c2_that_does_not_come_back_is_told_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with Api(f"http://127.0.0.1:{free_port()}", TOKEN) as api, pytest.raises(TransportError, match="no C2 answers"):
        following.follow(api, Document(id="0" * 32), 0.1)
    assert f"e4 commands show {'0' * 32}" in capsys.readouterr().err


def test_a_c2_that_is_asked_too_often_says_when_to_go_on(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, requests_per_s=0.01)) as served:
        token = Token(Secret(served.token.encode()), "the test")
        with Api(served.started.url, token) as api, pytest.raises(RateExceeded) as caught:
            for _ in range(2):
                api.get("/v1/c2")
    assert caught.value.wait_s and 60 < caught.value.wait_s <= 100
    assert following.patience(caught.value, 0) == caught.value.wait_s
    assert following.patience(RateExceeded(), 0) == following.patience(TransportError(), 0) == POLL_S


def test_an_older_c2_tells_nobody_to_wait_for(c2: C2) -> None:
    operation = b'{"id": "%s", "kind": "", "subject": "", "created": 1, "counts": {"sent": 3}}' % (b"0" * 32)
    with server(lambda _asked, http: send(http, 200, "application/json", operation)) as (url, _):
        c2.ok("commands", "show", "0" * 32, "--wait", "--url", url)


@pytest.mark.parametrize(("waited_s", "pause_s"), [(0, 0.05), (0.4, 0.05), (2, 0.2), (20, 2), (3600, 5)])
def test_what_takes_long_is_asked_about_seldom(
    monkeypatch: pytest.MonkeyPatch, waited_s: float, pause_s: float
) -> None:
    monkeypatch.undo()
    assert following.pause(waited_s) == pytest.approx(pause_s)


def test_what_was_refused_is_told_though_others_are_away(c2: C2) -> None:
    c2.ok("topics", "create", "t")
    Live(c2, "a", Refusing)
    Live(c2, "b").hold()
    show = ["commands", "show", c2.answer("topics", "join", "t", "a", "b")["id"]]
    until(lambda: c2.answer(*show)["counts"] == {"refused": 1, "sent": 1})
    assert c2.run(*show, "--wait", "--timeout", "0").code == 1


def test_plans_name_each_operation_that_they_begin_and_wait_for_it(c2_of_format_2: C2) -> None:
    c2 = c2_of_format_2
    device = Live(c2, "a")
    topic(c2, device)
    for end, state in (("abort", "aborted"), ("activate", "activating")):
        with device.held():
            begun = c2.answer("plans", "begin", "t", "--by-hand", "--wait")
        assert (begun["holding"], begun["members"]) == (1, 1)
        with device.held():
            ended = c2.answer("plans", end, "t", "--wait")
        assert ended["state"] in (state, "done")
        assert ended["operation"] != begun["operation"]
        operation = c2.answer("commands", "show", ended["operation"])
        assert (operation["kind"], operation["counts"]) == (end, {"confirmed": 1})
