# SPDX-License-Identifier: Apache-2.0
"""Live checks of how a port obeys its C2: whatever comes, it ends where its twin of this implementation does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from e4conformance.played import Device, Own
from e4conformance.ports.book import must
from e4conformance.ports.c2 import NEVER_ENDS, c2_of
from e4conformance.ports.fleet import OTHER, TOPIC, Fleet, in_each_suite, in_format_2, refusal, told
from e4conformance.ports.shown import shown
from e4conformance.requirement import require

_WIRE = "wire.md section 7; format2.md section 3"
_TOPICS = (TOPIC, OTHER, "home/gate")
_STEPS = 40
_LONG = 16384


@must(
    "E4-PCMD-001",
    "after any history of commands, restarts among them, a port holds what it must",
    source=_WIRE,
    advice="compare what show gives with what is due: the detail names the step after which they differ",
)
@in_each_suite
def history(fleet: Fleet) -> None:
    peers = 0 if fleet.suite.is_symmetric else min(3, fleet.subject.limits.peers)
    draw, c2 = fleet.random, fleet.bob.c2
    names = _TOPICS[: fleet.subject.limits.topics]
    strangers = [_stranger(fleet) for _ in range(peers)]
    kinds: list[Callable[[], Any]] = [
        *(lambda: c2.set_topic(draw.choice(names), draw.randbytes(32), _next(fleet)),) * 5,
        lambda: c2.remove_topic(draw.choice(names)),
        c2.reset_topics,
        *((lambda: c2.set_peer(draw.choice(strangers), fleet.alice.public),) * 3 if peers else ()),
        *((lambda: c2.remove_peer(draw.choice(strangers)), c2.reset_peers) if peers else ()),
    ]
    for step in range(_STEPS if fleet.suite.is_symmetric else _STEPS // 2):
        fleet.wait(2)
        order = draw.choice(kinds)()
        for data in c2.seal([order], fleet.now):
            _alike(fleet, f"step {step}, {type(order).__name__}", data)
        if draw.random() < 0.2:
            fleet.bob.device.restart()
            fleet.twin.restart()
            _shows_alike(fleet, f"a restart after step {step}")


def _stranger(fleet: Fleet) -> Any:
    return type(fleet.alice.client_id)(fleet.random.randbytes(16))


def _next(fleet: Fleet) -> int:
    fleet.epoch += 1
    return fleet.epoch


def _alike(fleet: Fleet, what: str, data: bytes) -> None:
    """A command has the same outcome at bob and at his twin, and leaves the same behind. Raises: Unmet."""
    now = fleet.now

    def outcome(device: Device) -> tuple[str, str]:
        obeyed = device.command(data, now)
        return obeyed.outcome, obeyed.kind

    fleet.same(what, outcome)
    _shows_alike(fleet, what)


def _shows_alike(fleet: Fleet, what: str) -> None:
    due, seen = held_by(fleet.twin), fleet.bob.device.dump()
    for name in due:
        if name in seen or name in ("topics", "peers"):
            require(seen.get(name) == due[name], f"{what}: then {name} is {seen.get(name)}, due is {due[name]}")


def held_by(device: Own) -> Mapping[str, Any]:
    """What a device of this implementation would show."""
    return shown(device.suite, device.state)


@must(
    "E4-PCMD-002",
    "no command is obeyed twice, and none that is older than one that was obeyed, also after a restart",
    source="wire.md section 12, no. 2; format2.md section 3.3",
    advice="keep the sequence (Format 2) or second and tags (Format 1) of what was obeyed, and save it before the acknowledgement",
)
@in_each_suite
def old_commands(fleet: Fleet) -> None:
    c2 = fleet.bob.c2
    stale = c2.seal([c2.set_topic(TOPIC, fleet.random.randbytes(32), _next(fleet))], fleet.now)
    if "clock" not in fleet.subject.capabilities:
        stale = []  # it may be of the same second, and then is not older in Format 1
    fleet.wait(5)
    obeyed = c2.seal([c2.set_topic(OTHER, fleet.random.randbytes(32), _next(fleet))], fleet.now)
    for data in obeyed:
        fleet.obeys(fleet.bob, data)
    for again in ("at once", "after a crash", "after a stop"):
        for data in (*stale, *obeyed):
            _not_obeyed(fleet, again, data)
        fleet.wait(11)
        if again == "after a crash":
            fleet.bob.device.close()
            fleet.twin.close()
        fleet.bob.device.restart()
        fleet.twin.restart()


def _not_obeyed(fleet: Fleet, when: str, data: bytes) -> None:
    seen = told(lambda: fleet.bob.device.command(data, fleet.now))
    outcome = seen if isinstance(seen, str) else seen.outcome
    require(outcome != "applied", f"a command that is old or was obeyed before is applied {when}")
    _shows_alike(fleet, f"an old command {when}")


@must(
    "E4-PCMD-008",
    "a command that was refused is answered for good: after a crash none that is older is obeyed",
    source="format2.md sections 3.3 and 7",
    advice="set last to the sequence of a command that is refused too, and save it before the acknowledgement",
    needs="format-2",
)
@in_format_2
def refused_for_good(fleet: Fleet) -> None:
    fleet.meet()
    c2 = fleet.bob.c2
    (older,) = c2.seal([c2.set_topic(OTHER, fleet.random.randbytes(32), _next(fleet))], fleet.now)
    (refused,) = c2.seal([c2.set_topic(TOPIC, fleet.random.randbytes(32), fleet.epoch - 2)], fleet.now)
    _alike(fleet, "an epoch below the newest", refused)
    fleet.bob.device.restart()
    fleet.twin.restart()
    _not_obeyed(fleet, "after a newer one was refused, and a crash", older)


@must(
    "E4-PCMD-003",
    "a command in which any bit is changed, or that is cut short or longer, is met with silence and changes nothing",
    source=_WIRE,
    advice="open the command whole before anything of it is looked at, but for length, version and sequence",
)
@in_each_suite
def changed_commands(fleet: Fleet) -> None:
    c2 = fleet.bob.c2
    short = [c2.set_topic(TOPIC, fleet.random.randbytes(32), _next(fleet))]
    for orders in (short, _long(fleet)) if fleet.suite.format == 2 else (short,):
        (data,) = c2.seal(orders, fleet.now)
        before = fleet.bob.device.dump()
        for what, each in (*fleet.other_lengths(data), *fleet.flipped(data)):
            refusal(f"a command {what}", lambda each=each: fleet.bob.device.command(each, fleet.now))  # type: ignore[misc]
        require(fleet.bob.device.dump() == before, "a command that was refused has changed the state")
        fleet.obeys(fleet.bob, data)
        fleet.wait(1)


def _long(fleet: Fleet) -> list[Any]:
    """Orders for one command of Format 2 that is as long as the port takes, up to `_LONG` bytes."""
    c2, limits = fleet.bob.c2, fleet.subject.limits
    room = min(limits.command, (limits.line - 1024) // 2, _LONG)

    def pairs(count: int) -> list[Any]:
        keys = [fleet.random.randbytes(32) for _ in range(count)]
        return [order for key in keys for order in (c2.set_topic(OTHER, key, _next(fleet)), c2.remove_topic(OTHER))]

    one, two = (len(c2.seal(pairs(count), fleet.now)[0]) for count in (1, 2))
    return pairs(max(1, (room - one) // (two - one) + 1))


@must(
    "E4-PCMD-004",
    "a device obeys its own C2 alone, and only what was sealed for it",
    source=_WIRE,
    advice="bind the device id and both ends' public keys into the key of a command; verify the C2's signature where there is one",
)
@in_each_suite
def others_commands(fleet: Fleet) -> None:
    suite, bob = fleet.suite, fleet.bob
    order = bob.c2.set_topic(TOPIC, fleet.random.randbytes(32), _next(fleet))
    (to_alice,) = fleet.alice.c2.seal([order], fleet.now)
    private = suite.c2.load(suite.c2.generate())
    public = suite.device.public(suite.device.load(suite.device.generate())) if suite.is_symmetric else bob.public
    (forged,) = c2_of(suite, private, public, bob.client_id, fleet.random).seal([order], fleet.now)
    for what, data in (("for another device", to_alice), ("of another C2", forged)):
        refusal(f"a command {what}", lambda data=data: bob.device.command(data, fleet.now))  # type: ignore[misc]
    _shows_alike(fleet, "a command of somebody else")


@must(
    "E4-PCMD-005",
    "a command whose contents are wrong is refused with the reason, and changes nothing",
    source="wire.md section 7; format2.md section 3.4",
    advice="check lengths, opcodes, support, keys and what is held, in this order, each for all entries, before one is applied",
)
@in_each_suite
def wrong_contents(fleet: Fleet) -> None:
    fleet.meet()
    for opcode in (*range(0x0B), 0x7F, 0x80, 0xFF):
        for length in (0, 1, 16, 17, 32, 33, 48, 64, fleet.random.randint(2, 120)):
            entry = bytes([opcode]) + b"\x01" * length
            if fleet.bob.c2.is_command(entry):
                continue
            fleet.wait(1)
            _alike(fleet, f"opcode {opcode:#04x} with {length} bytes", fleet.bob.c2.contents([entry], fleet.now))


@must(
    "E4-PCMD-006",
    "of a command all entries are applied, or none",
    source="format2.md section 3.4",
    advice="apply the entries to a copy of the state, and take it over when the last was good",
    needs="format-2",
)
@in_format_2
def all_or_none(fleet: Fleet) -> None:
    fleet.meet(TOPIC, OTHER)
    c2, now = fleet.bob.c2, fleet.now
    good = [c2.set_topic(OTHER, fleet.random.randbytes(32), _next(fleet)), c2.remove_topic(TOPIC)]
    conflict = c2.set_topic(OTHER, fleet.random.randbytes(32), fleet.epoch - 1)
    for orders in ([*good, conflict], [conflict, *good, conflict], [good[0], conflict, good[1]]):
        for data in c2.seal(orders, now):
            _alike(fleet, f"{len(orders)} entries of which one is in conflict", data)


@must(
    "E4-PEPO-003",
    "after any history of epochs, a port opens and sends under those that it must",
    source="format2.md section 3.4",
    advice="compare what show gives with what is due: the detail names the step after which they differ",
    needs="format-2",
)
@in_format_2
def epochs(fleet: Fleet) -> None:
    draw, c2 = fleet.random, fleet.bob.c2
    held: dict[int, bytes] = {}
    most = 12 if fleet.subject.limits.epochs == 8 else fleet.subject.limits.epochs
    for step in range(_STEPS if fleet.suite.is_symmetric else _STEPS // 2):
        if len(held) >= most:
            held.clear()
            fleet.order(fleet.bob, c2.remove_topic(TOPIC))
        epoch = draw.choice([*held, _next(fleet), fleet.epoch - 3])
        key = held.setdefault(epoch, draw.randbytes(32)) if draw.random() < 0.9 else draw.randbytes(32)
        held.setdefault(epoch, key)
        until = draw.choice([0, int(fleet.now) + 2, int(fleet.now) + 30, NEVER_ENDS, NEVER_ENDS])
        order = c2.set_topic(TOPIC, key, epoch, older_until=until, use=draw.choice([0, 1, 1]))
        for data in c2.seal([order], fleet.now):
            _alike(fleet, f"step {step}, epoch {epoch - fleet.epoch:+d}", data)
        _sends_alike(fleet, step)
        fleet.wait(draw.choice([0.1, 1, 3]))


def _sends_alike(fleet: Fleet, step: int) -> None:
    def epoch(device: Device) -> int:
        return int.from_bytes(device.protect(b"x", TOPIC, fleet.now)[1:5], "little")

    fleet.same(f"step {step}, the epoch to protect under", epoch)
