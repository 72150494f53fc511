# SPDX-License-Identifier: Apache-2.0
"""Calls over gRPC: each does what its HTTP request does, and is refused where that is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from e4c2.api.bodies import BODY_MAX
from e4c2.grpc.description import services
from tests.c2.grpc_client import Caller, calling, info, refused, retry_s, rpc_of
from tests.c2.served import PATIENCE_S, Served, serving, settings_in
from tests.servers import StartMosquitto

NOBODY = "0" * 32


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"), grpc_port=0, failures_per_min=10_000)) as served:
        yield served


@pytest.fixture(scope="module")
def call(c2: Served) -> Iterator[Caller]:
    with calling(c2) as caller:
        yield caller


def test_a_fleet_is_made_and_seen_by_both(c2: Served, call: Caller) -> None:
    topic = call("Topics.Create", body={"name": "story"})
    client = call("Clients.Create", body={"name": "Zähler ☂", "key": os.urandom(32)})
    operation = call("Topics.Join", topic=topic.id, body={"clients": [client.id]})

    assert call("Commands.Show", operation=operation.id).subject == "story"
    (member,) = call("Topics.ListMembers", topic=topic.id).items
    assert member == client
    assert not client.HasField("last_report")
    seen = c2.http.get(f"/v1/clients/{client.id}").json()
    assert {name: getattr(client, name) for name in seen if seen[name] is not None} == {
        name: value for name, value in seen.items() if value is not None
    }
    assert sum(call("Commands.Show", operation=operation.id).counts.values()) == 1

    assert call("Clients.Remove", client=client.id, rekey=False).kind
    with refused("NOT_FOUND", "not_found"):
        call("Clients.Show", client=client.id)


def test_pages_go_on_where_they_ended(call: Caller) -> None:
    for name in ("page/1", "page/2", "page/3"):
        call("Topics.Create", body={"name": name})
    names, cursor = [], dict[str, str]()
    while True:
        page = call("Topics.List", limit=2, **cursor)
        names += [topic.name for topic in page.items if topic.name.startswith("page/")]
        if not page.HasField("next"):
            break
        cursor = {"cursor": page.next}
    assert names == ["page/1", "page/2", "page/3"]


def test_what_is_absent_is_not_zero(call: Caller) -> None:
    with refused("INVALID_ARGUMENT", "invalid_input") as limit:
        call("Topics.List", limit=0)
    assert "query.limit" in limit.text
    with refused("INVALID_ARGUMENT") as name:
        call("Topics.Create", body={})
    assert "topic" in name.text
    with refused("INVALID_ARGUMENT", "invalid_input") as body:
        call("Topics.Create")
    assert "body: Field required" in body.text
    with refused("INVALID_ARGUMENT", "invalid_input"):
        call("Topics.Join", topic=NOBODY, body={"clients": []})


def test_an_answer_without_a_body_is_empty(call: Caller) -> None:
    made = call("Tokens.Create", body={"name": "short"})
    assert isinstance(call("Tokens.Revoke", token=made.id), Empty)
    with refused("NOT_FOUND"):
        call("Tokens.Show", token=made.id)


def test_the_same_idempotency_key_does_it_once_over_either(c2: Served, call: Caller) -> None:
    key = ("idempotency-key", "once")
    first = call("Topics.Create", key, body={"name": "once"})
    assert call("Topics.Create", key, body={"name": "once"}) == first
    assert (
        c2.http.post("/v1/topics", json={"name": "once"}, headers={"Idempotency-Key": "once"}).json()["id"] == first.id
    )
    with refused("FAILED_PRECONDITION", "idempotency_key_reused"):
        call("Topics.Create", key, body={"name": "other"})
    with refused("FAILED_PRECONDITION", "conflict") as taken:
        call("Topics.Create", body={"name": "once"})
    assert info(taken.error).metadata["status"] == "409"


@pytest.mark.parametrize("token", [None, "e4_wrong"])
def test_who_has_no_token_gets_nowhere(c2: Served, call: Caller, token: str | None) -> None:
    stranger = Caller(call.channel, token)
    for service, rpcs in services().items():
        for name, rpc in rpcs.items():
            if rpc.path in ("/v1/health", "/v1/ready"):
                continue
            places = {
                field.name: (1 if field.type == field.TYPE_INT64 else "x")
                for field in rpc.request.DESCRIPTOR.fields
                if f"{{{field.name}}}" in rpc.path
            }
            with refused("UNAUTHENTICATED", "unauthenticated"):
                answer = stranger(f"{service.split('.')[2].removesuffix('Service')}.{name}", **places)
                list(answer)
    assert stranger("C2.Health").status == "ok"


def test_a_path_leads_nowhere_else(call: Caller) -> None:
    for name in ("x/links", "", "/"):
        with refused("INVALID_ARGUMENT", "invalid_input"):
            call("Clients.Remove", client=name)
    with refused("INVALID_ARGUMENT", "invalid_input"):
        call("Clients.Show", client="..")
    with refused("INVALID_ARGUMENT", "invalid_input"):
        call("Clients.Show", client="%2e?name=x#")


def raw(call: Caller, name: str, data: bytes) -> Any:
    rpc = rpc_of(name)
    method = call.channel.unary_unary(f"/{rpc.service}/{rpc.name}")
    return method(data, metadata=call.metadata(), timeout=PATIENCE_S)


def test_a_field_that_is_not_known_is_refused_wherever_it_is(call: Caller) -> None:
    unknown = b"\xf8\x3f\x01"  # number 1023
    body = rpc_of("Topics.Create").request(body={"name": "unknown"}).SerializeToString()
    inside = b"\x0a" + bytes([body[1] + len(unknown)]) + body[2:] + unknown
    for data in (body + unknown, inside):
        with refused("INVALID_ARGUMENT", "invalid_input") as error:
            raw(call, "Topics.Create", data)
        assert "1023" in error.text
    assert not any(topic.name == "unknown" for topic in call("Topics.List", name="unknown").items)


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05\x0a\x03\xff\xfe\xfd"], ids=["no message", "no UTF-8"])
def test_what_is_no_message_is_refused(call: Caller, data: bytes) -> None:
    with refused("INVALID_ARGUMENT", "invalid_input"):
        raw(call, "Topics.Create", data)


def test_a_message_has_the_limit_of_a_body(call: Caller) -> None:
    # the library refuses a message that is too long, the application a body that is
    with refused("RESOURCE_EXHAUSTED"):
        call("Topics.Create", body={"name": "x" * BODY_MAX})
    with refused("RESOURCE_EXHAUSTED"):  # a batch is no exception, as the page says
        list(call("Topics.CreateTopics", body={"items": [{"name": "x" * BODY_MAX}]}))
    with refused("RESOURCE_EXHAUSTED", "too_large"):
        call("Clients.Create", body={"name": "x", "key": bytes(BODY_MAX * 7 // 8)})
    with refused("INVALID_ARGUMENT"):
        call("Topics.Create", body={"name": "x" * (BODY_MAX - 1000)})


def test_a_method_that_is_none_is_not_implemented(call: Caller) -> None:
    with refused("UNIMPLEMENTED"):
        call.channel.unary_unary("/e4.v1.TopicsService/Destroy")(b"", timeout=PATIENCE_S)


def test_metadata_of_the_transport_are_no_headers(call: Caller) -> None:
    assert call("C2.Show", ("te", "trailers"), ("x-request-id", "mine")).suite == "sk"
    with refused("INVALID_ARGUMENT", "content_encoding"):
        call("C2.Show", ("content-encoding", "gzip"))


def test_headers_of_an_answer_are_metadata_and_so_are_conditions(call: Caller) -> None:
    create, rotate = rpc_of("Topics.Create"), "Topics.Rotate"
    topic, told = call.method("Topics.Create").with_call(create.request(body={"name": "t"}), metadata=call.metadata())
    headers = dict(told.trailing_metadata())
    assert headers["location"] == f"/v1/topics/{topic.id}"
    assert call("Topics.Show", ("if-none-match", headers["etag"]), topic=topic.id).id == topic.id
    assert call(rotate, ("if-match", headers["etag"]), topic=topic.id).kind == "rotate"
    with refused("ABORTED", "changed"):
        call(rotate, ("if-match", headers["etag"]), topic=topic.id)


def test_a_stream_of_batches_is_done_once_though_it_is_sent_again(call: Caller) -> None:
    create = rpc_of("Clients.CreateClients")

    def send(*batches: list[str]) -> Any:
        requests = [create.request(body={"items": [{"name": n, "key": bytes(range(32))} for n in b]}) for b in batches]
        return call.method("Clients.CreateClients")(
            iter(requests), metadata=call.metadata(("idempotency-key", "bulk")), timeout=PATIENCE_S
        )

    first, second = send(["bulk/1", "bulk/2"], ["bulk/2", ""])
    assert [each.status for each in first.results] == [201, 201]
    assert [each.status for each in second.results] == [200, 422]
    assert not second.results[1].HasField("item")
    again = send(["bulk/1", "bulk/2"], ["bulk/2", ""], ["bulk/3"])
    assert next(again) == first
    assert next(again) == second
    assert next(again).results[0].item.name == "bulk/3"


def test_events_are_followed_from_where_they_were_left(call: Caller) -> None:
    call("Topics.Create", body={"name": "event/1"})
    known = max(each.id for each in call("Events.List").items)
    following = call("Events.Follow", ("last-event-id", str(known)))
    call("Topics.Create", body={"name": "event/2"})
    event = next(each for each in following if each.kind == "topic.created")  # what else happens comes when it likes
    assert event.id > known
    assert event in call("Events.List", after=str(known)).items
    following.cancel()
    with refused("UNAUTHENTICATED", "unauthenticated"):
        next(Caller(call.channel, None)("Events.Follow"))


def test_a_call_has_a_deadline_and_may_be_left(c2: Served, call: Caller) -> None:
    request = rpc_of("Topics.Create").request(body={"name": "late"})
    with closing(sqlite3.connect(c2.settings.data / "c2.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")  # so that the C2 waits
        left = call.method("Topics.Create").future(request, metadata=call.metadata())
        with refused("DEADLINE_EXCEEDED"):
            call.method("Topics.Create")(request, metadata=call.metadata(), timeout=0.2)
        left.cancel()
        with pytest.raises(grpc.FutureCancelledError):
            left.result(PATIENCE_S)
        other.rollback()
    assert call("Topics.Create", body={"name": "after"}).name == "after"


def test_what_is_not_there_for_a_while_may_be_asked_for_again(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    with serving(settings_in(tmp_path, broker=broker.uri, grpc_port=0)) as other, calling(other) as call:
        assert call("C2.Ready").status == "ok"
        broker.kill()
        with refused("UNAVAILABLE", "transport") as error:
            for _ in range(10_000):
                call("C2.Ready")
        assert retry_s(error.error) == 5


def test_an_asyncio_client_is_served_as_well(c2: Served) -> None:
    async def work() -> None:
        async with grpc.aio.insecure_channel(c2.started.grpc) as channel:
            call = Caller(channel, c2.token)
            made = await asyncio.gather(*(call("Topics.Create", body={"name": f"aio/{n}"}) for n in range(20)))
            assert len({topic.id for topic in made}) == 20
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call("Topics.Create", body={"name": "aio/1"})
            assert info(caught.value).reason == "conflict"

    c2.run(work())
