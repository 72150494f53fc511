# SPDX-License-Identifier: Apache-2.0
"""Every transport passes the conformance kit, at every kind of broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from e4conformance import kit
from e4conformance.transports import TRANSPORTS, TransportHooks, subject
from e4transports.broker import EmbeddedBroker
from tests.servers import StartMosquitto
from tests.transports.conftest import password_file

_PAYLOAD_LEN = 1024 * 1024
Place = tuple[str, TransportHooks, int]
"""URI, what there is, and the QoS that is kept there."""


@contextmanager
def memory(start: StartMosquitto, folder: Path) -> Iterator[Place]:
    lacks = {"link": "it is in this process", "limit": "it takes whatever fits into memory"}
    yield f"memory:{uuid4()}", TransportHooks(lacks=lacks), 2


@contextmanager
def mqtt_3(start: StartMosquitto, folder: Path) -> Iterator[Place]:
    secret = password_file(folder / "password", "right one")
    server = start(users={"alice": "right one"})
    uri = f"{server.uri.replace('//', '//alice@')}?version=3.1.1&password-file="
    wrong = password_file(folder / "wrong", "wrong one")
    lacks = {"limit": "MQTT 3.1.1 does not tell it"}
    yield f"{uri}{secret}", TransportHooks(wrong_credentials_uri=lambda: f"{uri}{wrong}", lacks=lacks), 2


@contextmanager
def mqtt_5(start: StartMosquitto, folder: Path) -> Iterator[Place]:
    server = start(options=(f"max_packet_size {_PAYLOAD_LEN + 500}",))
    yield f"{server.uri}?version=5", TransportHooks(max_payload_len=_PAYLOAD_LEN), 2


@contextmanager
def embedded(start: StartMosquitto, folder: Path) -> Iterator[Place]:
    """In an event loop of its own, as the kit has one for each check."""
    loop, broker = asyncio.new_event_loop(), EmbeddedBroker(password_file(folder / "password", "right one"))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(broker.__aenter__(), loop).result(10)
    lacks = {
        "limit": "it tells none",
        "redelivery-order": "amqtt may send again after younger messages",
        "dollar-topics": "amqtt ends the connection",
    }
    try:
        yield broker.uri, TransportHooks(lacks=lacks), 1
    finally:
        asyncio.run_coroutine_threadsafe(broker.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("place", [memory, mqtt_3, mqtt_5, embedded])
def test_it_conforms(
    place: Callable[[StartMosquitto, Path], AbstractContextManager[Place]],
    start_mosquitto: StartMosquitto,
    tmp_path: Path,
) -> None:
    with place(start_mosquitto, tmp_path) as (uri, hooks, max_qos), subject(uri, hooks) as examined:
        examined.budget_s = 0.5
        outcomes = list(kit.run(examined, TRANSPORTS))
        assert examined.max_qos == max_qos
    assert [(each.requirement.id, each.detail) for each in outcomes if each.is_in_the_way] == []
