# SPDX-License-Identifier: Apache-2.0
"""Commands of both formats: their containers as they come, and contents of any kind that the C2 has sealed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from e4core import command, command2, report
from e4core.control2 import room, seal_command
from e4core.errors import AuthenticationFailed, InvalidInput, NotFresh, UnsupportedSuite
from e4core.formats import AnyClient
from e4core.keys import FullTopicHash, Secret, TopicHash, TopicKey
from fuzz.target import Target, accepted, always, must
from fuzz.targets.fleet import EPOCH, NOW, SECOND, TOPIC, Fleet, bytes32, fleets, same

_NOT_TAKEN = (InvalidInput, NotFresh, AuthenticationFailed)
_NOT_READ = (InvalidInput, UnsupportedSuite)


def _check1(data: bytes) -> None:
    for fleet in fleets(1):
        _refused_or_obeyed(fleet, data)
        read = accepted(partial(command.decode, data, fleet.suite), *_NOT_READ)
        must(read is None or command.encode(read) == data, "a command that was read is written otherwise")
        if data:
            _obeyed(fleet, _sealed1(fleet, data), readable=read is not None)


def _check2(data: bytes) -> None:
    for fleet in fleets(2):
        _refused_or_obeyed(fleet, data)
        read = accepted(partial(command2.decode, data, fleet.suite), *_NOT_READ)
        issued = int.from_bytes(data[: command2.ISSUED_LEN], "little")
        must(read is None or command2.encode(read, issued) == data, "a command that was read is written otherwise")
        if 0 < len(data) <= room(fleet.suite):
            _obeyed(fleet, _sealed2(fleet, data), readable=read is not None)


def _refused_or_obeyed(fleet: Fleet, data: bytes) -> None:
    bob = fleet.client("bob")
    before = bob.state
    if accepted(lambda: bob.command(data, NOW), *_NOT_TAKEN) is None:
        must(bob.state == before, "a command that was refused has changed the state")


def _obeyed(fleet: Fleet, data: bytes, *, readable: bool) -> None:
    bob = fleet.client("bob")
    handled = bob.command(data, NOW)
    must(readable or handled.outcome is report.Outcome.REFUSED, "what cannot be read was obeyed")
    if handled.error:
        must(handled.error.kind in report.REFUSALS, f"{handled.error.kind} is no reason to refuse")
    _go_on(fleet, bob)


def _go_on(fleet: Fleet, bob: AnyClient) -> None:
    """Whatever was obeyed, the device works, and is the same after a restart."""
    must(same(bob.state), "the state after a command does not survive being saved")
    bob.hello(NOW + 1)
    bob.close()
    must(same(bob.state), "the state of a device that was stopped does not survive being saved")


def _sealed1(fleet: Fleet, plain: bytes) -> bytes:
    header = SECOND.to_bytes(8, "little")
    return header + fleet.channel.command_key.seal(b"", plain, header)


def _sealed2(fleet: Fleet, plain: bytes) -> bytes:
    return seal_command(fleet.suite, fleet.channel, fleet.bob, SECOND, plain, bytes(16))


def _seeds1() -> Iterable[bytes]:
    for fleet in fleets(1):
        topic = TopicHash(fleet.suite.derive_topic(TOPIC))
        (alice, public), *_ = *fleet.peers().items(), (fleet.bob, bytes32("public"))
        orders: tuple[command.Command, ...] = (
            command.RemoveTopic(topic),
            command.ResetTopics(),
            command.SetIDKey(fleet.private("new")),
            command.SetTopicKey(TopicKey(bytes32("new key")), topic),
            command.RemovePubKey(alice),
            command.ResetPubKeys(),
            command.SetPubKey(public, alice),
            command.SetC2Key(bytes32("new c2")),
        )
        for order in orders:
            yield command.encode(order)
            yield _sealed1(fleet, command.encode(order))


def _seeds2() -> Iterable[bytes]:
    for fleet in fleets(2):
        suite, topic = fleet.suite, FullTopicHash(fleet.suite.derive_topic(TOPIC))
        key = TopicKey(bytes32("new key"))
        new = command2.SetTopicKey(topic, EPOCH + 1, key, 1, 600, SECOND + 9999, SECOND + 60)
        orders: list[command2.Command2] = [new, command2.RemoveTopic(topic), command2.ResetTopics()]
        orders += [command2.Sync(bytes(16), SECOND * 1000)]
        if suite.is_symmetric:
            orders.append(command2.SetIDKey(Secret(bytes32("new"))))
        else:
            (alice, public), *_ = fleet.peers().items()
            orders += [command2.SetPubKey(alice, public, SECOND + 60), command2.RemovePubKey(alice)]
            orders += [command2.ResetPubKeys(), command2.SetC2Key.of(suite, fleet.public("new"))]
            orders += [command2.NewIDKey(bytes(16))]
        for some in [[order] for order in orders] + [[new, orders[1]], [new, new]]:
            yield command2.encode(some, SECOND)
            yield _sealed2(fleet, command2.encode(some, SECOND))


_WORDS = (b"\xff" * 8, b"\xff" * 4, SECOND.to_bytes(8, "little"), (EPOCH + 1).to_bytes(4, "little"))

TARGETS = {
    "command1": Target(always(_check1), _seeds1, _WORDS),
    "command2": Target(always(_check2), _seeds2, _WORDS),
}
