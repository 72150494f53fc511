# SPDX-License-Identifier: Apache-2.0
"""Requirements of the AEAD that compare it with what is published, and with other code."""

from __future__ import annotations

from e4conformance.requirement import NotExercised, require
from e4conformance.suites.aead import Sealed, sealing
from e4conformance.suites.algorithms import Answer, Reference
from e4conformance.suites.subject import SIZES, SUITES, SuiteSubject
from e4core.suite import Aead


@SUITES.must(
    "E4-AEAD-002",
    "The published test cases of the algorithm come out byte for byte, and open.",
    source="SP 800-38D; RFC 5297; RFC 8439; format2.md section 1.1",
    advice="Compare with the named test case: look at order of tag and ciphertext, at the counter, at the associated data.",
    needs="known-aead",
)
def known_answers(subject: SuiteSubject) -> None:
    reference, aead = _reference(subject), subject.suite.aead
    made = [_made(subject, size) for size in (0, 1, 16, 40)]
    for answer in (*reference.answers, *made):
        key = aead.key(answer.key)
        sealed = key.seal(answer.nonce, answer.plaintext, answer.associated_data)
        require(sealed == answer.sealed, f"{answer.source} gives {sealed.hex()}, not {answer.sealed.hex()}")
        opened = key.open(answer.nonce, answer.sealed, answer.associated_data)
        require(opened == answer.plaintext, f"{answer.source} opens as {opened.hex()}")


def _made(subject: SuiteSubject, size: int) -> Answer:
    """A fixed case, computed by the kit."""
    reference = _reference(subject)
    key, nonce = bytes(range(3, 3 + reference.key_len)), bytes(range(7, 7 + reference.nonce_len))
    plaintext, ad = bytes(range(size)), bytes(range(50, 91))
    source = f"{reference.name}, {size} bytes of plaintext, 41 of associated data"
    return Answer(source, key, nonce, plaintext, ad, reference.seal(key, nonce, plaintext, ad))


def _reference(subject: SuiteSubject) -> Reference:
    if subject.reference is None:
        raise NotExercised("the AEAD is none of the algorithms that the kit computes itself")
    return subject.reference


@SUITES.must(
    "E4-AEAD-003",
    "At every size it gives what a second implementation of the same algorithm gives.",
    source="SP 800-38D; RFC 5297; RFC 8439",
    advice="Look at the sizes at which it differs: ends of blocks, long inputs, empty ones.",
    needs="known-aead",
)
def agrees_with_reference(subject: SuiteSubject) -> None:
    reference, random = _reference(subject), subject.random("reference")
    for size in (*SIZES, *(random.randrange(2000) for _ in range(20))):
        one = sealing(subject, random, size, random.choice((0, 1, 8, 16, 24, 41, 300)))
        due = reference.seal(one.raw, one.nonce, one.plaintext, one.ad)
        require(
            one.sealed == due, f"differs from {reference.name} at {size} bytes and {len(one.ad)} of associated data"
        )


@SUITES.must(
    "E4-AEAD-017",
    "Where another installed suite has the same AEAD, both give the same bytes and open each other's.",
    source="RFC 5116 section 2.1; format2.md section 1.1",
    advice="Ask at which input they differ: one of the two is wrong, and no reference of the kit says which.",
    needs="same-aead",
)
def differential(subject: SuiteSubject) -> None:
    if not subject.same_aead:
        raise NotExercised("no other suite that is installed has this AEAD")
    random = subject.random("differential")
    for other in subject.same_aead:
        for size in SIZES:
            one = sealing(subject, random, size, random.choice((0, 8, 41)))
            if not _agrees(other.aead, one):
                what = f"{other.name} seals or opens {size} bytes otherwise: one of the two is wrong"
                require(_is_right(subject, one), what)


def _agrees(other: Aead, one: Sealed) -> bool:
    try:
        key = other.key(one.raw)
        same = key.seal(one.nonce, one.plaintext, one.ad) == one.sealed
        return same and key.open(one.nonce, one.sealed, one.ad) == one.plaintext
    except KeyboardInterrupt:
        raise
    except BaseException:  # the code of somebody else, who is not under examination
        return False


def _is_right(subject: SuiteSubject, one: Sealed) -> bool:
    """Whether it is the other that is wrong, as far as the kit knows the algorithm."""
    known = subject.reference
    return known is not None and known.seal(one.raw, one.nonce, one.plaintext, one.ad) == one.sealed
