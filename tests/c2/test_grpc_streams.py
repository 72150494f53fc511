# SPDX-License-Identifier: Apache-2.0
"""Streams: of events, which come as they happen, and of requests, each done and answered before the next."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.api.http_pb2 import HttpRule
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from e4c2.api.status import problem
from e4c2.grpc.calls import Calls
from e4c2.grpc.description import Rpc
from tests.c2.grpc_client import Refusal, info

FOLLOW = Rpc("e4.test.Things", "Follow", "GET", "/follow", Empty, Struct, False, True)
MAKE = Rpc("e4.test.Things", "Make", "POST", "/make/batch", HttpRule, Struct, True, True)  # it has a `body`
SHOW = Rpc("e4.test.Things", "Show", "GET", "/show", Empty, Struct, False, False)


class App:
    """Two events, and more to come; or what is asked for. ``seen``: bodies, and their idempotency keys."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes | None]] = []
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["path"] == "/make/batch":
            body = json.loads((await receive())["body"])
            self.seen.append((body, headers.get(b"idempotency-key")))
            answer = problem(409, "taken", "conflict") if body == "bad" else JSONResponse({"made": body})
            return await answer(scope, receive, send)
        if headers.get(b"accept") != b"text/event-stream":
            raise ValueError("a secret")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            for number in (1, 2):
                event = b': still here\n\nid: %d\ndata: {"id": %d}\n\n' % (number, number)
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(60)
        finally:
            self.ended.set()
        return None


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[tuple[Calls, Any]]:
    """What answers, and a channel to it."""
    server, calls = grpc.aio.server(), Calls(app)
    handlers = {rpc.name: grpc.stream_stream_rpc_method_handler(calls.handler(rpc)) for rpc in (FOLLOW, MAKE, SHOW)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("e4.test.Things", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield calls, channel
    await server.stop(None)


def told(story: Callable[[Calls, Any, App], Awaitable[None]]) -> Callable[[], None]:
    """A test, of a story with an application of its own."""

    def run() -> None:
        async def work() -> None:
            app = App()
            async with served(app) as (calls, channel):
                await story(calls, channel, app)

        asyncio.run(work())

    run.__doc__ = story.__doc__
    return run


def follow(channel: Any) -> Any:
    path = "/e4.test.Things/Follow"
    return channel.unary_stream(path, response_deserializer=Struct.FromString)(b"", timeout=60)


def make(channel: Any, *bodies: str, key: str | None = None) -> Any:
    metadata = [("idempotency-key", key)] if key else []
    call = channel.stream_stream("/e4.test.Things/Make", response_deserializer=Struct.FromString)
    return call((HttpRule(body=body).SerializeToString() for body in bodies), metadata=metadata, timeout=60)


async def refusal(work: Awaitable[Any]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await work
    return Refusal(caught.value)


async def all_of(call: Any) -> list[Any]:
    return [each async for each in call]


@told
async def test_events_come_as_they_happen_and_end_with_the_call(calls: Calls, channel: Any, app: App) -> None:
    call = follow(channel)
    assert [(await call.read())["id"] for _ in range(2)] == [1, 2]
    call.cancel()
    await app.ended.wait()


@told
async def test_who_follows_is_told_that_the_c2_stops(calls: Calls, channel: Any, app: App) -> None:
    call = follow(channel)
    await call.read()
    await call.read()
    ended = asyncio.create_task(refusal(call.read()))
    await calls.stop()
    error = (await ended).error
    assert (error.code(), info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "stopping")
    assert app.ended.is_set()


@told
async def test_requests_of_a_stream_are_done_one_by_one(calls: Calls, channel: Any, app: App) -> None:
    assert [dict(each) for each in await all_of(make(channel, "a", "b", key="k"))] == [{"made": "a"}, {"made": "b"}]
    assert app.seen == [("a", b"k/0"), ("b", b"k/1")]


@told
async def test_the_first_that_fails_ends_the_stream(calls: Calls, channel: Any, app: App) -> None:
    call = make(channel, "a", "bad", "c")
    assert (await call.read())["made"] == "a"
    error = (await refusal(call.read())).error
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "taken")
    assert [body for body, _ in app.seen] == ["a", "bad"]


@told
async def test_a_bug_is_told_without_what_it_says(calls: Calls, channel: Any, app: App) -> None:
    error = (await refusal(channel.unary_unary("/e4.test.Things/Show")(b"", timeout=60))).error
    assert (error.code(), info(error).reason) == (grpc.StatusCode.INTERNAL, "error")
    assert "secret" not in error.details()


@told
async def test_a_call_without_its_message_is_refused(calls: Calls, channel: Any, app: App) -> None:
    call = channel.stream_unary("/e4.test.Things/Show")(iter(()), timeout=60)
    assert (await refusal(call)).error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert app.seen == []
