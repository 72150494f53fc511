# SPDX-License-Identifier: Apache-2.0
"""A request in process: finished whoever waits, made no faster than taken, and never mistaken for whole when it broke off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send

from e4c2.grpc.events import events
from e4c2.grpc.exchange import Exchange, Peer
from e4c2.grpc.transcoding import Request
from e4core.errors import E4Error

REQUEST = Request("POST", "/v1/a b", b"/v1/a%20b", b"x=1", b"{}")
PEER = Peer("::1", 1, True, ["PEM"])
START = {"type": "http.response.start", "status": 200, "headers": [(b"etag", b"1")]}


def part(body: bytes, more: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def test_the_application_sees_the_request_and_who_sent_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["method"] == "POST"
        assert scope["path"] == "/v1/a b"
        assert scope["raw_path"] == b"/v1/a%20b"
        assert scope["query_string"] == b"x=1"
        assert scope["scheme"] == "https"
        assert scope["client"] == ("::1", 1)
        assert scope["headers"] == [(b"a", b"b")]
        assert scope["extensions"]["tls"]["client_cert_chain"] == ["PEM"]
        assert await receive() == {"type": "http.request", "body": b"{}", "more_body": False}
        await send(START)
        await send(part(b"done", False))

    async def work() -> None:
        exchange = Exchange(app, REQUEST, [(b"a", b"b")], PEER)
        status, headers = await exchange.begin()
        assert (status, headers["etag"]) == (200, "1")
        assert [each async for each in exchange.parts()] == [b"done"]

    asyncio.run(work())


def test_what_was_begun_is_finished_though_nobody_waits() -> None:
    seen = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        seen.append((await receive())["type"])
        await send(START)
        await send(part(b"1", True))
        await send(part(b"2", False))
        seen.append("finished")

    async def work() -> None:
        exchange = Exchange(app, REQUEST, [], PEER)
        exchange.leave()
        await exchange.task

    asyncio.run(work())
    assert seen == ["http.disconnect", "finished"]


def test_no_more_is_made_than_is_taken() -> None:
    made = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        for number in range(3):
            made.append(number)
            await send(part(b"%d" % number, True))
        await send(part(b"", False))

    async def work() -> None:
        exchange = Exchange(app, REQUEST, [], PEER)
        await exchange.begin()
        taken = 0
        async for body in exchange.parts():
            await asyncio.sleep(0)
            if body:
                assert len(made) == taken + 1
                taken += 1
        assert taken == 3

    asyncio.run(work())


@pytest.mark.parametrize("sent", [[], [START], [START, part(b"half", True)]], ids=["nothing", "head", "half"])
def test_an_answer_that_breaks_off_is_an_error(sent: list[dict[str, object]]) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in sent:
            await send(message)

    async def work() -> None:
        exchange = Exchange(app, REQUEST, [], PEER)
        await exchange.begin()
        assert [each async for each in exchange.parts()]

    with pytest.raises(E4Error, match="broke off"):
        asyncio.run(work())


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_events_are_the_same_however_they_are_cut(size: int) -> None:
    text = (
        b': alive\n\nid: 7\nevent: made\ndata: {"id": 7}\n\nretry: 5\r\ndata: {"id":\r\ndata: 8}\r\n\r\n:\n\ndata: lost'
    )

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    async def work() -> list[bytes]:
        return [each async for each in events(parts())]

    assert asyncio.run(work()) == [b'{"id": 7}', b'{"id":\n8}']
