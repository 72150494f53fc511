# SPDX-License-Identifier: Apache-2.0
"""Requirements of commands and reports between a whole client and its C2 (`wire.md` section 7, `format2.md` sections 3 and 4)."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any

from e4conformance.requirement import require
from e4conformance.suites.fleet import EPOCH, NOW, TOPIC, Device, Fleet
from e4conformance.suites.probing import flipped, garbage, refused, resized, typed
from e4conformance.suites.subject import SUITES, SuiteSubject
from e4core import command2
from e4core.errors import E4Error, Replayed
from e4core.formats import overheads
from e4core.keys import Secret
from e4core.obeying import ALREADY_EVERY_S
from e4core.report import Ack, Hello, Offer, Outcome, check_offer

_ADVICE = "Mend first what E4-CHN names; is there nothing, look at what the control channel keeps between calls."


def _device(subject: SuiteSubject, what: str) -> Device:
    return Fleet(subject, what).device(0)


def _key(device: Device, number: int) -> Any:
    key = device.fleet.random.randbytes(32)
    return device.fleet.shape.set_topic_key(device.suite, TOPIC, key, EPOCH + number, 0)


def _ack(device: Device, reports: tuple[bytes, ...]) -> Ack:
    ack = device.report(reports[0])
    if not isinstance(ack, Ack):
        raise TypeError("a command is answered by another report than an ack")
    return ack


def _unchanged(device: Device, data: bytes, what: str) -> E4Error:
    """The error with which a command is refused, without a trace in what is saved."""
    before = device.client.state
    error = refused(partial(device.obey, data), what, E4Error)
    require(device.client.state == before, f"{what} is refused, but changes the state")
    return error


@SUITES.must(
    "E4-CMD-101",
    "Each command of the format that the suite has is obeyed and acknowledged, and the C2 reads the acknowledgement.",
    source="format2.md sections 3.4 and 4.2; wire.md section 7",
    advice=_ADVICE,
)
def obeyed(subject: SuiteSubject) -> None:
    device = _device(subject, "commands")
    for number, command in enumerate(_commands(device)):
        now = NOW + number
        data = device.sealed(command, now=now)
        handled = device.obey(data, now)
        name = type(command).__name__
        require(handled.outcome is Outcome.APPLIED, f"{name} is {handled.outcome.name.lower()}: {handled.error}")
        ack = _ack(device, handled.reports)
        require(ack.outcome is Outcome.APPLIED and not ack.refusal, f"{name} is acknowledged as {ack.outcome.name}")
        plain = len(command2.encode([command], 0)) if subject.suite.format == 2 else 0
        require(not plain or len(data) == plain + overheads(subject.suite)[1], f"{name} has {len(data)} bytes")


def _commands(device: Device) -> list[Any]:
    """Those whose effect the further ones bear."""
    subject, shape, other = device.fleet.subject, device.fleet.shape, device.fleet.id(2)
    topics = [_key(device, 1), _key(device, 2), shape.commands.RemoveTopic(_key(device, 2).topic)]
    peers = []
    if not subject.suite.is_symmetric:
        known = shape.set_pub_key(subject, other, subject.devices[2])
        peers = [known, shape.commands.RemovePubKey(other), shape.commands.ResetPubKeys()]
    return [*topics, *peers, shape.commands.ResetTopics()]


@SUITES.must(
    "E4-CMD-102",
    "Every flipped bit of a command is refused, and changes nothing.",
    source="format2.md section 3.3; wire.md section 5",
    advice=_ADVICE,
)
def flips(subject: SuiteSubject) -> None:
    device = _device(subject, "command flips")
    data = device.sealed(_key(device, 1))
    for bit in subject.sample(range(8 * len(data)), subject.channel_s, "command flips"):
        _unchanged(device, flipped(data, bit), f"a command with bit {bit} flipped")
    require(device.obey(data).outcome is Outcome.APPLIED, "after the refusals the command itself is not obeyed")


@SUITES.must(
    "E4-CMD-103",
    "A command cut short or extended is refused, and changes nothing.",
    source="format2.md section 3.3; wire.md section 5",
    advice=_ADVICE,
)
def lengths(subject: SuiteSubject) -> None:
    device = _device(subject, "command lengths")
    data = device.sealed(_key(device, 1))
    changes = list(resized(data, device.fleet.random))
    for what, changed in subject.sample(changes, subject.channel_s, "command lengths"):
        _unchanged(device, changed, f"a command, {what},")


@SUITES.must(
    "E4-CMD-104",
    "A command is obeyed once; repeated it is acknowledged again, and an older one is not obeyed after it.",
    source="format2.md section 3.3; wire.md section 13",
    advice=_ADVICE,
)
def repeated(subject: SuiteSubject) -> None:
    device = _device(subject, "repeated")
    first, second = device.sealed(_key(device, 1), now=NOW), device.sealed(_key(device, 2), now=NOW + 2)
    device.obey(second, NOW + 2)
    state = device.client.state
    again = device.obey(second, NOW + 3)
    require(again.outcome is Outcome.ALREADY, f"a repeated command is {again.outcome.name.lower()}")
    require(_ack(device, again.reports).outcome is Outcome.ALREADY, "a repeated command is acknowledged as new")
    if subject.suite.format == 2:
        refused(partial(device.obey, first, NOW + 3), "a command older than the newest", Replayed)
    else:
        outcome = device.obey(first, NOW + 3).outcome
        require(outcome is Outcome.OUTDATED, f"a command older than the newest is {outcome.name.lower()}")
    require(device.client.state == state, "a command that is not obeyed changes the state")
    device.restart(clean=False)
    after = device.obey(second, NOW + 3 + ALREADY_EVERY_S)
    require(after.outcome is Outcome.ALREADY, "after a crash a repeated command is obeyed anew")


@SUITES.must(
    "E4-CMD-105",
    "A command for another device, or of another C2, is refused.",
    source="format2.md section 3.1; wire.md section 6.1",
    advice=_ADVICE,
)
def strangers(subject: SuiteSubject) -> None:
    fleet = Fleet(subject, "strangers")
    device, other = fleet.device(0), fleet.device(1)
    _unchanged(device, other.sealed(_key(other, 1)), "a command for another device")
    _unchanged(
        device, device.sealed(_key(device, 1), by=other.channel), "a command under the channel of another device"
    )
    if not subject.suite.is_symmetric:
        rogue = subject.suite.control.at_c2(subject.c2s[1].private, device.entity.public)
        _unchanged(device, device.sealed(_key(device, 1), by=rogue), "a command of another C2")


@SUITES.must(
    "E4-CMD-106",
    "Reports reach the C2 that they are for: changed ones and those of others are refused there.",
    source="format2.md sections 4 and 4.5",
    advice=_ADVICE,
)
def reports(subject: SuiteSubject) -> None:
    fleet = Fleet(subject, "reports")
    device, other = fleet.device(0), fleet.device(1)
    data = device.hello()
    require(isinstance(device.report(data), Hello), "a hello is read as something else")
    for bit in subject.sample(range(8 * len(data)), subject.channel_s, "report flips"):
        refused(partial(device.report, flipped(data, bit)), f"a report with bit {bit} flipped", E4Error)
    changes = list(resized(data, fleet.random))
    for what, changed in subject.sample(changes, subject.channel_s, "report lengths"):
        refused(partial(device.report, changed), f"a report, {what},", E4Error)
    require(not device.opens(data, other.channel), "the report of one device is taken for that of another")
    refused(partial(other.report, data), "the report of another device", E4Error)


@SUITES.must(
    "E4-CMD-107",
    "A report is no command, and a command no report: nothing comes back to whom it is from.",
    source="format2.md sections 3.1 and 3.3",
    advice="Let key and signature take in the whole context: the direction stands in it.",
)
def directions(subject: SuiteSubject) -> None:
    device = _device(subject, "directions")
    report, command = device.hello(), device.sealed(_key(device, 1))
    _unchanged(device, report, "a report that comes back as a command")
    refused(partial(device.report, command), "a command that comes back as a report", E4Error)
    if subject.suite.format == 2:
        as_command = report[:1] + b"\1" + (1).to_bytes(8, "little") + report[10:]
        _unchanged(device, as_command, "a report with the header of a command")


@SUITES.must(
    "E4-CMD-108",
    "A device that is given another key obeys under it, and not under the former.",
    source="format2.md section 3.5; wire.md section 7",
    advice="Let load and at_device work for any stored key, and keep nothing of the former.",
    needs="symmetric",
)
def new_key(subject: SuiteSubject) -> None:
    subject.need("symmetric")
    device = _device(subject, "new key")
    stored, former = subject.suite.device.generate(), device.channel
    handled = device.command(device.fleet.shape.commands.SetIDKey(Secret(stored)))
    require(handled.outcome is Outcome.APPLIED, f"SetIDKey is {handled.outcome.name.lower()}: {handled.error}")
    public = subject.suite.device.public(subject.suite.device.load(stored))
    device.channel = subject.suite.control.at_c2(device.fleet.c2.private, public)
    later = device.command(_key(device, 1), now=NOW + 1)
    require(later.outcome is Outcome.APPLIED, "under its new key the device does not obey")
    _unchanged(device, device.sealed(_key(device, 2), now=NOW + 2, by=former), "a command under the former key")


@SUITES.must(
    "E4-CMD-109",
    "A device that is to make itself new keys offers them, signed, and obeys under them.",
    source="format2.md sections 3.5 and 4.1",
    advice="Let generate, load, public and the signer agree on one stored form.",
    needs="encapsulates",
)
def offered_key(subject: SuiteSubject) -> None:
    subject.need("encapsulates")
    device = _device(subject, "offered key")
    handled = device.command(command2.NewIDKey(bytes(range(16))))
    require(handled.outcome is Outcome.APPLIED, f"NewIDKey is {handled.outcome.name.lower()}: {handled.error}")
    offers = [each for data in handled.reports if isinstance(each := device.report(data), Offer)]
    require(len(offers) == 1, "no keys are offered")
    check_offer(subject.suite, device.id, offers[0])
    former = device.channel
    device.channel = subject.suite.control.at_c2(device.fleet.c2.private, offers[0].public)
    require(device.command(_key(device, 1)).outcome is Outcome.APPLIED, "under its new keys the device does not obey")
    _unchanged(device, device.sealed(_key(device, 2), by=former), "a command under the former keys")


@SUITES.must(
    "E4-CMD-110",
    "What is no public key is refused in a command too, and the C2 hears why.",
    source="format2.md section 3.4; wire.md section 13",
    advice="Check public keys in check() and verifier(), and raise InvalidInput(kind='bad_key').",
    needs="public-key",
)
def bad_public(subject: SuiteSubject) -> None:
    subject.need("public-key")
    device = _device(subject, "bad public keys")
    command = device.fleet.shape.set_pub_key(subject, device.fleet.id(2), subject.devices[2])
    good = command2.encode([command], 0) if subject.suite.format == 2 else b"\x06" + command.public + command.client
    bad = good.replace(command.public, bytes(len(command.public)))
    handled = device.obey(device.sealed(plain=bad))
    require(handled.outcome is Outcome.REFUSED, f"SetPubKey with zeros is {handled.outcome.name.lower()}")
    refusal = _ack(device, handled.reports).refusal
    require(refusal == "bad_key", f"SetPubKey with zeros is refused as {refusal}")


@SUITES.must(
    "E4-CMD-111",
    "Whatever arrives as a command or a report, only errors of the project come of it.",
    source="format2.md sections 3.3, 4.5 and 9",
    advice="Have every part raise what its protocol in e4core.suite says, and nothing else.",
)
def rubbish(subject: SuiteSubject) -> None:
    device = _device(subject, "command rubbish")
    command, report = device.sealed(_key(device, 1)), device.hello()
    header = {1: 8, 2: 26}[subject.suite.format]
    for whole, head, arrives in ((command, header, _unchanged), (report, 26, _refused_report)):
        made = list(garbage(device.fleet.random, len(whole)))
        made += [whole[:head] + each for each in made]
        for each in subject.sample([each for each in made if each != whole], subject.channel_s, "command rubbish"):
            arrives(device, each, f"{len(each)} bytes that mean nothing")


def _refused_report(device: Device, data: bytes, what: str) -> None:
    refused(partial(device.report, data), f"a report of {what}", E4Error)


@SUITES.must(
    "E4-CMD-112",
    "Whatever the C2 seals is obeyed or refused with a reason, never the end of the device.",
    source="format2.md section 3.4; wire.md section 7",
    advice="Have load, check and verifier raise InvalidInput(kind='bad_key') for whatever is no key.",
)
def odd_contents(subject: SuiteSubject) -> None:
    device, made = _device(subject, "odd contents"), list[bytes]()
    for entry in _entries(device):
        length = len(entry) - 1
        for filling in (bytes(length), b"\xff" * length, *(device.fleet.random.randbytes(length) for _ in range(6))):
            made += [entry[:1] + filling, entry[:1] + filling[:-1], entry[:1] + filling + b"\0"]
    made += [b"", b"\x0b", b"\xff" * 90]
    for number, entry in enumerate(subject.sample(made, subject.seal_s + 2 * subject.channel_s, "contents")):
        plain = entry if subject.suite.format == 1 else bytes(8) + len(entry).to_bytes(2, "little") + entry
        sealed = device.sealed(plain=plain, now=NOW + number)
        typed(partial(device.obey, sealed, NOW + number), f"a command of {entry[:1].hex()} and {len(entry) - 1} bytes")


def _entries(device: Device) -> list[bytes]:
    """Opcode and arguments of each command that has some."""
    suite, commands = device.suite, device.fleet.shape.commands
    known = [command for command in _commands(device) if fields(command)]
    if suite.is_symmetric:
        known.append(commands.SetIDKey(Secret(device.entity.stored)))
    elif suite.format == 2:
        known.append(command2.SetC2Key.of(suite, device.fleet.c2.public))
    else:
        known.append(commands.SetC2Key(device.fleet.c2.public))
    if suite.format == 1:
        return [commands.encode(command) for command in known]
    return [command2.encode([command], 0)[10:] for command in known]
