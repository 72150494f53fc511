# SPDX-License-Identifier: Apache-2.0
"""Requirements of messages between whole clients on the suite (`wire.md` sections 4 to 6 and 8, `format2.md` section 2)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from e4conformance.requirement import require
from e4conformance.suites.channels import LONG
from e4conformance.suites.fleet import EPOCH, NOW, OTHER, SECOND, TOPIC, Device, Fleet
from e4conformance.suites.nonces import watched
from e4conformance.suites.probing import cut, flipped, garbage, refused, resized
from e4conformance.suites.subject import SIZES, SUITES, SuiteSubject
from e4core.errors import AuthenticationFailed, E4Error, NotFresh, UnknownKey
from e4core.formats import overheads
from e4core.message import GRACE_S

_ADVICE = (
    "Mend first what the requirements of the parts name; is there nothing, look at what a part keeps between calls."
)


def _pair(subject: SuiteSubject, what: str) -> tuple[Device, Device]:
    """Who sends, who reads."""
    fleet = Fleet(subject, what)
    return fleet.device(0), fleet.device(1)


def _unchanged(device: Device, data: bytes, what: str, topic: str = TOPIC, now: float = NOW) -> E4Error:
    """The error with which ``data`` is refused, without a trace in what is saved."""
    before = device.client.state
    error = refused(partial(device.read, data, topic, now), what, E4Error)
    require(device.client.state == before, f"{what} is refused, but changes the state")
    return error


@SUITES.must(
    "E4-MSG-101",
    "What one client protects another reads as it was, at every size, longer by exactly what the format adds.",
    source="format2.md section 2.1; wire.md sections 5 and 6",
    advice=_ADVICE,
)
def round_trips(subject: SuiteSubject) -> None:
    sender, reader = _pair(subject, "messages")
    shortest = 0 if subject.suite.format == 2 or subject.suite.signature else 1  # an empty one is none in `sk`
    sizes = [size for size in SIZES if size >= shortest]
    for size in subject.sample(sizes, subject.message_s, "messages"):
        payload = sender.fleet.random.randbytes(size)
        data = sender.protect(payload)
        require(len(data) == size + overheads(subject.suite)[0], f"a payload of {size} bytes makes {len(data)}")
        message = reader.client.unprotect(data, TOPIC, NOW)
        require(message.payload == payload, f"a payload of {size} bytes does not come back as it was")
        signed = subject.suite.signature is not None
        require(message.authenticated == signed, f"the sender is authenticated: {message.authenticated}, in this suite")
        require(not signed or message.sender == sender.id, "another sender is named")


@SUITES.must(
    "E4-MSG-102",
    "No two messages are alike, and no nonce is used twice under one key: in one second, by two senders, after restarts.",
    source="format2.md sections 2.2 and 2.3; wire.md section 13",
    advice="Let the KDF take in the whole info, and the AEAD the whole nonce; keep no key where another is asked for.",
)
def unique(subject: SuiteSubject) -> None:
    suite, used = watched(subject.suite)
    same = b"\1" if suite.format == 2 else b"\2"  # in Format 1 the key alone tells topics apart
    fleet = Fleet(replace(subject, suite=suite), "unique", {TOPIC: b"\1" * 32, OTHER: same * 32})
    sent = []
    for device in (fleet.device(0), fleet.device(1)):
        for life, clean in enumerate((True, False, True)):
            now = NOW + 20 * life  # with a second to itself for each equal message of Format 1
            sent += [device.protect(b"the same", topic, now) for topic in (TOPIC, OTHER) for _ in range(2)]
            device.restart(clean=clean)
    if suite.format == 2 or suite.signature:
        require(len(set(sent)) == len(sent), "two messages are the same bytes")
    if suite.aead.nonce_len:
        require(len(set(used)) == len(used), "a nonce is used twice under one key")


@SUITES.must(
    "E4-MSG-103",
    "Every flipped bit of a message is refused, and changes nothing.",
    source="format2.md section 2.5; wire.md section 6",
    advice=_ADVICE,
)
def flips(subject: SuiteSubject) -> None:
    sender, reader = _pair(subject, "message flips")
    for payload in (b"21.5", LONG):
        data = sender.protect(payload)
        for bit in subject.bits(len(data), subject.message_s, "message flips"):
            _unchanged(reader, flipped(data, bit), f"a message of {len(data)} bytes with bit {bit} flipped")
        require(reader.read(data) == payload, "after the refusals the message itself is not read")


@SUITES.must(
    "E4-MSG-104",
    "A message cut short or extended is refused, and changes nothing.",
    source="format2.md section 2.5; wire.md section 6",
    advice=_ADVICE,
)
def lengths(subject: SuiteSubject) -> None:
    sender, reader = _pair(subject, "message lengths")
    for payload in (b"21.5", LONG):
        data = sender.protect(payload)
        changes = list(resized(data, sender.fleet.random))
        for what, changed in (*cut(data), *subject.sample(changes, subject.message_s, "message lengths")):
            _unchanged(reader, changed, f"a message of {len(data)} bytes, {what},")


@SUITES.must(
    "E4-MSG-105",
    "A message is read once: its replay is refused, at once, after a restart in order, and after a crash.",
    source="format2.md sections 2.6 and 2.7; wire.md section 13",
    advice=_ADVICE,
)
def replays(subject: SuiteSubject) -> None:
    sender, reader = _pair(subject, "replays")
    data = sender.protect(b"21.5")
    reader.read(data)
    refused(partial(reader.read, data), "a replay", NotFresh, ("replayed",))
    for clean in (True, False):
        reader.restart(clean=clean)
        refused(partial(reader.read, data), f"a replay after {'a restart' if clean else 'a crash'}", NotFresh)
    reader.restart(clean=True)
    later = sender.protect(b"22", now=NOW + 60)
    require(reader.read(later, now=NOW + 60) == b"22", "after a crash and a minute nothing new is read")


@SUITES.must(
    "E4-MSG-106",
    "Messages that overtake each other are read, each once.",
    source="format2.md section 2.6; wire.md section 13",
    advice=_ADVICE,
)
def reordered(subject: SuiteSubject) -> None:
    sender, reader = _pair(subject, "reordered")
    sent = [sender.protect(b"%d" % number) for number in range(8)]
    order = reader.fleet.random.sample(range(8), 8)
    for number in order:
        require(reader.read(sent[number]) == b"%d" % number, f"message {number} of the order {order} is another")
    for number in order:
        refused(partial(reader.read, sent[number]), "a message that was read before", NotFresh, ("replayed",))


@SUITES.must(
    "E4-MSG-107",
    "A message under the key of another topic, or for a topic that is not held, is refused.",
    source="format2.md section 2.5; wire.md section 5",
    advice=_ADVICE,
)
def wrong_topic(subject: SuiteSubject) -> None:
    fleet = Fleet(subject, "topics", {TOPIC: b"\1" * 32, OTHER: b"\2" * 32})
    sender, reader = fleet.device(0), fleet.device(1)
    data = sender.protect(b"21.5", OTHER)
    _unchanged(reader, data, "a message of another topic")
    refused(partial(reader.read, data, "nowhere"), "a message of no topic", UnknownKey, ("topic_key_missing",))
    refused(partial(sender.protect, b"x", "nowhere"), "protecting for a topic without key", UnknownKey)


@SUITES.must(
    "E4-MSG-108",
    "The topic is authenticated: where two topics have the same key, a message of one is none of the other.",
    source="format2.md section 2.2",
    advice="Let the KDF take in the whole info: the topic stands in it.",
    needs="format-2",
)
def topic_is_bound(subject: SuiteSubject) -> None:
    subject.need("format-2")
    fleet = Fleet(subject, "bound", {TOPIC: b"\1" * 32, OTHER: b"\1" * 32})
    data = fleet.device(0).protect(b"21.5", OTHER)
    _unchanged(fleet.device(1), data, "a message of another topic with the same key")


@SUITES.must(
    "E4-MSG-109",
    "The sender is authenticated: unknown ones are refused, and nobody speaks as another.",
    source="format2.md section 2.5; wire.md section 6",
    advice="Verify under the key of the sender that the message names, over all that stands before the signature.",
    needs="signature",
)
def wrong_sender(subject: SuiteSubject) -> None:
    length = subject.signature.signature_len
    fleet = Fleet(subject, "senders")
    sender, rogue, reader = fleet.device(0), fleet.device(1), fleet.device(2, knows=(0, 1))
    data = sender.protect(b"21.5")
    stranger = fleet.device(1, knows=(1,))
    error = refused(partial(stranger.read, data), "a message of an unknown sender", UnknownKey)
    require(error.kind == "unknown_sender", f"an unknown sender is refused as {error.kind}")
    posed = data[:-length] + rogue.protect(b"21.5")[-length:]
    refused(partial(reader.read, posed), "a message with another's signature", AuthenticationFailed, ("bad_signature",))
    other = data[:-length] + sender.protect(b"22.5")[-length:]
    refused(partial(reader.read, other), "a message with the signature of another message", AuthenticationFailed)
    require(reader.read(data) == b"21.5", "after the refusals the message itself is not read")


@SUITES.must(
    "E4-MSG-110",
    "Messages from the future and too old ones are refused.",
    source="format2.md section 2.5; wire.md section 4",
    advice=_ADVICE,
)
def times(subject: SuiteSubject) -> None:
    sender, reader = _pair(subject, "times")
    data = sender.protect(b"21.5")
    early = _unchanged(reader, data, "a message from the future", now=NOW - 120)
    late = _unchanged(reader, data, "a message that is too old", now=NOW + 1000)
    kinds = (early.kind, late.kind)
    require(kinds == ("timestamp_future", "timestamp_old"), f"they are refused as {kinds}")


@SUITES.must(
    "E4-MSG-111",
    "A message of an epoch that the reader does not have yet, or not any more, is refused as that.",
    source="format2.md sections 2.5 and 5",
    advice=_ADVICE,
    needs="format-2",
)
def epochs(subject: SuiteSubject) -> None:
    subject.need("format-2")
    sender, reader = _pair(subject, "epochs")
    old = sender.protect(b"old")
    sender.command(_key(sender, b"\5" * 32, EPOCH + 1, 0))
    new = sender.protect(b"new")
    ahead = _unchanged(reader, new, "a message of a later epoch")
    reader.command(_key(reader, b"\5" * 32, EPOCH + 1, 0))
    require(reader.read(new) == b"new", "with the key of its epoch a message is not read")
    gone = _unchanged(reader, old, "a message of an epoch that is over")
    require((ahead.kind, gone.kind) == ("epoch_unknown", "epoch_retired"), f"refused as {ahead.kind} and {gone.kind}")


@SUITES.must(
    "E4-MSG-112",
    "After a rotation the former key is accepted for its time, and no longer.",
    source="format2.md section 3.4; wire.md section 8",
    advice=_ADVICE,
)
def grace(subject: SuiteSubject) -> None:
    sender, reader = _pair(subject, "grace")
    until = 300 if subject.suite.format == 2 else GRACE_S
    reader.command(_key(reader, b"\5" * 32, EPOCH + 1, SECOND + until))
    for now in (NOW, NOW + until - 60):
        require(reader.read(sender.protect(b"old", now=now), now=now) == b"old", "within its time it is refused")
    now = NOW + until + 60
    data = sender.protect(b"old", now=now)
    refused(partial(reader.read, data, now=now), "a message under a former key whose time is over", E4Error)


def _key(device: Device, key: bytes, epoch: int, until: int) -> object:
    return device.fleet.shape.set_topic_key(device.suite, TOPIC, key, epoch, until)


@SUITES.must(
    "E4-MSG-113",
    "Whatever arrives on a topic, only errors of the project come of it, and nothing changes.",
    source="format2.md sections 2.5 and 9",
    advice="Have every part raise what its protocol in e4core.suite says, and nothing else.",
)
def rubbish(subject: SuiteSubject) -> None:
    sender, reader = _pair(subject, "message rubbish")
    data = sender.protect(b"21.5")
    made = list(garbage(sender.fleet.random, len(data)))
    made += [
        data[:header] + each for header in (8, 24, 41) for each in garbage(sender.fleet.random, len(data) - header)
    ]
    made = [each for each in made if each != data]
    for each in subject.sample(made, subject.message_s, "message rubbish"):
        _unchanged(reader, each, f"{len(each)} bytes that mean nothing")
