# SPDX-License-Identifier: Apache-2.0
"""Every installed suite: what a caller pays for protect, unprotect and the sealing of a command, against the bare primitives.

The floor calls, over the same distinct messages, each primitive that one message needs, with keys kept ready: the AEAD, and the
signature if there is one; for a command one HKDF, one KEM and one signature. Of liboqs it verifies with the bare call, without what
the part checks besides. It slices what it opens as the format needs, builds no header, and checks, remembers and looks up nothing.
``fast.*.speedup.*``: how many times faster the whole path of a client is with ``fast-sk`` than with ``sk``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl import bindings
from timing import Figures, best, compare, seconds, typical

from e4backends.liboqs import NativeSignature
from e4core.command import SetTopicKey, encode
from e4core.command2 import SetTopicKey as SetTopicKey2
from e4core.command2 import encode as encode2
from e4core.control2 import seal_command
from e4core.errors import PluginError
from e4core.formats import AnyClient, AnyState, new_client, new_state
from e4core.keys import ClientId, FullTopicHash, Secret, TopicHash, TopicKey
from e4core.plugins import SUITES, load_suite, names
from e4core.suite import Channel, Suite

TOPIC = "sensors/room-1/temperature"
NOW = 1_800_000_000.5
SIZES = (64, 1024, 65536)
RUN_S = 0.03
"""How long one run should take; a run has 3 to 2,000 messages."""
ROUNDS = 21
"""So short a run is disturbed often."""
HEADER_LEN = {1: 8, 2: 41}

Work = Callable[[list[bytes]], None]


@dataclass(frozen=True)
class Member:
    """One device that holds a topic key and believes itself, its C2, and all their private values."""

    suite: Suite
    state: AnyState
    private: Secret
    c2: Channel

    def client(self) -> AnyClient:
        return new_client(self.suite, self.state, lambda _state: None)


def figures() -> Figures:
    measured: Figures = {}
    members: dict[str, Member] = {}
    for name in names(SUITES):
        try:
            members[name] = _member(load_suite(name))
        except PluginError as error:
            print(f"# left out: {error}")
            continue
        measured.update(_against_floor(members[name]))
    if "fast-sk" in members:
        measured.update(_against_each_other(members["fast-sk"], members["sk"]))
    return measured


def _against_floor(member: Member) -> Figures:
    measured: Figures = {}
    # ML-DSA signs by trying until it fits
    sum_up = best if member.suite.signature is None else typical
    for size in SIZES:
        payloads, protected = _messages(member, size)
        works = {
            "protect": (lambda: _each(_protector(member.client())), _floor_protect(member), payloads),
            "unprotect": (lambda: _each(_unprotector(member.client())), _floor_unprotect(member, payloads), protected),
            "command": (lambda: _each(_sealer(member)), _floor_command(member), payloads),
        }
        for operation, (ours, floor, messages) in works.items():
            name = f"{member.suite.name}.{operation}.{size}"
            measured[name] = compare(_timed(ours, messages), _timed(_ready(floor), messages), ROUNDS, sum_up)
    return measured


def _against_each_other(fast: Member, usual: Member) -> Figures:
    measured: Figures = {}
    for size in SIZES:
        (fast_payloads, fast_protected), (payloads, protected) = _messages(fast, size), _messages(usual, size)
        protect = (
            _timed(lambda: _each(_protector(fast.client())), fast_payloads),
            _timed(lambda: _each(_protector(usual.client())), payloads),
        )
        unprotect = (
            _timed(lambda: _each(_unprotector(fast.client())), fast_protected),
            _timed(lambda: _each(_unprotector(usual.client())), protected),
        )
        for operation, pair in {"protect": protect, "unprotect": unprotect}.items():
            times = compare(*pair, ROUNDS)
            times["ratio"] = round(times["floor"] / times["ours"], 3)
            measured[f"fast.{operation}.speedup.{size}"] = times
    return measured


def _messages(member: Member, size: int) -> tuple[list[bytes], list[bytes]]:
    """Payloads, and what becomes of them."""
    payloads = [os.urandom(size) for _ in range(_count(member, size))]
    return payloads, [*map(_protector(member.client()), payloads)]


def _ready(work: Work) -> Callable[[], Work]:
    return lambda: work


def _timed(prepare: Callable[[], Work], messages: list[bytes]) -> Callable[[], float]:
    """Seconds a message; what ``prepare`` does is not measured."""

    def run() -> float:
        work = prepare()
        return seconds(lambda: work(messages)) / len(messages)

    return run


def _each(call: Callable[[bytes], object]) -> Work:
    def work(messages: list[bytes]) -> None:
        for message in messages:
            call(message)

    return work


def _count(member: Member, size: int) -> int:
    protect = _protector(member.client())
    protect(bytes(size))
    begun = time.perf_counter()
    protect(os.urandom(size))
    return max(3, min(2_000, int(RUN_S / (time.perf_counter() - begun))))


def _protector(client: AnyClient) -> Callable[[bytes], bytes]:
    protect = client.protect
    return lambda payload: protect(payload, TOPIC, NOW)


def _unprotector(client: AnyClient) -> Callable[[bytes], object]:
    unprotect = client.unprotect
    return lambda data: unprotect(data, TOPIC, NOW)


# ----------------------------------------------------------------------------------------------------- members


def _member(suite: Suite) -> Member:
    identity = ClientId(suite.derive_id("bench"))
    private, c2_private = Secret(suite.device.generate()), suite.c2.load(suite.c2.generate())
    public = suite.device.public(suite.device.load(private))
    channel = suite.control.at_c2(c2_private, public)
    states: list[AnyState] = []
    client = new_client(suite, new_state(suite, identity, private, suite.c2.public(c2_private)), states.append)
    for number, command in enumerate(_commands(suite, identity, public)):
        client.command(_sealed(suite, channel, identity, command, number), NOW)
    return Member(suite, states[-1], private, channel)


def _commands(suite: Suite, identity: ClientId, public: bytes) -> Iterator[Any]:
    """A topic key, and where there are signatures the device's own public key."""
    from e4core import command, command2

    key, signs = TopicKey(os.urandom(32)), suite.signature is not None
    if suite.format == 1:
        yield SetTopicKey(key, TopicHash(suite.derive_id(TOPIC)))
        if signs:
            yield command.SetPubKey(public, identity)
    else:
        yield SetTopicKey2(FullTopicHash(suite.hash.digest(TOPIC.encode())), int(NOW), key)
        if signs and suite.signature:
            yield command2.SetPubKey(identity, public[: suite.signature.public_len])


def _sealed(suite: Suite, channel: Channel, identity: ClientId, command: Any, number: int) -> bytes:
    if suite.format == 1:
        header = (int(NOW) - 9 + number).to_bytes(8, "little")
        return header + channel.command_key.seal(b"", encode(command), header)
    plain = encode2([command], int(NOW))
    return seal_command(suite, channel, identity, int(NOW * 1e6) + number, plain, os.urandom(16))


def _sealer(member: Member) -> Callable[[bytes], object]:
    """What the C2 does with the plaintext of a command."""
    suite, channel, identity = member.suite, member.c2, member.state.client_id
    if suite.format == 1:
        header = int(NOW).to_bytes(8, "little")
        seal = channel.command_key.seal
        return lambda plain: header + seal(b"", plain, header)
    return lambda plain: seal_command(suite, channel, identity, int(NOW), plain, os.urandom(16))


# ------------------------------------------------------------------------------------------------------ floors


def _floor_protect(member: Member) -> Work:
    suite = member.suite
    seal, _ = _aead(suite)
    nonce, header = bytes(suite.aead.nonce_len), bytes(HEADER_LEN[suite.format])
    if suite.signature is None:
        return _each(lambda payload: seal(nonce, payload, header))
    sign, _ = _signature(member)
    return _each(lambda payload: sign(header + seal(nonce, payload, header)))


def _floor_unprotect(member: Member, payloads: list[bytes]) -> Work:
    """Over messages of the same lengths, which it has sealed itself beforehand."""
    suite = member.suite
    seal, open_ = _aead(suite)
    nonce, start = bytes(suite.aead.nonce_len), HEADER_LEN[suite.format]
    header = bytes(start)
    messages = [header + seal(nonce, payload, header) for payload in payloads]
    if suite.signature is None:
        opened = _each(lambda data: open_(nonce, data[start:], data[:start]))
        return lambda _messages: opened(messages)
    sign, verify = _signature(member)
    signed = [(message, sign(message)) for message in messages]

    def work(_messages: list[bytes]) -> None:
        for message, signature in signed:
            verify(message, signature)
            open_(nonce, message[start:], message[:start])

    return work


def _floor_command(member: Member) -> Work:
    suite = member.suite
    if suite.format == 1:
        seal, _ = _aead(suite)
        header = bytes(8)
        return _each(lambda plain: seal(b"", plain, header))
    nonce, header, secret = bytes(suite.aead.nonce_len), bytes(26), os.urandom(32)

    def derived(secret: bytes) -> Any:
        return _aead(suite, HKDF(SHA256(), suite.aead.key_len, None, header).derive(secret))[0]

    if suite.signature is None:
        return _each(lambda plain: derived(secret)(nonce, plain, header))
    sign, _ = _signature(member)
    device: Any = suite.device
    public = device.public(device.load(member.private))[device.scheme.public_len :]
    encapsulate = device.kem.encapsulate

    def command(plain: bytes) -> object:
        ciphertext, shared = encapsulate(public)
        return sign(header + ciphertext + derived(shared)(nonce, plain, header))

    return _each(command)


def _aead(suite: Suite, raw: bytes = b"") -> tuple[Any, Any]:
    raw = raw or os.urandom(suite.aead.key_len)
    make = _AEADS.get(type(suite.aead).__name__)
    if make is None:  # of a plugin: its own part is the nearest to its primitive
        key = suite.aead.key(raw)
        return key.seal, key.open
    return make(raw)


def _siv(raw: bytes) -> tuple[Any, Any]:
    siv = AESSIV(raw if len(raw) == 64 else raw + raw)
    encrypt, decrypt = siv.encrypt, siv.decrypt
    return lambda _nonce, plain, ad: encrypt(plain, [ad]), lambda _nonce, sealed, ad: decrypt(sealed, [ad])


def _gcm(raw: bytes) -> tuple[Any, Any]:
    gcm = AESGCM(raw)
    return gcm.encrypt, gcm.decrypt


def _reduced(raw: bytes) -> tuple[Any, Any]:
    from e4backends.fast._fast import SivKey

    key = SivKey(raw)
    return key.seal, key.open


_AEADS: dict[str, Callable[[bytes], tuple[Any, Any]]] = {"Siv": _siv, "Gcm": _gcm, "ReducedSiv": _reduced}


def _signature(member: Member) -> tuple[Any, Any]:
    """sign(message) and verify(message, signature) of the library itself, where the part adds anything that can be measured."""
    suite = member.suite
    scheme = getattr(suite.signature, "scheme", suite.signature)
    make = _SIGNATURES.get(type(scheme).__name__)
    if make:
        return make(bytes(member.private))
    assert suite.signature is not None
    private = suite.device.load(member.private)
    public = suite.device.public(private)[: suite.signature.public_len]
    if isinstance(native := getattr(scheme, "_native", None), NativeSignature):  # the part checks more than the library
        verifies = native.verifies
        return suite.signature.signer(private).sign, lambda message, signature: verifies(public, message, signature)
    return suite.signature.signer(private).sign, suite.signature.verifier(public).verify


def _ed25519(private: bytes) -> tuple[Any, Any]:
    sign, open_ = bindings.crypto_sign, bindings.crypto_sign_open
    public = private[32:64]
    return lambda message: sign(message, private)[:64], lambda message, signature: open_(signature + message, public)


def _ecdsa(private: bytes) -> tuple[Any, Any]:
    key = ec.derive_private_key(int.from_bytes(private[:32]), ec.SECP256R1())
    public, algorithm = key.public_key(), ec.ECDSA(SHA256())

    def verify(message: bytes, signature: bytes) -> None:
        public.verify(signature, message, algorithm)

    return lambda message: key.sign(message, algorithm), verify


_SIGNATURES: dict[str, Callable[[bytes], tuple[Any, Any]]] = {"Ed25519Signature": _ed25519, "Ecdsa": _ecdsa}
