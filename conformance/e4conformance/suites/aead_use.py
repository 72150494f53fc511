# SPDX-License-Identifier: Apache-2.0
"""Requirements of the AEAD while it is used: after refusals, beside other keys, by threads, in the child of a fork."""

from __future__ import annotations

from functools import partial

from e4conformance.requirement import require
from e4conformance.suites.aead import sealing, some, told
from e4conformance.suites.probing import flipped
from e4conformance.suites.running import in_child, in_threads
from e4conformance.suites.subject import SUITES, SuiteSubject


@SUITES.must(
    "E4-AEAD-014",
    "After refusals, and beside other keys, a key goes on as before.",
    source="e4core.suite.AeadKey",
    advice="Keep no state between calls, nor anything by a key's id: make a cipher object of a library for each call, or reset it.",
)
def independent(subject: SuiteSubject) -> None:
    samples = list(some(subject, "independent"))
    for _ in range(3):
        for one in samples:
            for spoilt in (flipped(one.sealed, 3), one.sealed[:-1], b""):
                told(partial(one.open, spoilt))
            require(one.open() == one.plaintext, "a key does not open any more what it has sealed")
            require(one.key.seal(one.nonce, one.plaintext, one.ad) == one.sealed, "a key seals otherwise than before")
    for one in samples:
        key = subject.suite.aead.key(one.raw)
        again = key.seal(one.nonce, one.plaintext, one.ad)
        del key  # the next one may get its place in memory
        require(again == one.sealed, "a key that was made after another had gone seals as that one did")


@SUITES.must(
    "E4-AEAD-015",
    "One key may be used by several threads at once.",
    source="e4core.suite; format2.md section 2.3",
    advice="Share no buffer and no cipher object between calls, or guard them with a lock.",
)
def threads(subject: SuiteSubject) -> None:
    random = subject.random("threads")
    base = sealing(subject, random, 64, 8)
    # each its own nonce, plaintext and associated data: whichever of them is kept beside a call, another takes its place
    given = [
        (random.randbytes(len(base.nonce)), random.randbytes(61 + 16 * number), random.randbytes(8 + number))
        for number in range(4)
    ]
    sealed = [base.key.seal(*each) for each in given]

    def act(number: int) -> bool:
        nonce, plaintext, ad = given[number]
        made = base.key.seal(nonce, plaintext, ad)
        return made == sealed[number] and base.key.open(nonce, made, ad) == plaintext

    in_threads(subject, act, "a key of the AEAD")


@SUITES.must(
    "E4-AEAD-016",
    "A key works in the child of a fork.",
    source="format2.md section 2.3",
    advice="Keep no thread, handle or session that a fork does not copy; open it again where the process id has changed.",
    needs="fork",
)
def forks(subject: SuiteSubject) -> None:
    subject.need("fork")
    one = sealing(subject, subject.random("forks"), 64, 8)
    in_child(
        lambda: one.open() == one.plaintext and one.key.seal(one.nonce, one.plaintext, one.ad) == one.sealed,
        "a key of the AEAD",
    )
