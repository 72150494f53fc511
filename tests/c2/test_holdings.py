# SPDX-License-Identifier: Apache-2.0
"""What a client is said to hold is what it holds: in the list of its topics, and in the count of each of them."""

from __future__ import annotations

from pathlib import Path

from e4c2 import c2keys, clients, dead_letters, standing, topics
from e4c2.model import Reason
from e4c2.rows import EXPIRES_S
from tests.c2.devices import Witness
from tests.c2.served import operation, serving, settings_in
from tests.c2.test_compromise import enrol
from tests.c2.world import World


def held(world: World, name: str) -> list[tuple[str, str | None]]:
    return [(each.key, each.state) for each in world.do(standing.held_by, name)]


def counted(world: World, name: str = "t") -> dict[str, int]:
    shown = world.do(standing.show, name)
    numbers = {word: getattr(shown, word) for word in ("confirmed", "sent", "behind", "suspended")}
    assert sum(numbers.values()) == shown.members
    return {word: number for word, number in numbers.items() if number}


def test_a_stolen_device_is_not_said_to_hold_the_key_that_was_made_because_of_it(fleet: World) -> None:
    assert held(fleet, "a") == [("confirmed", None)]
    fleet.do(clients.new_key, "a", Reason.COMPROMISED)
    fleet.settle_down()
    assert fleet.devices["a"].key("t") != fleet.topic_key("t")
    (holding,) = fleet.do(standing.held_by, "a")
    assert (holding.key, holding.state, holding.since) == ("suspended", None, None)
    assert held(fleet, "b") == [("confirmed", None)]
    assert counted(fleet) == {"confirmed": 1, "suspended": 1}


def test_nor_is_one_to_which_a_command_was_on_its_way(fleet: World) -> None:
    fleet.devices["a"].away = True
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    assert held(fleet, "a") == [("behind", "sent")]
    assert counted(fleet) == {"confirmed": 1, "behind": 1}
    fleet.do(clients.new_key, "a", Reason.COMPROMISED)
    assert held(fleet, "a") == [("suspended", None)]
    enrol(fleet, "a")
    assert held(fleet, "a") == [("behind", "pending")]
    fleet.settle_down()
    assert held(fleet, "a") == [("confirmed", None)]
    assert counted(fleet) == {"confirmed": 2}


def test_nobody_is_said_to_hold_a_key_that_was_made_because_of_the_c2(pk2: World, pk: World) -> None:
    for world in (pk, pk2):
        for name in "ab":
            world.add(name)
        world.topic("t", "a", "b")
        world.do(c2keys.new, Reason.COMPROMISED)
        world.settle_down()
        assert [held(world, name) for name in "ab"] == [[("suspended", None)]] * 2
        assert counted(world) == {"suspended": 2}


def test_one_that_reports_and_has_not_answered_is_not_taken_for_one_that_never_does(pk: World) -> None:
    pk.add("a")
    pk.add("w", Witness)
    pk.topic("t", "a", "w")
    pk.devices["a"].away = True
    pk.do(topics.rotate, "t")
    assert [held(pk, name) for name in "aw"] == [[("behind", "pending")]] * 2
    pk.settle_down()
    assert held(pk, "a") == [("behind", "sent")]
    assert held(pk, "w") == [("sent", None)]
    assert counted(pk) == {"behind": 1, "sent": 1}
    pk.clock.now += EXPIRES_S + 1
    pk.do(dead_letters.expire)
    assert held(pk, "a") == [("behind", "expired")]


def test_the_api_tells_it_so(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2:
        client = c2.client("stolen")
        topic = c2.topic("t", client)
        path = f"/v1/clients/{client}/holdings"
        (holding,) = c2.http.get(path).json()["items"]
        assert holding["key"] in ("behind", "sent")
        operation(c2.http.post(f"/v1/clients/{client}/key", json={"reason": "compromised"}))
        (holding,) = c2.http.get(path).json()["items"]
        assert holding == {"topic": "t", "id": topic, "key": "suspended", "state": None, "since": None}
        shown = c2.http.get(f"/v1/topics/{topic}").json()
        assert [shown[word] for word in ("members", "confirmed", "sent", "behind", "suspended")] == [1, 0, 0, 0, 1]
