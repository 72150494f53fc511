# SPDX-License-Identifier: Apache-2.0
"""Where gRPC is served, with and without TLS, what else it serves, and how it comes to an end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from e4c2.grpc.description import services
from e4core.errors import Conflict, StorageError
from tests.c2.grpc_client import Caller, calling, refused, rpc_of
from tests.c2.pairs import self_signed
from tests.c2.served import PATIENCE_S, Served, serving, settings_in
from tests.servers import StartMosquitto

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def test_there_is_none_unless_it_is_wanted(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2:
        assert c2.started.grpc is None


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path / "a", grpc_port=0)) as c2:
        port = int(str(c2.started.grpc).rpartition(":")[2])
        with pytest.raises(Conflict, match="E4_GRPC_PORT"), serving(settings_in(tmp_path / "b", grpc_port=port)):
            pass
    assert not (tmp_path / "b").exists()


def trusted(c2: Served, certificate: bytes) -> Caller:
    return Caller(grpc.secure_channel(c2.started.grpc, grpc.ssl_channel_credentials(certificate)), c2.token)


def test_with_a_certificate_it_speaks_tls_only_and_takes_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = self_signed(tmp_path)
    first = pair["tls_certificate"].read_bytes()
    with serving(settings_in(tmp_path, grpc_port=0, **pair)) as c2:
        assert trusted(c2, first)("C2.Show").suite == "sk"
        with calling(c2) as call, refused("UNAVAILABLE"):
            call("C2.Show")

        second = self_signed(tmp_path)["tls_certificate"].read_bytes()
        assert trusted(c2, second)("C2.Show").suite == "sk"
        with refused("UNAVAILABLE"):
            trusted(c2, first)("C2.Show")

        pair["tls_certificate"].write_bytes(first)  # the key is another one's
        assert trusted(c2, second)("C2.Show").suite == "sk"
    assert "keeps its former certificate" in caplog.text


def test_a_certificate_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    pair = self_signed(tmp_path)
    pair["tls_certificate"].write_text("nothing")
    with pytest.raises(StorageError), serving(settings_in(tmp_path, grpc_port=0, **pair)):
        pass


def test_health_follows_readiness_and_needs_no_token(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    with (
        serving(settings_in(tmp_path, broker=broker.uri, grpc_port=0)) as c2,
        grpc.insecure_channel(c2.started.grpc) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", *services()):
            assert health.Check(HealthCheckRequest(service=service)).status == SERVING
        with refused("NOT_FOUND"):
            health.Check(HealthCheckRequest(service="e4.v1.Other"))
        unknown = health.Watch(HealthCheckRequest(service="e4.v1.Other"), timeout=PATIENCE_S)
        assert next(unknown).status == HealthCheckResponse.SERVICE_UNKNOWN
        unknown.cancel()
        watched = health.Watch(HealthCheckRequest(), timeout=PATIENCE_S)
        assert next(watched).status == SERVING
        broker.kill()
        assert next(watched).status == NOT_SERVING
        assert health.Check(HealthCheckRequest()).status == NOT_SERVING
        watched.cancel()


def test_reflection_shows_all_to_who_has_a_token(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, grpc_port=0)) as c2, grpc.insecure_channel(c2.started.grpc) as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        asked = [
            ServerReflectionRequest(list_services=""),
            ServerReflectionRequest(file_containing_symbol="e4.v1.TopicsService"),
        ]
        token = Caller(channel, c2.token).metadata()
        listed, file = reflection(iter(asked), metadata=token, timeout=PATIENCE_S)
        names = {each.name for each in listed.list_services_response.service}
        assert names == {*services(), "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        files = map(FileDescriptorProto.FromString, file.file_descriptor_response.file_descriptor_proto)
        assert {"e4/v1/e4.proto", "google/api/http.proto"} <= {each.name for each in files}
        with refused("UNAUTHENTICATED", "unauthenticated"):
            list(reflection(iter(asked), timeout=PATIENCE_S))


def test_when_it_stops_running_calls_are_finished_and_streams_end(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, grpc_port=0)) as c2, calling(c2) as call:
        watched = health_pb2_grpc.HealthStub(call.channel).Watch(HealthCheckRequest(), timeout=PATIENCE_S)
        assert next(watched).status == SERVING
        with closing(sqlite3.connect(c2.settings.data / "c2.sqlite")) as other:
            other.execute("BEGIN IMMEDIATE")  # so that the C2 waits
            make = call.method("Topics.Create")
            running = make.future(rpc_of("Topics.Create").request(body={"name": "t"}), metadata=call.metadata())
            assert call("C2.Health").status == "ok"  # what came before is at work
            c2.stop()
            with pytest.raises(grpc.RpcError):
                next(watched)
            other.rollback()
        assert running.result(PATIENCE_S).name == "t"
        c2.ended.result(PATIENCE_S)
