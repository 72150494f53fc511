# SPDX-License-Identifier: Apache-2.0
"""Who has no token keeps no call of gRPC for long, nor many, nor the C2 busy; and calls that are left do not pile up."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from e4c2.api.status import problem
from e4c2.grpc import calls, health
from e4c2.grpc.server import Server
from tests.c2.grpc_client import Caller, info
from tests.c2.served import PATIENCE_S, settings_in

SERVING = HealthCheckResponse.SERVING
TOKEN = "known"
SHOW = "/e4.v1.C2Service/ShowSelf"


class App:
    """Ready, and known to one token. ``asked``: how often for each path; ``gate``: what a `GET` of the known waits for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked[f"{scope['method']} {scope['path']}"] += 1
        answer = JSONResponse({})
        if scope["path"] != "/v1/ready":
            if dict(scope["headers"]).get(b"authorization") != f"Bearer {TOKEN}".encode():
                answer = problem(401, "who are you", "unauthenticated")
            if scope["method"] == "GET":
                await self.gate.wait()
        await answer(scope, receive, send)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[App, Any]]:
    """What answers, and a channel to its server."""
    app, server = App(), Server(settings_in(folder, grpc_port=0))
    await server.start(app)
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield app, channel
    finally:
        await server.abort()


def told(story: Callable[[App, Any], Awaitable[None]]) -> Callable[[Path], None]:
    """A test, of a story with a server of its own."""

    def run(tmp_path: Path) -> None:
        async def work() -> None:
            async with asyncio.timeout(PATIENCE_S), served(tmp_path) as (app, channel):
                await story(app, channel)

        asyncio.run(work())

    run.__doc__ = story.__doc__
    return run


async def code(call: Any) -> str:
    """How a call ended."""
    return str((await call.code()).name)


def watching(channel: Any) -> Any:
    return health_pb2_grpc.HealthStub(channel).Watch(HealthCheckRequest())


async def is_serving(channel: Any) -> bool:
    return bool((await health_pb2_grpc.HealthStub(channel).Check(HealthCheckRequest())).status == SERVING)


@told
async def test_so_many_watch_and_one_look_serves_all(app: App, channel: Any) -> None:
    begun = time.monotonic()
    watches = [watching(channel) for _ in range(health.CALLS_MAX)]
    assert {(await each.read()).status for each in watches} == {SERVING}
    assert await code(watching(channel)) == "RESOURCE_EXHAUSTED"
    assert await is_serving(channel)
    assert await Caller(channel, TOKEN)("C2.ShowSelf") is not None
    looks = 1 + (time.monotonic() - begun) / health.GOOD_FOR_S
    assert app.asked["GET /v1/ready"] <= looks
    watches.pop().cancel()
    while (await (again := watching(channel)).read()) is grpc.aio.EOF:
        pass
    again.cancel()


def test_a_watch_ends_after_a_while_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WATCH_S", 0.1)

    @told
    async def story(app: App, channel: Any) -> None:
        watched = watching(channel)
        assert [each.status async for each in watched] == [SERVING]
        assert await code(watched) == "OK"

    story(tmp_path)


@pytest.mark.parametrize(
    ("path", "token", "ends"),
    [
        ("/grpc.health.v1.Health/Check", "", "DEADLINE_EXCEEDED"),
        ("/grpc.health.v1.Health/Watch", "", "DEADLINE_EXCEEDED"),
        (SHOW, "", "UNAUTHENTICATED"),
        (SHOW, "wrong", "UNAUTHENTICATED"),
        ("/e4.v1.C2Service/Ready", "", "UNAUTHENTICATED"),
        ("/e4.v1.ClientsService/CreateClients", "wrong", "UNAUTHENTICATED"),
    ],
)
def test_a_stranger_who_sends_no_message_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, token: str, ends: str
) -> None:
    monkeypatch.setattr(calls, "SOON_S", 0.05)
    monkeypatch.setattr(health, "SOON_S", 0.05)

    @told
    async def story(app: App, channel: Any) -> None:
        begun = time.monotonic()
        call = channel.stream_stream(path)(metadata=Caller(channel, token).metadata())
        assert await code(call) == ends
        assert time.monotonic() - begun < 10

    story(tmp_path)


def test_who_is_known_may_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SOON_S", 0.05)

    @told
    async def story(app: App, channel: Any) -> None:
        call = channel.stream_unary(SHOW)(metadata=Caller(channel, TOKEN).metadata())
        while not app.asked["OPTIONS /v1/self"]:  # noqa: ASYNC110  until it is looked who waits
            await asyncio.sleep(0.01)
        await call.write(b"")
        await call.done_writing()
        assert await call == b""
        assert app.asked["OPTIONS /v1/self"] == 1

    story(tmp_path)


def test_requests_whose_calls_were_left_are_so_many_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALLS_MAX", 3)

    @told
    async def story(app: App, channel: Any) -> None:
        call = Caller(channel, TOKEN)
        app.gate.clear()
        for number in range(1, 4):
            left = call("C2.ShowSelf")
            while app.asked["GET /v1/self"] < number:  # noqa: ASYNC110  until it is at work
                await asyncio.sleep(0.01)
            left.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call("C2.ShowSelf")
        assert (caught.value.code().name, info(caught.value).reason) == ("UNAVAILABLE", "busy")
        assert app.asked["GET /v1/self"] == 3
        assert await is_serving(channel)
        app.gate.set()
        assert await call("C2.ShowSelf") is not None

    story(tmp_path)
