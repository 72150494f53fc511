# SPDX-License-Identifier: Apache-2.0
"""Requirements of signatures: what verifies, and that nothing else does (`format2.md` section 2.5, `wire.md` section 6)."""

from __future__ import annotations

from functools import partial

from e4conformance.requirement import NotExercised, require
from e4conformance.suites.probing import cut, flipped, garbage, refused, refused_key, resized, typed
from e4conformance.suites.running import in_child, in_threads
from e4conformance.suites.subject import SIZES, SUITES, Entity, SuiteSubject
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.suite import Verifier

MESSAGE = bytes(range(1, 97))
_LONG = bytes(range(251)) * 260
"""More than 64 KiB."""
_BAD = ("bad_signature",)


def signed(subject: SuiteSubject, message: bytes = MESSAGE, by: Entity | None = None) -> tuple[Verifier, bytes]:
    """A verifier of an entity, and its signature."""
    entity = by or subject.devices[0]
    signer = subject.signature.signer(entity.private)
    return subject.signature.verifier(subject.signature_public(entity)), signer.sign(message)


@SUITES.must(
    "E4-SIG-001",
    "Signatures verify, and have the declared length, for messages of every size.",
    source="e4core.suite.Signature; format2.md section 1.4",
    advice="Make sign give exactly signature_len bytes (pad where the scheme's are shorter), and verify take them.",
    needs="signature",
)
def round_trips(subject: SuiteSubject) -> None:
    random = subject.random("signatures")
    for size in subject.sample(SIZES, subject.sign_s, "sizes"):
        message = random.randbytes(size)
        verifier, signature = signed(subject, message)
        due = subject.signature.signature_len
        require(len(signature) == due, f"a signature has {len(signature)} bytes, not {due}")
        require(verifier.verify(message, signature) is None, "verify gives something: it is to raise or return nothing")  # type: ignore[func-returns-value]


@SUITES.must(
    "E4-SIG-002",
    "Of a known scheme the published signature verifies, and its twin only where the standard lets it.",
    source="RFC 8032 sections 5.1.7 and 7.1; RFC 6979 appendix A.2.5; format2.md section 1.1",
    advice="Ed25519: refuse S not below the order. ECDSA in Format 2: r | s, 32 bytes each, both forms of s are good.",
    needs="known-signature",
)
def known_answers(subject: SuiteSubject) -> None:
    answer = subject.known_signature
    if answer is None:
        raise NotExercised("the signature is none of the schemes that the kit knows")
    verifier = subject.signature.verifier(answer.public)
    verifier.verify(answer.message, answer.signature)
    if answer.may_twist:
        verifier.verify(answer.message, answer.twisted)
    else:
        refused(partial(verifier.verify, answer.message, answer.twisted), "a signature whose S is not below the order")


@SUITES.must(
    "E4-SIG-003",
    "A message that differs in a bit is refused.",
    source="format2.md section 2.5, step 9",
    advice="Sign and verify the whole message.",
    needs="signature",
)
def message_flips(subject: SuiteSubject) -> None:
    for message in (MESSAGE, _LONG):
        verifier, signature = signed(subject, message)
        for bit in subject.bits(len(message), subject.verify_s, "message flips"):
            act = partial(verifier.verify, flipped(message, bit), signature)
            refused(act, f"a message of {len(message)} bytes with bit {bit} flipped", kinds=_BAD)


@SUITES.must(
    "E4-SIG-004",
    "A message cut short or extended is refused.",
    source="format2.md section 2.5, step 9",
    advice="Sign and verify the whole message, with its length.",
    needs="signature",
)
def message_lengths(subject: SuiteSubject) -> None:
    for message in (MESSAGE, _LONG):
        verifier, signature = signed(subject, message)
        changes = list(resized(message, subject.random("message lengths")))
        for what, changed in (*cut(message), *subject.sample(changes, subject.verify_s, "message lengths")):
            act = partial(verifier.verify, changed, signature)
            refused(act, f"a message of {len(message)} bytes, {what},", kinds=_BAD)


@SUITES.must(
    "E4-SIG-005",
    "A signature that differs in a bit is refused.",
    source="format2.md section 2.5, step 9; the standard of the scheme",
    advice="Check every byte of a signature, padding and encodings too: what is not exactly so is refused.",
    needs="signature",
)
def signature_flips(subject: SuiteSubject) -> None:
    verifier, signature = signed(subject)
    last = range(8 * len(signature) - 8, 8 * len(signature))
    for bit in (*last, *subject.bits(len(signature), subject.verify_s, "signature flips")):
        act = partial(verifier.verify, MESSAGE, flipped(signature, bit))
        refused(act, f"a signature with bit {bit} flipped", kinds=_BAD)


@SUITES.must(
    "E4-SIG-006",
    "A signature of another length is refused, the empty one too.",
    source="e4core.suite.Signature; format2.md section 1.4",
    advice="Compare len(signature) with signature_len before the library sees it.",
    needs="signature",
)
def signature_lengths(subject: SuiteSubject) -> None:
    verifier, signature = signed(subject)
    changes = list(resized(signature, subject.random("signature lengths")))
    edges = [each for each in changes if not len(each[1]) or abs(len(each[1]) - len(signature)) <= 17]
    for what, changed in (*edges, *subject.sample(changes, subject.verify_s, "signature lengths")):
        refused(partial(verifier.verify, MESSAGE, changed), f"a signature, {what},", kinds=_BAD)


@SUITES.must(
    "E4-SIG-007",
    "The boundary between signature and message cannot be moved.",
    source="e4core.suite.Signature; format2.md section 2.2",
    advice="Pass signature and message apart to the library, or check the length of the signature first.",
    needs="signature",
)
def boundary(subject: SuiteSubject) -> None:
    verifier, signature = signed(subject)
    together, length = signature + MESSAGE, len(signature)
    for edge in {0, 1, 32, 63, 64, length - 64, length - 1, length + 1, length + 32, len(together)} - {length}:
        if edge >= 0:
            act = partial(verifier.verify, together[edge:], together[:edge])
            refused(act, f"signature and message, cut {edge - length} bytes from their boundary,", kinds=_BAD)


@SUITES.must(
    "E4-SIG-008",
    "A signature verifies under its own public key only, whatever bit another differs in.",
    source="format2.md section 2.5, step 9",
    advice="Use the whole public key, and check it where the verifier is made.",
    needs="signature",
)
def other_keys(subject: SuiteSubject) -> None:
    _, signature = signed(subject)
    own = subject.signature_public(subject.devices[0])
    others = [subject.signature_public(each) for each in subject.devices[1:]]
    bits = subject.sample(range(8 * len(own)), 2 * subject.verify_s, "public key flips")
    for public in (*others, *(flipped(own, bit) for bit in bits)):

        def act(public: bytes = public) -> None:
            subject.signature.verifier(public).verify(MESSAGE, signature)

        refused(act, "a signature under another public key", (AuthenticationFailed, InvalidInput))


@SUITES.must(
    "E4-SIG-009",
    "The signature of one message does not verify with another.",
    source="format2.md section 2.5, step 9",
    advice="Sign the message itself, and keep no state from one call to the next.",
    needs="signature",
)
def swapped(subject: SuiteSubject) -> None:
    messages = [b"", b"on", b"off", MESSAGE]
    signer = subject.signature.signer(subject.devices[0].private)
    verifier = subject.signature.verifier(subject.signature_public(subject.devices[0]))
    made = [signer.sign(message) for message in messages]
    for i, signature in enumerate(made):
        verifier.verify(messages[i], signature)
        for message in messages[:i] + messages[i + 1 :]:
            refused(partial(verifier.verify, message, signature), "the signature of another message", kinds=_BAD)


@SUITES.must(
    "E4-SIG-010",
    "Whatever is given for a signature or a public key, only errors of the project come of it.",
    source="format2.md section 9; e4core.suite.Verifier",
    advice="Turn what the library raises into AuthenticationFailed(kind='bad_signature') or InvalidInput(kind='bad_key').",
    needs="signature",
)
def rubbish(subject: SuiteSubject) -> None:
    random, part = subject.random("signature rubbish"), subject.signature
    verifier, _ = signed(subject)
    signatures = list(garbage(random, part.signature_len))
    for data in subject.sample(signatures, subject.verify_s, "signature rubbish"):
        refused(partial(verifier.verify, MESSAGE, data), f"{len(data)} bytes that mean nothing", kinds=_BAD)
    for data in garbage(random, part.public_len):
        typed(partial(part.verifier, data), f"verifier() of {len(data)} bytes")
        if len(data) != part.public_len:
            refused_key(partial(part.verifier, data), f"a public key of {len(data)} bytes")
    refused_key(partial(part.verifier, bytes(part.public_len)), "an all-zero public key")


@SUITES.must(
    "E4-SIG-011",
    "Signers and verifiers may be used by several threads at once.",
    source="e4core.suite",
    advice="Share no buffer and no context between calls, or guard them with a lock.",
    needs="signature",
)
def threads(subject: SuiteSubject) -> None:
    signer = subject.signature.signer(subject.devices[0].private)
    verifier, _ = signed(subject)

    def act(number: int) -> bool:
        message = bytes([number]) * 100
        verifier.verify(message, signer.sign(message))
        return True

    in_threads(subject, act, "a signer and its verifier")


@SUITES.must(
    "E4-SIG-012",
    "Signers and verifiers work in the child of a fork.",
    source="format2.md section 2.3",
    advice="Keep no thread, handle or session that a fork does not copy; open it again where the process id has changed.",
    needs="signature",
)
def forks(subject: SuiteSubject) -> None:
    subject.need("fork")
    signer = subject.signature.signer(subject.devices[0].private)
    verifier, signature = signed(subject)

    def act() -> bool:
        verifier.verify(MESSAGE, signature)
        verifier.verify(b"child", signer.sign(b"child"))
        return True

    in_child(act, "a signer and its verifier")
