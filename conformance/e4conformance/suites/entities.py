# SPDX-License-Identifier: Apache-2.0
"""Requirements of identities: what a device is and what the C2 is (`format2.md` section 1, `wire.md` section 6.1)."""

from __future__ import annotations

from functools import partial

from e4conformance.elsewhere import elsewhere
from e4conformance.requirement import NotExercised, Unmet, require
from e4conformance.suites.curves import bad_p256, bad_x25519, is_p256_point, is_x25519
from e4conformance.suites.probing import garbage, refused, refused_key, typed
from e4conformance.suites.subject import SUITES, SuiteSubject, timed
from e4core.errors import InvalidInput
from e4core.suite import Identity, PrivateKey
from e4core.suite_check import fault

_MADE = 8


def parts(subject: SuiteSubject) -> dict[str, Identity]:
    """Device and C2, those that are the same once; without the C2 of a symmetric suite, who is nobody."""
    device, c2 = subject.suite.device, subject.suite.c2
    return {"device": device} if c2 is device or not c2.private_len else {"device": device, "C2": c2}


@SUITES.must(
    "E4-ID-001",
    "The suite has all its parts, with lengths and names as its format wants them.",
    source="e4core.suite; format2.md section 1.1",
    advice="Give the part or the length that is named; `e4core.suite` has the protocols.",
)
def whole(subject: SuiteSubject) -> None:
    wrong = fault(subject.suite)
    require(wrong is None, f"the suite {wrong}")
    suite = subject.suite
    secret, signs = suite.device.public_is_secret, suite.signature is not None
    require(secret != signs, "device.public_is_secret says symmetric, or not, and the signature says otherwise")
    require(not suite.c2.public_is_secret, "the public value of the C2 is never secret")
    require(not secret or suite.c2.private_len == 0, "in a symmetric suite the C2 has no key of its own")


@SUITES.must(
    "E4-ID-002",
    "Fresh private values are distinct, have the declared length, load, and their public values are accepted.",
    source="format2.md section 1.2; e4core.suite.Identity",
    advice="Draw from the system's generator in generate(), and let load, public and check agree on one stored form.",
)
def fresh(subject: SuiteSubject) -> None:
    for name, part in parts(subject).items():
        stored = [part.generate() for _ in range(_MADE)]
        public = [bytes(part.public(part.load(each))) for each in stored]
        require(len(set(map(bytes, stored))) == _MADE, f"{name}: generate() gave the same twice")
        require(len(set(public)) == _MADE, f"{name}: two private values have one public value")
        for one, its in zip(stored, public, strict=True):
            require(len(one) == part.private_len, f"{name}: {len(one)} bytes are stored, not {part.private_len}")
            require(len(its) == part.public_len, f"{name}: a public value of {len(its)} bytes, not {part.public_len}")
            part.check(its)


@SUITES.must(
    "E4-ID-003",
    "Fresh private values are drawn: no 8 bytes in a row are the same in all of them.",
    source="format2.md section 1.2",
    advice="Fill the value from the system's generator; a header of a few bytes is the most that may be constant.",
)
def drawn(subject: SuiteSubject) -> None:
    for name, part in parts(subject).items():
        columns = zip(*(part.generate() for _ in range(_MADE)), strict=True)
        told = "".join("=" if len(set(column)) == 1 else "." for column in columns)
        require(
            "=" * 8 not in told, f"{name}: bytes from {told.find('=' * 8)} on are the same in {_MADE} private values"
        )


@SUITES.must(
    "E4-ID-004",
    "A stored private value always loads as the same key.",
    source="format2.md section 7",
    advice="Derive everything from the stored bytes, deterministically.",
)
def stable(subject: SuiteSubject) -> None:
    for name, part in parts(subject).items():
        stored = part.generate()
        first, again = (part.public(part.load(bytes(stored))) for _ in range(2))
        require(first == again, f"{name}: one stored value has two public values")


@SUITES.must(
    "E4-ID-005",
    "A stored private value of another length, or all zero, is refused as bad_key.",
    source="e4core.suite.Identity; format2.md section 10, number 20",
    advice="Check length and any(stored) in load(), and raise InvalidInput(kind='bad_key').",
)
def bad_private(subject: SuiteSubject) -> None:
    for name, part in parts(subject).items():
        stored, length = bytes(part.generate()), part.private_len
        for wrong in (b"", stored[:1], stored[:-1], stored + b"\1", stored + stored, bytes(length)):
            refused_key(partial(part.load, wrong), f"{name}: a private value of {len(wrong)} bytes")


@SUITES.must(
    "E4-ID-006",
    "A public value of another length, or all zero, is refused as bad_key.",
    source="e4core.suite.Identity; format2.md section 1.1",
    advice="Check the public value in check() before anything else uses it.",
)
def bad_public(subject: SuiteSubject) -> None:
    for name, part in parts(subject).items():
        public = bytes(part.public(part.load(part.generate())))
        for wrong in (b"", public[:1], public[:-1], public + b"\1", public + public, bytes(len(public))):
            refused_key(partial(part.check, wrong), f"{name}: a public value of {len(wrong)} bytes")


@SUITES.must(
    "E4-ID-007",
    "What is no usable point of the curve is refused as bad_key: low order, not canonical, off the curve.",
    source="format2.md section 1.1; wire.md sections 6.1 and 13; SP 800-56A section 5.6.2.3; RFC 7748 section 6.1",
    advice="Validate public keys in check() and verifier(): have the library decode the point, and refuse small orders.",
    needs="curve",
)
def bad_points(subject: SuiteSubject) -> None:
    wrong = bad_values(subject)
    if not wrong:
        raise NotExercised("no part is of a curve that the kit knows")
    for name, (part, public) in wrong.items():
        refused_key(partial(part.check, public), name)
    if subject.suite.signature is not None:
        for name, public in _bad_signature_keys(subject).items():
            refused_key(partial(subject.signature.verifier, public), f"a verifier of a public key: {name}")


def bad_values(subject: SuiteSubject) -> dict[str, tuple[Identity, bytes]]:
    """Public values with one part that is none."""
    device, bad = subject.suite.device, dict[str, tuple[Identity, bytes]]()
    if is_x25519(subject.suite.c2):
        bad |= {f"X25519: {name}": (subject.suite.c2, value) for name, value in bad_x25519().items()}
    if subject.suite.signature is None:
        return bad
    public = subject.devices[0].public
    rest = public[subject.signature.public_len :]
    bad |= {f"signature: {name}": (device, each + rest) for name, each in _bad_signature_keys(subject).items()}
    if is_p256_point(rest):
        first = subject.signature_public(subject.devices[0])
        bad |= {f"KEM: {name}": (device, first + each) for name, each in bad_p256(rest).items()}
    return bad


def _bad_signature_keys(subject: SuiteSubject) -> dict[str, bytes]:
    known = subject.known_signature
    return known.bad_keys(subject.signature_public(subject.devices[0])) if known else {}


@SUITES.must(
    "E4-ID-008",
    "Private keys that another part has loaded are refused with an error of the project.",
    source="e4core.suite.PrivateKey",
    advice="Look at the type of a private key before it is used, and raise InvalidInput(kind='bad_key').",
)
def foreign(subject: SuiteSubject) -> None:
    stranger = PrivateKey(object())
    suite, device, c2 = subject.suite, subject.devices[0], subject.c2s[0]
    for name, part in parts(subject).items():
        refused(partial(part.public, stranger), f"{name}: public() of a foreign private key", InvalidInput)
    refused(partial(suite.control.at_device, stranger, c2.public), "at_device() of a foreign private key", InvalidInput)
    if suite.signature is not None:

        def sign() -> None:
            subject.signature.signer(stranger).sign(b"")

        refused(sign, "a signer of a foreign private key", InvalidInput)
    if not suite.is_symmetric:

        def seal() -> None:
            suite.control.at_c2(stranger, device.public).seal(b"", bytes(26), b"")

        refused(seal, "at_c2() of a foreign private key", InvalidInput)


@SUITES.must(
    "E4-ID-009",
    "Whatever is given for a key, only errors of the project come of it.",
    source="format2.md section 9; e4core.suite.Identity",
    advice="Turn what the library raises into InvalidInput(kind='bad_key') in load() and check().",
)
def rubbish(subject: SuiteSubject) -> None:
    random = subject.random("key rubbish")
    for name, part in parts(subject).items():
        cost = timed(partial(part.load, part.generate()))
        for data in subject.sample(list(garbage(random, part.private_len)), cost, f"load {name}"):
            typed(partial(part.load, data), f"{name}: load() of {len(data)} bytes")
        for data in garbage(random, part.public_len):
            typed(partial(part.check, data), f"{name}: check() of {len(data)} bytes")


@SUITES.must(
    "E4-ID-010",
    "In a symmetric suite the C2 is nobody: it has no key, and takes none.",
    source="e4core.suite.Identity; wire.md section 5",
    advice="Let the C2's generate() and public() give nothing, and load() and check() refuse all else as bad_key.",
    needs="symmetric",
)
def nobody(subject: SuiteSubject) -> None:
    subject.need("symmetric")
    part = subject.suite.c2
    require(part.generate() == b"" and part.public(part.load(b"")) == b"", "the C2 has a key of its own")
    for wrong in (b"\1", bytes(32), b"\7" * 32):
        refused_key(partial(part.load, wrong), "a private value of the C2")
        refused_key(partial(part.check, wrong), "a public value of the C2")


@SUITES.must(
    "E4-ID-011",
    "Where another installed suite has this wire name, stored keys of one load in the other, with the same public values.",
    source="format2.md section 1.1",
    advice="Agree on one stored form (a seed where there is one) and one form of public values.",
    needs="twin",
)
def twins(subject: SuiteSubject) -> None:
    subject.need("twin")
    for other in subject.twins:
        for mine, its in ((subject.suite.device, other.device), (subject.suite.c2, other.c2)):
            for maker in (mine, its):
                stored = maker.generate()
                one, another = mine.public(mine.load(stored)), its.public(its.load(stored))
                if one != another:
                    raise Unmet(f"{other.name} makes another public value of the same stored one")
                mine.check(another)
                its.check(one)


@SUITES.must(
    "E4-ID-012",
    "In another process a stored private value is the same key, and what was sealed here opens there.",
    source="format2.md section 7",
    advice="Derive everything from what is given, and nothing from the process: no salt of its own, no clock, no id.",
    needs="installed",
)
def elsewhere_too(subject: SuiteSubject) -> None:
    subject.need("installed")
    own = {"device": subject.devices[0], "c2": subject.c2s[0]}
    aead, random = subject.suite.aead, subject.random("elsewhere")
    sealed = {"key": random.randbytes(aead.key_len), "nonce": random.randbytes(aead.nonce_len), "ad": b"header"}
    sealed["sealed"] = aead.key(sealed["key"]).seal(sealed["nonce"], b"plaintext", sealed["ad"])
    there = elsewhere(subject.suite.name, {name: bytes(each.stored) for name, each in own.items()}, sealed)
    for name, each in own.items():
        require(there[name] == each.public, f"{name}: one stored value has another public value in another process")
    require(there["opened"] == b"plaintext", "another process opens something else than was sealed")
