# SPDX-License-Identifier: Apache-2.0
"""What must hold of every suite: between two devices and their C2, whatever is sent arrives as it was, or is refused."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from e4c2 import topics, traffic
from e4c2.reports import receive_all
from e4core.errors import E4Error
from e4core.formats import dump
from e4core.transport import Incoming
from tests.c2.conftest import Worlds
from tests.c2.devices import Ours
from tests.c2.world import World
from tests.suites import EVERY

FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)


def fleet(worlds: Worlds, suite: str) -> tuple[World, Ours, Ours]:
    world = worlds(suite)
    lamp, switch = world.add("lamp"), world.add("switch")
    world.topic("hall", "lamp", "switch")
    if not world.realm.suite.is_symmetric:
        world.befriend("lamp", "switch")
    world.settle_down()
    world.clock.now += 1
    return world, lamp, switch


def changed(data: bytes, how: str, where: int, bit: int) -> bytes:
    where %= len(data)
    match how:
        case "flip":
            return data[:where] + bytes([data[where] ^ 1 << bit]) + data[where + 1 :]
        case "cut":
            return data[:where]
        case "grow":
            return data + bytes(bit + 1)
    return bytes(where % 300)


@pytest.mark.parametrize("suite", EVERY)
def test_what_was_protected_is_read_as_it_was_and_once(worlds: Worlds, suite: str) -> None:
    world, *devices = fleet(worlds, suite)
    lamp, switch = (device.client for device in devices)
    shortest = 1 if world.realm.suite.signature is None and world.realm.suite.format == 1 else 0

    @given(st.binary(min_size=shortest, max_size=300))
    @FEW
    def holds(payload: bytes) -> None:
        world.clock.now += 1
        data = switch.protect(payload, "hall", world.clock.now)
        message = lamp.unprotect(data, "hall", world.clock.now)
        assert message.payload == payload
        assert message.authenticated is not world.realm.suite.is_symmetric
        with pytest.raises(E4Error) as caught:
            lamp.unprotect(data, "hall", world.clock.now)
        assert caught.value.kind == "replayed"

    holds()


@pytest.mark.parametrize("suite", EVERY)
def test_the_c2_is_a_member_as_any_device(worlds: Worlds, suite: str) -> None:
    world, lamp, switch = fleet(worlds, suite)
    now, is_symmetric = world.clock.now, world.realm.suite.is_symmetric
    data = switch.client.protect(b"on", "hall", now)
    opened = world.do(traffic.unprotect, "hall", data)
    assert (b64decode(opened.payload), opened.authenticated) == (b"on", not is_symmetric)
    with world.refuses(E4Error, kind="replayed"):
        world.do(traffic.unprotect, "hall", data)
    if is_symmetric:
        protected = b64decode(world.do(traffic.protect, "hall", b"off").message)
        assert lamp.client.unprotect(protected, "hall", now).payload == b"off"
    else:
        with world.refuses(E4Error, kind="unsupported"):
            world.do(traffic.protect, "hall", b"off")


@pytest.mark.parametrize("suite", EVERY)
@pytest.mark.parametrize("what", ["message", "command", "report"])
def test_a_change_of_any_kind_is_refused_and_changes_nothing(worlds: Worlds, suite: str, what: str) -> None:
    world, lamp, switch = fleet(worlds, suite)

    def message() -> tuple[bytes, Any]:
        data = switch.client.protect(b"on", "hall", world.clock.now)
        return data, lambda changed: lamp.client.unprotect(changed, "hall", world.clock.now)

    def command() -> tuple[bytes, Any]:
        world.do(topics.rotate, "hall")
        sealed = next(each for each in world.claim() if lamp.client.state.client_id.hex() in each.topic)
        return sealed.payloads[0], lambda changed: lamp.client.command(changed, world.clock.now)

    def report() -> tuple[bytes, Any]:
        data = lamp.hello(world.clock.now)

        def arrives(changed: bytes) -> None:
            (refused,) = _received(world, lamp.client.state.client_id.hex(), changed)
            raise refused

        return data, arrives

    makers = {"message": message, "command": command, "report": report}
    data, arrive = makers[what]()

    @given(
        st.sampled_from(["flip", "flip", "flip", "cut", "grow", "zeros"]),
        st.integers(0, 100_000),
        st.integers(0, 7),
    )
    @FEW
    def holds(how: str, where: int, bit: int) -> None:
        before = dump(lamp.client.state)
        with pytest.raises(E4Error):
            arrive(changed(data, how, where, bit))
        assert dump(lamp.client.state) == before

    holds()


def _received(world: World, device: str, data: bytes) -> list[E4Error]:
    return world.store.run(receive_all, world.realm, [Incoming(f"e4/{device}/report", data)])
