# SPDX-License-Identifier: Apache-2.0
"""Requirements of secrecy: no value, error, log or pickle shows a secret (`e4core.keys.Secret`)."""

from __future__ import annotations

import pickle
import pprint
import traceback
from collections.abc import Callable, Collection, Iterator
from functools import partial

from e4conformance.requirement import NotExercised, Unmet, require
from e4conformance.spellings import said, spellings
from e4conformance.suites.channels import HEADER, INFO, ends
from e4conformance.suites.curves import APPROVED_KEMS, APPROVED_SIGNATURES, is_p256_point, is_x25519
from e4conformance.suites.entities import parts
from e4conformance.suites.probing import flipped
from e4conformance.suites.signatures import MESSAGE, signed
from e4conformance.suites.subject import SUITES, SuiteSubject
from e4core.errors import E4Error
from e4core.keys import Secret
from e4core.suite import TakesHandles

_PART = 9
"""Bytes of a secret that must not be seen together; fewer occur by chance."""


def spelt(subject: SuiteSubject) -> set[str]:
    """All spellings of pieces of what is secret in this run: stored private values, without what is public of them, and a key."""
    suite, found = subject.suite, [_raw(subject)]
    for entity, part in ((subject.devices[0], suite.device), (subject.c2s[0], suite.c2)):
        stored, public = bytes(entity.stored), b"" if part.public_is_secret else bytes(entity.public)
        for start in {0, len(stored) // 2, max(0, len(stored) - _PART), len(stored) // 3}:
            piece = stored[start : start + _PART]
            if len(piece) == _PART and piece not in public and any(piece):
                found.append(piece)
    pieces = {piece for secret in found for piece in (secret[:_PART], secret[-_PART:])}
    return {form for piece in pieces for form in spellings(piece)}


def _raw(subject: SuiteSubject) -> bytes:
    return subject.random("secret").randbytes(subject.suite.aead.key_len)


def _shown(text: str, hidden: Collection[str]) -> bool:
    return any(form in text for form in hidden)


def values(subject: SuiteSubject) -> dict[str, object]:
    """Everything of the suite that holds a secret."""
    suite, device, c2 = subject.suite, subject.devices[0], subject.c2s[0]
    at_device, at_c2 = ends(subject)
    held: dict[str, object] = {
        "a fresh private value of a device": device.stored,
        "the private key of a device": device.private,
        "a key of the AEAD": suite.aead.key(_raw(subject)),
        "the device's end of a channel": at_device,
        "the C2's end of a channel": at_c2,
    }
    if suite.c2.private_len:
        held |= {"a fresh private value of the C2": c2.stored, "the private key of the C2": c2.private}
    if suite.device.public_is_secret:
        held["the secret public value of a device"] = suite.device.public(device.private)
    if suite.format == 1:
        held["a command key"] = at_device.command_key
    if suite.signature is not None:
        held["a signer"] = subject.signature.signer(device.private)
    return held


def _texts(value: object) -> Iterator[tuple[str, str]]:
    """What could show it, and how that looks."""
    for text in (repr(value), str(value), ascii(value), f"{value}", f"{value!r}", "%s %r" % (value, value)):  # noqa: UP031
        yield "its text", text
    for text in (repr([value]), repr({"key": value}), pprint.pformat(value)):
        yield "its text", text
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    held = {name: getattr(value, name, None) for name in slots} | getattr(value, "__dict__", {})
    for name, each in held.items():
        yield f"its attribute {name}", repr(each)


@SUITES.must(
    "E4-SEC-101",
    "No value shows a secret as text, nor does what it holds.",
    source="e4core.keys.Secret",
    advice="Keep secret bytes as e4core.keys.Secret, in attributes too, and leave them out of __repr__.",
)
def texts(subject: SuiteSubject) -> None:
    hidden = spelt(subject)
    for name, value in values(subject).items():
        for what, text in _texts(value):
            require(not _shown(text, hidden), f"{name}, a {type(value).__name__}: {what} shows the secret")


@SUITES.must(
    "E4-SEC-102",
    "No value lets itself be pickled with its secret.",
    source="e4core.keys.Secret",
    advice="Raise TypeError in __reduce__, or hold the bytes as e4core.keys.Secret, which does.",
)
def pickles(subject: SuiteSubject) -> None:
    hidden = spelt(subject)
    for name, value in values(subject).items():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            pickled = _pickled(value, protocol)
            text = pickled.decode("latin-1")
            require(not _shown(text, hidden), f"{name}, a {type(value).__name__}, is pickled with its secret")


def _pickled(value: object, protocol: int) -> bytes:
    """Nothing where it refuses, in whatever way."""
    try:
        return pickle.dumps(value, protocol)
    except Exception:  # foreign code: each way to refuse is good
        return b""


def _faults(subject: SuiteSubject) -> dict[str, Callable[[], object]]:
    """What goes wrong with a secret in hand."""
    suite, device, c2 = subject.suite, subject.devices[0], subject.c2s[0]
    raw = Secret(_raw(subject))
    key = suite.aead.key(raw)
    at_device, at_c2 = ends(subject)
    body = at_c2.seal(INFO, HEADER, b"plain")
    faults: dict[str, Callable[[], object]] = {
        "a key that is too long": lambda: suite.aead.key(Secret(raw + b"\1")),
        "a key that is too short": lambda: suite.aead.key(Secret(raw[:-1])),
        "an opening that fails": lambda: key.open(bytes(suite.aead.nonce_len), bytes(40), b""),
        "a container that fails": lambda: at_device.open(INFO, HEADER, flipped(body, 3)),
        "a public value that is too long": lambda: suite.device.check(Secret(device.public + b"\1")),
        "a channel to nobody": lambda: suite.control.at_c2(c2.private, Secret(device.public[:-1])),
    }
    for name, part in parts(subject).items():
        stored = device.stored if part is suite.device else c2.stored
        for length in (part.private_len - 1, part.private_len + 1, 2 * part.private_len):
            wrong = Secret((stored + stored)[:length])
            faults[f"{name}: a private value of {length} bytes"] = partial(part.load, wrong)
    return faults


@SUITES.must(
    "E4-SEC-103",
    "No error shows a secret: neither its text nor what a traceback has of it and of its causes.",
    source="e4core.errors; e4core.keys.Secret",
    advice="Say lengths and names in messages, never values; raise `from None` where the cause has them.",
)
def errors(subject: SuiteSubject) -> None:
    hidden = spelt(subject)
    for name, act in _faults(subject).items():
        try:
            act()
        except Exception as error:  # whatever it is: here it only must not talk
            require(not _shown(_told(error), hidden), f"{name} is told with the secret, by {type(error).__name__}")
        else:
            raise Unmet(f"{name} is no error")


def _told(error: BaseException) -> str:
    told, chain = list[str](), [error]
    for each in chain:
        told += [*traceback.format_exception(each), repr(each), repr(each.args), repr(vars(each))]
        chain += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
    return "\n".join(told)


@SUITES.must(
    "E4-SEC-104",
    "Nothing is written while the suite works: no log at any level shows a secret, nor do the standard streams.",
    source="e4core.errors",
    advice="Take out prints and debug logs, or log names and lengths.",
)
def logs(subject: SuiteSubject) -> None:
    with said() as heard:
        suite, device = subject.suite, subject.devices[0]
        suite.device.public(suite.device.load(Secret(device.stored)))
        key = suite.aead.key(Secret(_raw(subject)))
        nonce = bytes(suite.aead.nonce_len)
        key.open(nonce, key.seal(nonce, b"plain", b"ad"), b"ad")
        at_device, at_c2 = ends(subject)
        at_c2.open(INFO, HEADER, at_device.seal(INFO, HEADER, b"report"))
        if suite.signature is not None:
            verifier, signature = signed(subject)
            verifier.verify(MESSAGE, signature)
        for act in _faults(subject).values():
            try:
                act()
            except E4Error:
                continue
    require(not _shown(heard.getvalue(), spelt(subject)), "what is logged or printed shows a secret")


@SUITES.must(
    "E4-SEC-105",
    "A suite that says it is approved is made of algorithms that FIPS 140-3 approves, as far as the kit knows them.",
    source="SP 800-140C; format2.md section 1.1",
    advice="Take off `approved`, or take AES-GCM, and P-256 or ML-KEM with ECDSA, EdDSA, ML-DSA or SLH-DSA.",
    needs="approved",
)
def approved(subject: SuiteSubject) -> None:
    subject.need("approved")
    suite, reference = subject.suite, subject.reference
    if reference is None:
        raise NotExercised("the AEAD is none of the algorithms that the kit knows")
    require(reference.approved, f"{reference.name} is none that is approved")
    if suite.is_symmetric:
        return
    require(not is_x25519(suite.c2), "X25519 is none that is approved")
    lengths = (subject.signature.public_len, subject.signature.signature_len)
    if subject.known_signature is None and lengths not in APPROVED_SIGNATURES:
        raise NotExercised("the signature is none of the schemes that the kit knows")
    for name, entity in (("device", subject.devices[0]), ("C2", subject.c2s[0])):
        public = entity.public[subject.signature.public_len :]
        if not is_p256_point(public) and len(public) not in APPROVED_KEMS:
            raise NotExercised(f"the key agreement of the {name} is none that the kit knows")


@SUITES.must(
    "E4-SEC-106",
    "Keys in a token are named by their use, and none is touched before it is used.",
    source="e4core.suite.TakesHandles",
    advice="Give handle_algorithms a name for each use, and only keep the handles in in_token().",
    needs="tokens",
)
def tokens(subject: SuiteSubject) -> None:
    takers = [part for part in (subject.suite.device, subject.suite.c2) if isinstance(part, TakesHandles)]
    if not takers:
        raise NotExercised("no part takes keys of a token")
    for part in takers:
        algorithms = part.handle_algorithms
        require(bool(algorithms) and all(algorithms.values()), "handle_algorithms names no algorithm")
        handles = {use: Handle(use) for use in algorithms}
        private = part.in_token(handles)
        require(not any(handle.touched for handle in handles.values()), "in_token() touches a key")
        part.public(private)
        require(all(handle.touched == ["public"] for handle in handles.values()), "public() asks other keys, or more")


class Handle:
    """A key pair of a token that notes what it is asked for; its public value has the length of a point that nobody uses."""

    def __init__(self, use: str) -> None:
        self.use = use
        self.touched: list[str] = []

    def public(self) -> bytes:
        self.touched.append("public")
        return b"\4" + bytes(64)

    def agree(self, peer_public: bytes, /) -> Secret:
        self.touched.append("agree")
        return Secret(b"\7" * 32)

    def sign(self, message: bytes, /) -> bytes:
        self.touched.append("sign")
        return b"\7" * 64

    def create(self) -> None:
        self.touched.append("create")

    def close(self) -> None:
        self.touched.append("close")
