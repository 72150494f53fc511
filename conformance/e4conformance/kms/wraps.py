# SPDX-License-Identifier: Apache-2.0
"""Wraps come back, and nothing opens that is not exactly what was made."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import replace

from e4conformance.kms.refused import refused
from e4conformance.kms.subject import KMS, PROTOCOL, KmsSubject, spoiled
from e4conformance.requirement import Unmet, require
from e4core.errors import KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.kms import HasShares, Wrapped

_WRAP, _UNWRAP, _WRAPPED = f"{PROTOCOL}Kms.wrap", f"{PROTOCOL}Kms.unwrap", f"{PROTOCOL}Wrapped"
_AUTHENTICATE = (
    "authenticate key_id, mechanism, context and every byte of the blob, and raise Tampered where that fails"
)
_CONTEXTS = (b"\0", b"x", bytes(range(256)), b"\xff" * 300, b"{}", "kontext/é".encode())


@KMS.must(
    "E4-WRAP-001",
    "Every 32-byte secret comes back from its wrap as it was",
    source=_WRAP,
    advice="do not strip, decode or pad the secret: it is any 32 bytes",
)
def secrets_come_back(subject: KmsSubject) -> None:
    sample = subject.sample()
    shapes = (bytes(32), b"\xff" * 32, b" " * 32, b"\n" * 31 + b"\0", b"\0" * 31 + b"\n", b"A" * 31 + b"=")
    for secret in (*map(Secret, shapes), *(sample.secret() for _ in range(4))):
        context = sample.context()
        opened = subject.kms.unwrap(subject.kms.wrap(secret, context), context)
        require(opened == secret, "a secret came back changed")
        require(
            isinstance(opened, Secret), f"unwrap gave {type(opened).__name__}, which shows itself; it gives a Secret"
        )


@KMS.must(
    "E4-WRAP-002",
    "A wrap names its key and its mechanism in printable text, and its blob is bytes",
    source=_WRAPPED,
    advice="fill key_id and mechanism with what an operator can read; both are stored as text",
)
def wraps_name_key_and_mechanism(subject: KmsSubject) -> None:
    sample = subject.sample()
    wrapped = subject.kms.wrap(sample.secret(), sample.context())
    for name in ("key_id", "mechanism"):
        text = getattr(wrapped, name)
        require(isinstance(text, str) and text.isprintable() and bool(text), f"{name} is {text!r}")
    require(type(wrapped.blob) is bytes and bool(wrapped.blob), f"the blob is {type(wrapped.blob).__name__}, or empty")


@KMS.must(
    "E4-WRAP-003",
    "The secret does not stand in its wrap",
    source=_WRAPPED,
    advice="encrypt it: who reads the database must learn nothing",
)
def wraps_hide_the_secret(subject: KmsSubject) -> None:
    sample = subject.sample()
    secret = sample.secret()
    wrapped = subject.kms.wrap(secret, sample.context())
    whole = wrapped.blob + wrapped.key_id.encode() + wrapped.mechanism.encode()
    for form in (bytes(secret), bytes(secret)[::-1], secret.hex().encode(), base64.b64encode(secret)[:-2]):
        require(form not in whole, "the secret stands in its wrap")


@KMS.must(
    "E4-WRAP-004",
    "Another handle of the same URI opens what this one wrapped",
    source=_UNWRAP,
    advice="keep nothing in the handle that unwrapping needs",
)
def another_handle_opens(subject: KmsSubject) -> None:
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    wrapped = subject.kms.wrap(secret, context)
    with subject.opened() as other:
        require(other.unwrap(wrapped, context) == secret, "another handle gave another secret")


@KMS.must(
    "E4-WRAP-005",
    "No two wraps of a secret are alike",
    source="NIST SP 800-38D section 8; " + _WRAP,
    advice="take a new random nonce for each wrap; if the mechanism is deterministic, declare that the driver lacks 'randomised'",
    needs="randomised",
)
def wraps_differ(subject: KmsSubject) -> None:
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    blobs = [subject.kms.wrap(secret, context).blob for _ in range(8)]
    with subject.opened() as other:
        blobs.append(other.wrap(secret, context).blob)
    require(len(set(blobs)) == len(blobs), "two wraps of one secret are alike")
    # a repeated nonce shows where the plaintexts are equal: the whole head of the blob is
    heads = {blob[: len(blob) // 2] for blob in blobs} if len(set(map(len, blobs))) == 1 else set(blobs)
    require(len(heads) > 1, "two wraps of one secret begin alike for half of their length")


@KMS.must(
    "E4-WRAP-006",
    "A context may be any bytes up to 300",
    source=_WRAP,
    advice="bind the bytes as they are, or encoded; do not take them for text",
)
def any_context_is_bound(subject: KmsSubject) -> None:
    secret = subject.sample().secret()
    for context in _CONTEXTS:
        opened = subject.kms.unwrap(subject.kms.wrap(secret, context), context)
        require(opened == secret, f"under a context of {len(context)} bytes another secret came back")


# Nothing changed opens


@KMS.must(
    "E4-WRAP-010",
    "A wrap with a flipped bit opens nowhere: Tampered",
    source=_UNWRAP,
    advice=_AUTHENTICATE,
)
def flipped_bits_are_an_alarm(subject: KmsSubject) -> str:
    made = _Made(subject)
    blob = made.wrapped.blob
    first = [8 * place + made.random.randrange(8) for place in range(len(blob))]
    made.all_refused([(f"bit {bit} flipped", spoiled(blob, bit)) for bit in first])
    others = sorted(set(range(8 * len(blob))) - set(first))
    made.random.shuffle(others)
    tried = len(first) + made.refused_in_time([(f"bit {bit} flipped", spoiled(blob, bit)) for bit in others])
    return "" if tried == 8 * len(blob) else f"{tried} of {8 * len(blob)} bits were flipped: one of each byte, and more"


@KMS.must("E4-WRAP-011", "A truncated wrap opens nowhere: Tampered", source=_UNWRAP, advice=_AUTHENTICATE)
def truncated_wraps_are_an_alarm(subject: KmsSubject) -> None:
    made = _Made(subject)
    blob = made.wrapped.blob
    made.all_refused([(f"cut to {end} of {len(blob)} bytes", blob[:end]) for end in range(len(blob))])


@KMS.must(
    "E4-WRAP-012",
    "A wrap with something before or after it opens nowhere: Tampered",
    source=_UNWRAP,
    advice=_AUTHENTICATE,
)
def extended_wraps_are_an_alarm(subject: KmsSubject) -> None:
    made = _Made(subject)
    blob = made.wrapped.blob
    made.all_refused([(f"extended by {more!r}", blob + more) for more in (b"\0", b"\n", b" ", b"=", b"\xff", blob)])
    made.all_refused([(f"preceded by {more!r}", more + blob) for more in (b"\0", b"\n", b" ")])


@KMS.must("E4-WRAP-013", "Bytes that no wrap is made of open nowhere: Tampered", source=_UNWRAP, advice=_AUTHENTICATE)
def garbage_is_an_alarm(subject: KmsSubject) -> None:
    made = _Made(subject)
    lengths = [1, 12, 16, 32, 60, len(made.wrapped.blob), 4096]
    made.all_refused([(f"{length} random bytes", made.random.randbytes(length)) for length in lengths])
    made.all_refused([(f"{length} zero bytes", bytes(length)) for length in lengths])


@KMS.must(
    "E4-WRAP-014",
    "Two wraps whose places were exchanged open nowhere: Tampered",
    source=_WRAP,
    advice="bind the context as associated data: who writes to the database must not move a secret to another purpose",
)
def swapped_wraps_are_an_alarm(subject: KmsSubject) -> None:
    sample, kms = subject.sample(), subject.kms
    here, there = (sample.context() for _ in range(2))
    made = {context: kms.wrap(sample.secret(), context) for context in (here, there)}
    for context, other in ((here, there), (there, here)):
        refused("a wrap in the place of another", lambda c=context, o=other: kms.unwrap(made[o], c), Tampered)  # type: ignore[misc]


@KMS.must(
    "E4-WRAP-015",
    "A wrap opens under no other context: Tampered",
    source=_WRAP,
    advice="bind the context as associated data, or derive the key with it; compare nothing yourself",
)
def other_contexts_are_an_alarm(subject: KmsSubject) -> None:
    made = _Made(subject)
    right = made.context
    others = {
        "shortened": right[:-1],
        "extended": right + b"\0",
        "of another case": right.swapcase(),
        "begun later": right[1:],
        "repeated": right * 2,
        **{f"bit {bit} flipped": spoiled(right, bit) for bit in made.random.sample(range(8 * len(right)), 8)},
    }
    for how, context in others.items():
        refused(f"a context {how}", lambda c=context: subject.kms.unwrap(made.wrapped, c), Tampered)  # type: ignore[misc]


@KMS.must(
    "E4-WRAP-016",
    "A wrap does not open without its context",
    source=_WRAP,
    advice="an empty context is one like any other, or refuse it with KmsError; it never stands for all",
)
def an_empty_context_opens_nothing(subject: KmsSubject) -> None:
    made = _Made(subject)
    error = refused("an empty context", lambda: subject.kms.unwrap(made.wrapped, b""), KmsError)
    require(not isinstance(error, KmsUnavailable), "KmsUnavailable is for what may work later, and this never will")


@KMS.must(
    "E4-WRAP-017",
    "A wrap with another key_id does not open",
    source=_WRAPPED,
    advice="check or authenticate key_id: who writes to the database must not choose the key (KeyNotFound or Tampered)",
)
def other_key_ids_open_nothing(subject: KmsSubject) -> None:
    made = _Made(subject)
    right = made.wrapped.key_id
    for text in ("", "\0", "é", right[:-1], right + "0", made.wrapped.mechanism):
        made.refused_as(f"key_id {text!r}", replace(made.wrapped, key_id=text))


@KMS.must(
    "E4-WRAP-018",
    "A wrap with another mechanism does not open",
    source=_WRAPPED,
    advice="check or authenticate mechanism, or an older and weaker one can be named for a wrap",
)
def other_mechanisms_open_nothing(subject: KmsSubject) -> None:
    made = _Made(subject)
    right = made.wrapped.mechanism
    for text in ("", "\0", "é", right[:-1], right + "0", "none", made.wrapped.key_id):
        made.refused_as(f"mechanism {text!r}", replace(made.wrapped, mechanism=text))


@KMS.must(
    "E4-WRAP-019",
    "What was wrapped under another key of the same back end does not open",
    source=_UNWRAP,
    advice="open with the key that the URI names and with no other, whatever the wrap says (KeyNotFound or Tampered)",
    needs="second-key",
)
def wraps_of_another_key_open_nothing(subject: KmsSubject) -> None:
    made = _Made(subject)
    with subject.opened(subject.hook(subject.hooks.second_uri, "second_uri")()) as other:
        foreign = other.wrap(made.secret, made.context)
    made.refused_as("a wrap of another key", foreign)
    made.refused_as("a wrap of another key, said to be of this one", replace(foreign, key_id=made.wrapped.key_id))


class _Made:
    """A wrap, to be spoiled."""

    def __init__(self, subject: KmsSubject) -> None:
        sample = subject.sample()
        self.random = sample.random
        self.secret, self.context = sample.secret(), sample.context()
        self.wrapped = subject.kms.wrap(self.secret, self.context)
        # a driver that keeps what it opened must not give that for what looks like it
        require(subject.kms.unwrap(self.wrapped, self.context) == self.secret, "another secret came back")
        self._subject = subject

    def all_refused(self, blobs: list[tuple[str, bytes]]) -> None:
        """However slow the service is. Raises: Unmet."""
        for how, blob in blobs:
            self._alarms(how, blob)

    def refused_in_time(self, blobs: list[tuple[str, bytes]]) -> int:
        """As many of ``blobs`` as the time allows, the first first; returns how many. Raises: Unmet."""
        begun = time.perf_counter()
        for number, (how, blob) in enumerate(blobs):
            if time.perf_counter() - begun > self._subject.budget_s:
                return number
            self._alarms(how, blob)
        return len(blobs)

    def refused_as(self, what: str, wrapped: Wrapped) -> None:
        """By an error that does not promise to go away. Raises: Unmet."""
        error = refused(what, self._unwrap(wrapped), KmsError)
        require(not isinstance(error, KmsUnavailable), f"{what}: KmsUnavailable is for what may work later")

    def _alarms(self, how: str, blob: bytes) -> None:
        unwrap = self._unwrap(replace(self.wrapped, blob=blob))
        try:
            refused(how, unwrap, Tampered)
        except Unmet:
            # of several shares one that was changed need not be used
            if not isinstance(self._subject.kms, HasShares) or unwrap() != self.secret:
                raise

    def _unwrap(self, wrapped: Wrapped) -> Callable[[], Secret]:
        return lambda: self._subject.kms.unwrap(wrapped, self.context)
