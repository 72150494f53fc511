# SPDX-License-Identifier: Apache-2.0
"""Who takes part in the strict vectors, what they send, and the steps of their stories."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import shake_256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from e4core.suite import Channel, Suite

NOW = 1_800_000_000
TOPIC, OTHER = "demoTopic", "otherTopic"

Json = dict[str, Any]


def bytes_of(label: str, length: int = 32) -> bytes:
    """Bytes that look random and are the same each time."""
    return shake_256(f"e4-strict {label}".encode()).digest(length)


KEY, NEW_KEY, OLD_KEY = bytes_of("topic key"), bytes_of("new topic key"), bytes_of("old topic key")


@dataclass(frozen=True)
class Member:
    """Somebody who sends messages; ``private`` only means something in ``pk``."""

    client: bytes
    private: bytes
    public: bytes


def member(name: str) -> Member:
    seed = bytes_of(f"seed of {name}")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return Member(bytes_of(f"id of {name}", 16), seed + public, public)


ALICE, BOB, MALLORY = member("alice"), member("bob"), member("mallory")


def number(value: int) -> bytes:
    """32 bytes, little-endian."""
    return value.to_bytes(32, "little")


def b64(value: bytes) -> str:
    return b64encode(value).decode()


@dataclass(frozen=True)
class Fleet:
    """A suite, a C2, and the one device, bob, whose stories are told."""

    suite: Suite

    @property
    def name(self) -> str:
        return self.suite.name

    @property
    def symmetric(self) -> bool:
        return self.suite.is_symmetric

    @property
    def c2_private(self) -> bytes:
        return b"" if self.symmetric else bytes_of("c2")

    @property
    def c2_public(self) -> bytes:
        return self.suite.c2.public(self.suite.c2.load(self.c2_private))

    @property
    def private(self) -> bytes:
        return bytes_of("device key") if self.symmetric else BOB.private

    @property
    def public(self) -> bytes:
        return self.private if self.symmetric else BOB.public

    def channel(self, public: bytes = b"") -> Channel:
        """The C2's end of the way to bob, whose key may have changed to ``public``."""
        return self.suite.control.at_c2(self.suite.c2.load(self.c2_private), public or self.public)

    def hash(self, topic: str) -> bytes:
        return self.suite.derive_id(topic)

    def state(self, **changes: Any) -> Json:
        """Bob's state: he holds KEY for TOPIC and, in ``pk``, knows alice and mallory."""
        peers = {} if self.symmetric else {m.client.hex(): b64(m.public) for m in (ALICE, MALLORY)}
        return {
            "format": "e4-device-state",
            "version": 1,
            "suite": self.name,
            "client_id": BOB.client.hex(),
            "control_topic": f"e4/{BOB.client.hex()}",
            "private": b64(self.private),
            "c2_public": b64(self.c2_public),
            "topics": self.topics(KEY),
            "peers": peers,
            "command_second": 0,
            "command_floor": 0,
            "command_tags": {},
            "mark": 0,
            "floor": 0,
            "sent": 0,
            "clean": True,
            "seen": [],
            **changes,
        }

    def topics(self, key: bytes, previous: bytes = b"", rotated: int = 0, topic: str = TOPIC) -> Json:
        old = {"previous": b64(previous), "rotated": rotated} if previous else {}
        return {self.hash(topic).hex(): {"key": b64(key), **old}}

    def message(self, payload: bytes, sent: int, key: bytes = KEY, sender: Member = ALICE) -> bytes:
        """`wire.md` sections 5 and 6."""
        header = sent.to_bytes(8, "little")
        sealed = self.suite.aead.key(key).seal(b"", payload, header)
        return self.signed(header, sealed, sender)

    def signed(self, header: bytes, sealed: bytes, sender: Member) -> bytes:
        if self.suite.signature is None:
            return header + sealed
        data = header + sender.client + sealed
        return data + self.suite.signature.signer(self.suite.device.load(sender.private)).sign(data)

    def command(self, plain: bytes, sent: int) -> bytes:
        """`wire.md` sections 5 and 6.2."""
        header = sent.to_bytes(8, "little")
        return header + self.channel().command_key.seal(b"", plain, header)

    def set_topic(self, key: bytes, topic: str = TOPIC) -> bytes:
        return b"\x03" + key + self.hash(topic)

    def remove_topic(self, topic: str) -> bytes:
        return b"\x00" + self.hash(topic)

    def story(self, name: str, steps: list[Json], state: Json | None = None, **more: Any) -> Json:
        return {
            "name": f"{self.name}: {name}",
            "suite": self.name,
            **more,
            "state": state or self.state(),
            "steps": steps,
        }

    def delivered(
        self, data: bytes, now: float, payload: bytes, sender: Member = ALICE, repeated: bool = False
    ) -> Json:
        return {
            "op": "unprotect",
            "now": now,
            "topic": TOPIC,
            "protected": data.hex(),
            "result": "ok",
            "returned": payload.hex(),
            "sender": None if self.symmetric else sender.client.hex(),
            "authenticated": not self.symmetric,
            "repeated": repeated,
            "timestamp": int.from_bytes(data[:8], "little"),
        }


def refused(data: bytes, now: float, kind: str) -> Json:
    return {"op": "unprotect", "now": now, "topic": TOPIC, "protected": data.hex(), "result": "error", "kind": kind}


def applied(data: bytes, now: float, **more: Any) -> Json:
    return {"op": "command", "now": now, "protected": data.hex(), "result": "ok", "outcome": "applied", **more}


def declined(data: bytes, now: float, kind: str, outcome: str, **more: Any) -> Json:
    base = {"op": "command", "now": now, "protected": data.hex(), "result": "error", "kind": kind}
    return {**base, "outcome": outcome, **more} if outcome else {**base, **more}


def restart(**after: Any) -> Json:
    return {"op": "restart", "result": "ok", "after": after} if after else {"op": "restart", "result": "ok"}


def close(**after: Any) -> Json:
    return {"op": "close", "result": "ok", "after": {"clean": True, **after}}


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
