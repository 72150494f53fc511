# SPDX-License-Identifier: Apache-2.0
"""Checks of the sections about hashes, ids, keys and single primitives (`wire.md` sections 2, 3, 6.1 and 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from e4conformance.devices import SYMMETRIC_KEY, load
from e4conformance.vectorfile import Check, Entry, Facets, VectorFile, ended, error, named, outcome, unhex, value
from e4core.keys import ClientId, Secret, check_client_name, check_topic_name, control_topic
from e4core.plugins import load_suite
from e4core.state import new_state
from e4core.suite import AeadKey, PrivateKey, Suite

PROBE = b"the same key seals this to the same bytes"
RULES = {
    "payload_rule": "payload of length n: byte i = (7*i + n + 3) mod 256",
    "big_value_rule": "values longer than 2048 bytes are given as NAME_len, NAME_sha256, NAME_head24, NAME_tail80",
}


def meta(_file: VectorFile, section: Entry) -> Iterator[Check]:
    """The rules by which the file abridges are those that this runner applies."""
    for name, rule in RULES.items():
        yield Check(name, {"rule": section[name]}, partial(dict, rule=rule))


def aead(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        expected = {"ct": unhex(entry, "ct"), "pt": unhex(entry, "pt")}
        yield Check(name, expected, partial(_aead, file.suite, entry))


def _aead(suite: Suite, entry: Entry) -> Facets:
    key, ad = suite.aead.key(unhex(entry, "key")), unhex(entry, "ad")
    return {"ct": key.seal(b"", unhex(entry, "pt"), ad), "pt": key.open(b"", unhex(entry, "ct"), ad)}


def aead_key_errors(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        yield Check(name, error(entry["error"], "bad_key"), partial(_refused, file.suite.aead.key, unhex(entry, "key")))


def id_from_alias(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        text = unhex(entry, "name_utf8_hex").decode()
        expected = {"id": unhex(entry, "id"), "receiving_topic": entry["receiving_topic"]}
        yield Check(name, expected, partial(_identity, file.suite, text))
        valid = error(entry.get("validate_name_error"), "bad_name")
        yield Check(f"{name}, validity", valid, partial(_refused, check_client_name, text))


def _identity(suite: Suite, name: str) -> Facets:
    client = ClientId(suite.derive_id(name))
    return {"id": bytes(client), "receiving_topic": control_topic(client)}


def topic_hash(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        repeat = entry.get("topic_repeat")
        topic = repeat["char"] * repeat["count"] if repeat else unhex(entry, "topic_utf8_hex").decode()
        expected = {"hash": unhex(entry, "hash"), "hash_of_hash": unhex(entry, "hash_of_hash")}
        yield Check(name, expected, partial(_hashes, file.suite, topic))
        valid = error(entry.get("validate_topic_error"), "bad_topic")
        yield Check(f"{name}, validity", valid, partial(_refused, check_topic_name, topic))


def _hashes(suite: Suite, topic: str) -> Facets:
    first = suite.derive_id(topic)
    return {"hash": first, "hash_of_hash": suite.hash.digest(first)[:16]}


def key_from_password(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """The derivation itself is not offered; what it gives must at least be a key pair."""
    for name, entry in named(section):
        yield Check(name, entry, None)
        if "ed25519_private_64" in entry:
            expected = {"ed25519_public": unhex(entry, "ed25519_public")}
            yield Check(f"{name}, key pair", expected, partial(_device_public, file.suite, entry))


def _device_public(suite: Suite, entry: Entry) -> Facets:
    private = suite.device.load(unhex(entry, "ed25519_private_64"))
    return {"ed25519_public": suite.device.public(private)}


def key_pairs(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """Conversions are seen through what they must agree on with the next key pair of the section."""
    for (name, entry), other in zip(named(section), section[1:] + section[:1], strict=True):
        expected = {
            "ed25519_private_64": unhex(entry, "seed") + unhex(entry, "ed25519_public"),
            "ed25519_public": unhex(entry, "ed25519_public"),
            "x25519_public": unhex(entry, "x25519_public"),
            "x25519_private agrees": True,
            "x25519_public agrees": True,
        }
        yield Check(name, expected, partial(_key_pair, file.suite, entry, other))


def _key_pair(suite: Suite, entry: Entry, other: Entry) -> Facets:
    device, converted = _device(suite, entry), suite.c2.load(unhex(entry, "x25519_private"))
    far, far_converted = _device(suite, other), suite.c2.load(unhex(other, "x25519_private"))
    to_far = suite.control.at_c2(converted, unhex(other, "ed25519_public")).command_key
    from_far = suite.control.at_c2(far_converted, unhex(entry, "ed25519_public")).command_key
    return {
        "ed25519_private_64": unhex(entry, "ed25519_private_64"),
        "ed25519_public": suite.device.public(device),
        "x25519_public": suite.c2.public(converted),
        "x25519_private agrees": _same(to_far, _device_key(suite, device, unhex(other, "x25519_public"))),
        "x25519_public agrees": _same(from_far, _device_key(suite, far, unhex(entry, "x25519_public")))
        and _same(from_far, _device_key(suite, device, unhex(other, "x25519_public"))),
    }


def shared_keys(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        expected = {
            "c2_x25519_public": unhex(entry, "c2_x25519_public"),
            "shared_key": unhex(entry, "shared_key"),
            "device has it": True,
            "c2 has it": True,
        }
        yield Check(name, expected, partial(_shared, file.suite, entry))


def _shared(suite: Suite, entry: Entry) -> Facets:
    key = suite.aead.key(unhex(entry, "shared_key"))
    c2 = suite.c2.load(unhex(entry, "c2_x25519_private"))
    device = suite.device.load(unhex(entry, "client_seed") + unhex(entry, "client_ed25519_public"))
    at_c2 = suite.control.at_c2(c2, unhex(entry, "client_ed25519_public"))
    return {
        "c2_x25519_public": suite.c2.public(c2),
        "shared_key": suite.hash.digest(unhex(entry, "shared_point")),
        "device has it": _same(key, _device_key(suite, device, unhex(entry, "c2_x25519_public"))),
        "c2 has it": _same(key, at_c2.command_key),
    }


def odd_public_keys(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """A conversion that succeeds must agree with the given result for a key pair of the file."""
    pair = file.sections["key_pairs"][0]
    for name, entry in named(section):
        yield Check(name, outcome(entry), partial(_converted, file.suite, entry, pair))


def _converted(suite: Suite, entry: Entry, pair: Entry) -> Facets:
    def convert() -> bytes:
        public = unhex(entry, "ed25519_public")
        suite.device.check(public)
        at_c2 = suite.control.at_c2(suite.c2.load(unhex(pair, "x25519_private")), public)
        given = unhex(entry, "returned")
        return given if _same(at_c2.command_key, _device_key(suite, _device(suite, pair), given)) else b""

    return ended(convert)


def sign(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    for name, entry in named(section):
        yield Check(name, {"signed": value(entry, "signed")}, partial(_signed, file.suite, entry))


def _signed(suite: Suite, entry: Entry) -> Facets:
    assert suite.signature is not None
    private = _device(suite, entry)
    message = entry["ts"].to_bytes(8, "little") + unhex(entry, "signer_id") + unhex(entry, "data")
    signature = suite.signature.signer(private).sign(message)
    suite.signature.verifier(suite.device.public(private)).verify(message, signature)
    return {"signed": message + signature}


def sign_errors(_file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """The inputs are only named; a timestamp of another length cannot be expressed here."""
    acts: dict[str, Callable[[], Facets]] = {"15-byte signer id": partial(_refused, ClientId, bytes(15))}
    for name, entry in named(section):
        yield Check(name, error(entry["error"], "bad_length"), acts.get(name))


def create_errors(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """The inputs are only named: see `_creations`."""
    acts = _creations(file)
    for name, entry in named(section):
        kind = "bad_length" if "id" in name.split() else "bad_key"
        yield Check(name, error(entry["error"], kind), partial(_refused, lambda act: act(), acts[name]))


def _creations(file: VectorFile) -> dict[str, Callable[[], object]]:
    bob, pk, sk = load(file.sections["receiver_bob_state"]), file.suite, load_suite("sk")
    foreign = Secret(bytes([bob.private[0] ^ 1]) + bob.private[1:])
    short = Secret(bob.private[:32])
    return {
        "zero c2 key": lambda: new_state(pk, bob.client_id, bob.private, bytes(32)),
        "15-byte id": lambda: new_state(pk, ClientId(bytes(range(15))), bob.private, bob.c2_public),
        "SK: 15-byte id (accepted?)": lambda: new_state(sk, ClientId(bytes(range(15))), Secret(SYMMETRIC_KEY)),
        "32-byte private key": lambda: new_state(pk, bob.client_id, short, bob.c2_public),
        "private key whose public half belongs to another seed (accepted?)": lambda: new_state(
            pk, bob.client_id, foreign, bob.c2_public
        ),
    }


def _refused(act: Callable[[Any], object], argument: Any) -> Facets:
    """How ``act`` ends, whatever it returns."""

    def silent() -> bytes:
        act(argument)
        return b""

    return ended(silent)


def _device(suite: Suite, entry: Entry) -> PrivateKey:
    return suite.device.load(unhex(entry, "ed25519_private_64"))


def _device_key(suite: Suite, device: PrivateKey, c2_public: bytes) -> AeadKey:
    return suite.control.at_device(device, c2_public).command_key


def _same(one: AeadKey, other: AeadKey) -> bool:
    """Two keys of a deterministic AEAD are equal if they seal alike."""
    return one.seal(b"", PROBE, b"") == other.seal(b"", PROBE, b"")
