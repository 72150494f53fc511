# SPDX-License-Identifier: Apache-2.0
"""Messages and several C2 on one PostgreSQL or MariaDB: each is given once, by one of them."""

from __future__ import annotations

from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor

import pytest

from e4c2 import replicas, traffic
from e4c2.replicas import Watch
from e4core.errors import Replayed
from e4core.suite import Suite
from tests.c2.shared import Replicas, database
from tests.c2.shared import replicas as replicas_fixture
from tests.c2.world import World
from tests.core.suites2 import GCM_SK

__all__ = ["database", "several"]

several = replicas_fixture


@pytest.fixture
def suite() -> Suite:
    return GCM_SK


def test_a_message_is_given_by_one_of_two_and_all_messages_of_both_are_read(several: Replicas) -> None:
    worlds = [several.add(), several.add()]
    for each in worlds:
        each.do(replicas.beat, Watch(), b"")
    one = worlds[0]
    one.add("a")
    one.topic("t", "a")
    data = one.devices["a"].write("t", one.clock.now, b"21.5")

    def unprotect(world: World) -> str | None:
        try:
            return str(world.do(traffic.unprotect, "t", data).payload)
        except Replayed:
            return None

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(unprotect, worlds * 2))
    assert [b64decode(each) for each in answers if each] == [b"21.5"]
    for world in worlds * 3:
        protected = b64decode(world.do(traffic.protect, "t", b"same").message)
        assert one.devices["a"].read("t", protected, one.clock.now) == b"same"
