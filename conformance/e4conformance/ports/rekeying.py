# SPDX-License-Identifier: Apache-2.0
"""Live checks of new keys, of the device and of its C2."""

from __future__ import annotations

from collections.abc import Callable

from e4conformance.ports.book import must
from e4conformance.ports.fleet import TOPIC, Fleet, Member, in_each_suite, refusal
from e4conformance.requirement import require


@must(
    "E4-PCMD-007",
    "a new key, of the device or of its C2, is taken over and survives a crash, and the former one ends",
    source="wire.md section 7; format2.md section 3.5",
    advice="save a new key before the acknowledgement; Format 2: the former one ends with the first command under the new one",
)
@in_each_suite
def new_keys(fleet: Fleet) -> None:
    fleet.meet()
    for what, change in _changes(fleet):
        former, fleet.bob = fleet.bob, change(fleet)
        for when in ("at once", "after a crash"):
            fleet.wait(2)
            fleet.order(fleet.bob, _order(fleet, fleet.bob))
            _has_ended(fleet, former, f"{what}, {when}")
            fleet.bob.device.restart()
            fleet.twin.restart()


def _has_ended(fleet: Fleet, former: Member, what: str) -> None:
    (data,) = former.c2.seal([_order(fleet, former)], fleet.now)
    before = fleet.bob.device.dump()
    refusal(f"a command under the former key of {what}", lambda: fleet.bob.device.command(data, fleet.now))
    require(fleet.bob.device.dump() == before, f"a command under the former key of {what} changes the state")


def _order(fleet: Fleet, member: Member) -> object:
    fleet.epoch += 1
    return member.c2.set_topic(TOPIC, fleet.random.randbytes(32), fleet.epoch)


def _changes(fleet: Fleet) -> list[tuple[str, Callable[[Fleet], Member]]]:
    """In public-key suites of Format 2 the device makes its own keys, which the stories tell."""
    suite = fleet.suite
    device = [("the device", _device_key)] if suite.is_symmetric or suite.format == 1 else []
    return [*device, *([] if suite.is_symmetric else [("the C2", _c2_key)])]


def _device_key(fleet: Fleet) -> Member:
    private = fleet.private()
    fleet.order(fleet.bob, fleet.bob.c2.set_id_key(private))
    return fleet.member(fleet.bob.client_id, private, fleet.bob.device)


def _c2_key(fleet: Fleet) -> Member:
    private = fleet.suite.c2.generate()
    public = fleet.suite.c2.public(fleet.suite.c2.load(private))
    fleet.order(fleet.bob, fleet.bob.c2.set_c2_key(public))
    fleet.c2_private, fleet.c2_public = private, public
    return fleet.member(fleet.bob.client_id, fleet.bob.private, fleet.bob.device)
