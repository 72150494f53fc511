# SPDX-License-Identifier: Apache-2.0
"""Who takes part in the vectors of Format 2, what they send, and the steps of their stories.

What must come of a step is written by hand, from `format2.md`; only the bytes are computed, by a `Maker`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import shake_256
from typing import Any

from tests.conformance.format2.maker import Maker, Member
from tests.conformance.format2.sizes import Sizes, stored_key

NOW = 1_800_000_000
US = 1_000_000
SEQUENCE = NOW * US
TOPIC, OTHER = "demoTopic", "otherTopic"
EPOCH = NOW - 100
NO_LIMIT = 2**64 - 1

Json = dict[str, Any]
Entry = tuple[int, bytes]
"""Opcode and arguments of one entry of a command."""


def bytes_of(label: str, length: int = 32) -> bytes:
    """Bytes that look random and are the same each time."""
    return shake_256(f"e4-format2 {label}".encode()).digest(length)


def le(number: int, length: int) -> bytes:
    return number.to_bytes(length, "little")


def topic_hash(topic: str) -> bytes:
    return hashlib.sha3_256(topic.encode()).digest()


KEY, NEW_KEY, OLD_KEY = bytes_of("topic key"), bytes_of("new topic key"), bytes_of("old topic key")


@dataclass(frozen=True)
class Header:
    """Bytes 0 to 41 of a message."""

    sender: bytes
    timestamp: int = NOW
    sequence: int = 0
    epoch: int = EPOCH
    session: bytes = bytes_of("session", 8)
    version: int = 2

    def encode(self) -> bytes:
        clock = le(self.epoch, 4) + le(self.timestamp, 8)
        return bytes([self.version]) + clock + self.sender + self.session + le(self.sequence, 4)


@dataclass(frozen=True)
class Fleet:
    """A suite, a C2, and the one device, bob, whose stories are told."""

    sizes: Sizes
    maker: Maker

    @property
    def symmetric(self) -> bool:
        return self.sizes.symmetric

    def identity(self, name: str) -> bytes:
        """A private identity, or a device key."""
        if self.symmetric:
            return bytes_of(f"device key of {name}")
        sizes = self.sizes
        pair = stored_key(sizes.wire_name, name) or bytes_of(f"signature of {name}", sizes.signature_private)
        return pair + bytes_of(f"kem of {name}", sizes.kem_private)

    @cache  # noqa: B019  fleets live as long as the tests
    def member(self, name: str) -> Member:
        private = self.identity(name)
        return Member(bytes_of(f"id of {name}", 16), private, self.maker.public(self.sizes, private))

    @property
    def alice(self) -> Member:
        return self.member("alice")

    @property
    def bob(self) -> Member:
        return self.member("bob")

    @property
    def mallory(self) -> Member:
        return self.member("mallory")

    def c2(self, name: str = "c2") -> bytes:
        return b"" if self.symmetric else self.identity(name)

    def signature_public(self, member: Member) -> bytes:
        return member.public[: self.sizes.signature_public]

    # ---- what is sent

    def message(
        self,
        payload: bytes = b"x",
        sender: Member | None = None,
        *,
        key: bytes = KEY,
        topic: str = TOPIC,
        wire_name: str = "",
        signer: Member | None = None,
        **header: Any,
    ) -> bytes:
        sender = sender or self.alice
        fields = Header(sender.client, **header).encode()
        private = (signer or sender).private
        name = wire_name or self.sizes.wire_name
        return self.maker.message(self.sizes, key, topic_hash(topic), fields, payload, private, name)

    def sealed(
        self,
        sequence: int,
        plain: bytes,
        *,
        c2: str = "c2",
        device: bytes = b"",
        salt: str = "salt",
        wire_name: str = "",
        prefix: bytes = b"\x02\x01",
        client: bytes = b"",
    ) -> bytes:
        header = prefix + le(sequence, 8) + bytes_of(salt, 16)
        name = wire_name or self.sizes.wire_name
        return self.maker.command(
            self.sizes, client or self.bob.client, self.c2(c2), device or self.bob.public, header, plain, name
        )

    def command(self, sequence: int, *entries: Entry, **more: Any) -> bytes:
        return self.sealed(sequence, plain(*entries), **more)

    # ---- what must come of it

    def digest(
        self, topics: Iterable[tuple[str, int, int, bytes]] = (), peers: Iterable[tuple[bytes, bytes]] = ()
    ) -> str:
        """Args: topics: name, newest sending epoch, newest epoch, its key. peers: id, signature public key."""
        records = [
            b"\x01" + topic_hash(name) + le(sending, 4) + le(newest, 4) + fingerprint(key)
            for name, sending, newest, key in topics
        ]
        records += [b"\x02" + client + hashlib.sha3_256(public).digest()[:8] for client, public in peers]
        return hashlib.sha3_256(b"".join(sorted(records))).digest()[:16].hex()

    def story(self, name: str, steps: Sequence[Json], member: str = "bob", **more: Any) -> Json:
        return {
            "name": f"{self.sizes.wire_name}: {name}",
            "suite": self.sizes.wire_name,
            **more,
            "client_id": self.member(member).client.hex(),
            "private": self.identity(member).hex(),
            "c2_private": self.c2().hex(),
            "steps": list(steps),
        }

    def enrolled(self, *entries: Entry, sequence: int = SEQUENCE - US, now: float = NOW - 1) -> Json:
        """The first step of most stories: bob gets the key of TOPIC, the others' public keys, and ``entries``."""
        peers = [] if self.symmetric else [self.set_peer(self.alice), self.set_peer(self.mallory)]
        return applied(self.command(sequence, *(entries or [set_topic()]), *peers), now)

    def set_peer(self, member: Member, until: int = 0) -> Entry:
        return 0x06, member.client + self.signature_public(member) + le(until, 8)

    def delivered(self, data: bytes, now: float = NOW, payload: bytes = b"x", topic: str = TOPIC, **more: Any) -> Json:
        return {
            "op": "unprotect",
            "now": now,
            "topic": topic,
            "protected": data.hex(),
            **more,
            "result": "ok",
            "returned": payload.hex(),
            "sender": data[13:29].hex(),
            "authenticated": not self.symmetric,
            "epoch": int.from_bytes(data[1:5], "little"),
            "timestamp": int.from_bytes(data[5:13], "little"),
            "sequence": int.from_bytes(data[37:41], "little"),
        }


def fingerprint(key: bytes) -> bytes:
    info = b"\x10E4.2 fingerprint"
    return hmac.digest(hmac.digest(bytes(32), key, "sha256"), info + b"\x01", "sha256")[:8]


def plain(*entries: Entry, issued: int = NOW) -> bytes:
    return le(issued, 8) + b"".join(le(1 + len(rest), 2) + bytes([opcode]) + rest for opcode, rest in entries)


def set_topic(
    epoch: int = EPOCH,
    key: bytes = KEY,
    *,
    topic: str = TOPIC,
    use: int = 1,
    validity: int = 0,
    not_after: int = 0,
    older: int = 0,
) -> Entry:
    limits = bytes([use]) + le(validity, 4) + le(not_after, 8) + le(older, 8)
    return 0x03, topic_hash(topic) + le(epoch, 4) + key + limits


def remove_topic(topic: str = TOPIC) -> Entry:
    return 0x00, topic_hash(topic)


RESET_TOPICS: Entry = (0x01, b"")


def ack(sequence: int, outcome: str = "applied", error: str = "", **more: Any) -> Json:
    """Of a command that was not older than the newest."""
    return {"kind": "ack", "last": sequence, "subject": sequence, "outcome": outcome, "error": error, **more}


def number(data: bytes) -> int:
    """The sequence of a command."""
    return int.from_bytes(data[2:10], "little")


def applied(data: bytes, now: float = NOW, *more: Json, digest: str = "", **rest: Any) -> Json:
    """Args: more: reports that follow the acknowledgement."""
    first = ack(number(data), **({"digest": digest} if digest else {}))
    step = {"op": "command", "now": now, "protected": data.hex(), "result": "ok", "outcome": "applied"}
    return {**step, "reports": [first, *more], **rest}


def declined(data: bytes, now: float, error: str, digest: str = "") -> Json:
    """Authentic, and refused."""
    first = ack(number(data), "refused", error, **({"digest": digest} if digest else {}))
    step = {"op": "command", "now": now, "protected": data.hex(), "result": "error", "kind": error}
    return {**step, "outcome": "refused", "reports": [first]}


def already(data: bytes, now: float, *reports: Json) -> Json:
    step = {"op": "command", "now": now, "protected": data.hex(), "result": "error", "kind": "replayed"}
    return {**step, "outcome": "already", "reports": list(reports)}


def ignored(data: bytes, now: float, kind: str) -> Json:
    """A command that is not answered."""
    return {"op": "command", "now": now, "protected": data.hex(), "result": "error", "kind": kind}


def refused(data: bytes, kind: str, now: float = NOW, topic: str = TOPIC, **more: Any) -> Json:
    step = {"op": "unprotect", "now": now, "topic": topic, "protected": data.hex(), **more}
    return {**step, "result": "error", "kind": kind}


def sent(
    now: float, sequence: int, session: str = "same", *, epoch: int = EPOCH, payload: bytes = b"x", topic: str = TOPIC
) -> Json:
    """Args: session: ``new`` or ``same``, against the message that the story sent before."""
    step = {"op": "protect", "now": now, "topic": topic, "payload": payload.hex(), "result": "ok"}
    return {**step, "epoch": epoch, "timestamp": int(now), "sequence": sequence, "session": session}


def not_sent(now: float, kind: str, topic: str = TOPIC) -> Json:
    return {"op": "protect", "now": now, "topic": topic, "payload": "", "result": "error", "kind": kind}


def own(now: float, step: Json) -> Json:
    """The device receives what it sent in ``step``, the one before."""
    due = {name: step[name] for name in ("epoch", "timestamp", "sequence")}
    return {
        "op": "unprotect_own",
        "now": now,
        "topic": step["topic"],
        "result": "ok",
        "returned": step["payload"],
        **due,
    }


def own_refused(now: float, kind: str, topic: str = TOPIC) -> Json:
    return {"op": "unprotect_own", "now": now, "topic": topic, "result": "error", "kind": kind}


RESTART: Json = {"op": "restart", "result": "ok"}
CLOSE: Json = {"op": "close", "result": "ok"}


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
