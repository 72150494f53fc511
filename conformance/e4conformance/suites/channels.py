# SPDX-License-Identifier: Apache-2.0
"""Requirements of the control channel, both ends of it (`format2.md` section 3, `wire.md` sections 5 and 6)."""

from __future__ import annotations

from functools import partial

from e4conformance.requirement import require
from e4conformance.suites.entities import bad_values
from e4conformance.suites.probing import cut, flipped, garbage, refused, refused_key, resized
from e4conformance.suites.running import in_child, in_threads
from e4conformance.suites.subject import SUITES, SuiteSubject
from e4core.errors import AuthenticationFailed, E4Error, UnsupportedSuite
from e4core.suite import Channel

INFO = b"\x0cE4.2 command" + b"\x05suite" + bytes(range(16))
HEADER = b"\x02\x01" + bytes(range(24))
PLAIN = b"a command of some bytes"
LONG = bytes(range(251)) * 20


def ends(subject: SuiteSubject, device: int = 0, c2: int = 0) -> tuple[Channel, Channel]:
    """At the device, at the C2; each by number."""
    control, its, c2s = subject.suite.control, subject.devices[device], subject.c2s[c2]
    return control.at_device(its.private, c2s.public), control.at_c2(c2s.private, its.public)


def _both(subject: SuiteSubject) -> list[tuple[str, Channel, Channel]]:
    device, c2 = ends(subject)
    return [("from the C2", c2, device), ("from the device", device, c2)]


@SUITES.must(
    "E4-CHN-001",
    "What one end seals the other opens, longer by exactly the overhead, in both directions.",
    source="e4core.suite.ControlChannel; format2.md sections 1.4 and 3",
    advice="Make overhead the sum of KEM ciphertext, tag and signature, and let both ends derive the same key.",
)
def round_trips(subject: SuiteSubject) -> None:
    random, overhead = subject.random("channels"), subject.suite.control.overhead
    for way, seals, opens in _both(subject):
        for size in subject.sample((0, 1, 15, 16, 17, 59, 255, 256, 257, 1024, 65536), subject.seal_s, way):
            plain = random.randbytes(size)
            body = seals.seal(INFO, HEADER, plain)
            require(len(body) == size + overhead, f"{way}: {size} bytes make {len(body)}, not {size + overhead}")
            require(opens.open(INFO, HEADER, body) == plain, f"{way}: {size} bytes do not come back as they were")


@SUITES.must(
    "E4-CHN-002",
    "Every flipped bit of what was sealed is refused.",
    source="format2.md section 3.3",
    advice="Authenticate all of it: KEM ciphertext, AEAD output, signature.",
)
def flips(subject: SuiteSubject) -> None:
    for way, seals, opens in _both(subject):
        for plain in (PLAIN, LONG):
            body = seals.seal(INFO, HEADER, plain)
            for bit in subject.bits(len(body), subject.channel_s, f"{way} flips"):
                what = f"{way}: {len(body)} bytes with bit {bit} flipped"
                refused(partial(opens.open, INFO, HEADER, flipped(body, bit)), what)


@SUITES.must(
    "E4-CHN-003",
    "Context and header are authenticated, each bit of them and the boundary between them.",
    source="format2.md sections 3.1 and 3.3",
    advice="Put info and header into the key's derivation, and the header into the associated data.",
)
def context(subject: SuiteSubject) -> None:
    for way, seals, opens in _both(subject):
        body = seals.seal(INFO, HEADER, PLAIN)
        changes = [(flipped(INFO, bit), HEADER) for bit in range(8 * len(INFO))]
        changes += [(INFO, flipped(HEADER, bit)) for bit in range(8 * len(HEADER))]
        changes += [(INFO[:-1], INFO[-1:] + HEADER), (INFO + HEADER[:1], HEADER[1:]), (b"", HEADER), (INFO, b"")]
        for info, header in subject.sample(changes, subject.channel_s, f"{way} context"):
            refused(partial(opens.open, info, header, body), f"{way}: under another context or header")


@SUITES.must(
    "E4-CHN-004",
    "What was sealed is refused if it is cut short or extended.",
    source="format2.md section 3.3",
    advice="Check the length against the overhead before anything is cut out of it.",
)
def lengths(subject: SuiteSubject) -> None:
    for way, seals, opens in _both(subject):
        for plain in (PLAIN, LONG):
            body = seals.seal(INFO, HEADER, plain)
            changes = list(resized(body, subject.random(way)))
            for what, changed in (*cut(body), *subject.sample(changes, subject.channel_s, f"{way} lengths")):
                refused(partial(opens.open, INFO, HEADER, changed), f"{way}: {len(body)} bytes, {what}")


@SUITES.must(
    "E4-CHN-005",
    "Nobody else opens it, and what others have sealed does not open: another device, another C2.",
    source="format2.md section 3.1; wire.md section 6.1",
    advice="Let the key follow from both parties; in a public-key suite bind both public keys, and sign.",
)
def others(subject: SuiteSubject) -> None:
    device, c2 = ends(subject)
    strangers = [ends(subject, device=1)]
    if not subject.suite.is_symmetric:
        strangers.append(ends(subject, c2=1))
    for far_device, far_c2 in strangers:
        for seals, opens in ((c2, far_device), (device, far_c2), (far_c2, device), (far_device, c2)):
            body = seals.seal(INFO, HEADER, PLAIN)
            refused(partial(opens.open, INFO, HEADER, body), "what is between two others")


@SUITES.must(
    "E4-CHN-006",
    "What an end has sealed it does not take for the other's (public-key suites of Format 2).",
    source="format2.md section 3.1",
    advice="Bind the public keys in the order of sender and recipient, and check the other's signature.",
    needs="encapsulates",
)
def reflected(subject: SuiteSubject) -> None:
    subject.need("encapsulates")
    for way, seals, _ in _both(subject):
        body = seals.seal(INFO, HEADER, PLAIN)
        refused(partial(seals.open, INFO, HEADER, body), f"{way}: sent back to where it came from")


@SUITES.must(
    "E4-CHN-007",
    "Each container of a public-key suite of Format 2 has a fresh encapsulation: none is like another.",
    source="format2.md section 3.1",
    advice="Encapsulate anew, from the system's generator, at every seal.",
    needs="encapsulates",
)
def fresh(subject: SuiteSubject) -> None:
    subject.need("encapsulates")
    for way, seals, _ in _both(subject):
        bodies = [seals.seal(INFO, HEADER, PLAIN) for _ in range(4)]
        starts = {body[:32] for body in bodies}
        require(len(starts) == len(bodies), f"{way}: two containers begin alike, so an encapsulation was used twice")


@SUITES.must(
    "E4-CHN-008",
    "A symmetric suite seals deterministically, so that a salt alone makes containers differ.",
    source="format2.md section 3.1",
    advice="Derive the key for the container from secret, info and header, and use an all-zero nonce.",
    needs="symmetric",
)
def deterministic(subject: SuiteSubject) -> None:
    subject.need("symmetric")
    device, c2 = ends(subject)
    made = {each.seal(INFO, HEADER, PLAIN) for each in (device, c2, device, *ends(subject))}
    require(len(made) == 1, "the same container is sealed in several ways")
    require(device.seal(INFO, flipped(HEADER, 200), PLAIN) not in made, "another salt makes the same container")


@SUITES.must(
    "E4-CHN-009",
    "Commands of Format 1 have a key that both ends share; in Format 2 there is no such key.",
    source="wire.md sections 5 and 6.2; e4core.suite.Channel",
    advice="Give command_key in Format 1 alone, else raise UnsupportedSuite.",
)
def command_key(subject: SuiteSubject) -> None:
    device, c2 = ends(subject)
    if subject.suite.format == 2:
        for end in (device, c2):
            refused(lambda end=end: end.command_key, "command_key in Format 2", UnsupportedSuite)  # type: ignore[misc]
        return
    for seals, opens in ((device, c2), (c2, device)):
        sealed = seals.command_key.seal(b"", PLAIN, HEADER[:8])
        require(opens.command_key.open(b"", sealed, HEADER[:8]) == PLAIN, "the two ends have different command keys")
    far, _ = ends(subject, device=1)
    refused(partial(far.command_key.open, b"", sealed, HEADER[:8]), "a command to another device")


@SUITES.must(
    "E4-CHN-010",
    "No channel is made to what is no public value.",
    source="e4core.suite.ControlChannel; format2.md section 1.1; wire.md section 13",
    advice="Check the peer's public value in at_device and at_c2, as Identity.check does.",
)
def bad_peers(subject: SuiteSubject) -> None:
    suite, device, c2 = subject.suite, subject.devices[0], subject.c2s[0]
    at_c2, at_device = partial(suite.control.at_c2, c2.private), partial(suite.control.at_device, device.private)
    for wrong in (b"", device.public[:-1], device.public + b"\1", bytes(len(device.public))):
        refused_key(partial(at_c2, wrong), f"at_c2() with a device of {len(wrong)} bytes")
    if not suite.is_symmetric:
        for wrong in (b"", c2.public[:-1], c2.public + b"\1", bytes(len(c2.public))):
            refused_key(partial(at_device, wrong), f"at_device() with a C2 of {len(wrong)} bytes")
    for name, (part, public) in bad_values(subject).items():
        refused_key(partial(at_c2 if part is suite.device else at_device, public), name)


@SUITES.must(
    "E4-CHN-011",
    "Bytes that nobody has sealed are refused with AuthenticationFailed, whatever they are.",
    source="e4core.suite.Channel; format2.md section 9",
    advice="Check the length first, and turn what the KEM's library raises into AuthenticationFailed.",
)
def rubbish(subject: SuiteSubject) -> None:
    for way, _, opens in _both(subject):
        made = list(garbage(subject.random(way), subject.suite.control.overhead))
        for data in subject.sample(made, subject.channel_s, f"{way} rubbish"):
            refused(partial(opens.open, INFO, HEADER, data), f"{way}: {len(data)} bytes that mean nothing")


@SUITES.must(
    "E4-CHN-012",
    "A channel may be used by several threads at once, and goes on after refusals.",
    source="e4core.suite",
    advice="Keep no state between calls, or guard it with a lock.",
)
def threads(subject: SuiteSubject) -> None:
    device, c2 = ends(subject)

    def act(number: int) -> bool:
        plain = bytes([number]) * (20 + number)
        body = c2.seal(INFO, HEADER, plain)
        try:
            device.open(INFO, HEADER, flipped(body, 8 * len(body) - 1))
        except AuthenticationFailed:
            return device.open(INFO, HEADER, body) == plain
        except E4Error:
            return False
        return False

    in_threads(subject, act, "a channel")


@SUITES.must(
    "E4-CHN-013",
    "A channel works in the child of a fork.",
    source="format2.md section 2.3",
    advice="Keep no thread, handle or session that a fork does not copy; open it again where the process id has changed.",
    needs="fork",
)
def forks(subject: SuiteSubject) -> None:
    subject.need("fork")
    device, c2 = ends(subject)
    body = c2.seal(INFO, HEADER, PLAIN)

    def act() -> bool:
        opened = device.open(INFO, HEADER, body), c2.open(INFO, HEADER, device.seal(INFO, HEADER, PLAIN))
        return opened == (PLAIN, PLAIN)

    in_child(act, "a channel")


@SUITES.must(
    "E4-CHN-014",
    "Where another installed suite has this wire name, each opens what the other seals, and verifies what it signs.",
    source="format2.md section 1.1",
    advice="Ask in which part they differ: KEM, order of keys in the context, KDF, AEAD, signature.",
    needs="twin",
)
def twins(subject: SuiteSubject) -> None:
    subject.need("twin")
    device, c2 = subject.devices[0], subject.c2s[0]
    own = ends(subject)
    for other in subject.twins:
        its_device, its_c2 = other.device.load(device.stored), other.c2.load(c2.stored)
        its = other.control.at_device(its_device, c2.public), other.control.at_c2(its_c2, device.public)
        for seals, opens in ((own[1], its[0]), (its[1], own[0]), (own[0], its[1]), (its[0], own[1])):
            require(opens.open(INFO, HEADER, seals.seal(INFO, HEADER, PLAIN)) == PLAIN, f"not as {other.name}")
        if other.signature is not None:
            public = subject.signature_public(device)
            for signs, key, verifies in (
                (subject.signature, device.private, other.signature),
                (other.signature, its_device, subject.signature),
            ):
                verifies.verifier(public).verify(PLAIN, signs.signer(key).sign(PLAIN))
