# SPDX-License-Identifier: Apache-2.0
"""Section 13 of ``wire.md`` and the reports of ``format2.md``, computed a second time, to verify the strict vectors.

It imports nothing of this project: what devices know of Format 1 comes from `tests.interop.e4go_like`, primitives from
``cryptography``. It is made for the stories of the vectors, not for speed or for bounds.
"""

from __future__ import annotations

import hashlib
import io
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.conformance.key_rules import CHECKS, check_ed25519, check_private, check_symmetric, check_x25519
from tests.interop import e4go_like as e4go
from tests.interop.e4go_crypto import E4goError, hash_of_hash, require, topic_hash

REFUSALS = ("bad_command_length", "unknown_command", "unsupported", "bad_key", "pubkey_missing", "epoch_conflict")
OUTCOMES = ("applied", "already", "refused", "outdated")
Json = dict[str, Any]


class Witness:
    """One device of a story."""

    def __init__(self, story: Json) -> None:
        self.suite: str = story["suite"]
        self.skew = story.get("skew_s", 30)
        self.repeats = story.get("repeats", [])
        self.draws = iter(bytes.fromhex(value) for value in story.get("random", ()))
        self.state: Json = story["state"]
        self.command_second: int = self.state["command_second"]
        self.command_floor: int = self.state["command_floor"]
        self.commands: set[tuple[int, bytes]] = set()
        self.mark: int = self.state["mark"]
        self.floor: int = self.state["floor"]
        self.clean = True
        self.seen: set[tuple[bytes, ...]] = set()
        self.sent: set[tuple[bytes, int]] = set()
        self.nonce = b""
        self.already = float("-inf")
        self.client: e4go.Client
        if story["steps"][0]["op"] != "start":
            self.start()

    def facets(self, step: Json) -> Json:
        """What comes of ``step``."""
        operations: dict[str, Callable[[Json], Json]] = {
            "start": lambda _step: self.start(),
            "restart": lambda _step: self.restart(),
            "close": lambda _step: self.close(),
            "hello": lambda _step: self.hello(),
            "protect": self.protect,
            "unprotect": self.unprotect,
            "command": self.command,
        }
        try:
            facets = {"result": "ok", **operations[step["op"]](step)}
        except E4goError as error:
            facets = {"result": "error", "kind": error.kind}
        if "after" in step:
            saved = self.saved()
            facets["after"] = {name: saved[name] for name in step["after"]}
        return facets

    def start(self) -> Json:
        state = self.state
        client_id, private = bytes.fromhex(state["client_id"]), b64decode(state["private"])
        peers = {name: b64decode(public) for name, public in state["peers"].items()}
        key = (
            e4go.PkKey(client_id, private, b64decode(state["c2_public"]), peers)
            if state["c2_public"]
            else e4go.SkKey(private)
        )
        self.client = e4go.Client(client_id, _table(state["topics"]), key, state["control_topic"], io.BytesIO())
        for topic_key in self.client.topic_keys.values():
            check_symmetric(topic_key)
        if isinstance(key, e4go.PkKey):
            check_private(private)
            check_x25519(key.c2_public)
            for public in peers.values():
                check_ed25519(public)
        return {}

    def restart(self) -> Json:
        if not self.clean:
            self.seen.clear()
            self.floor = max(self.floor, self.mark)
        self.clean = False
        return {}

    def close(self) -> Json:
        self.clean = True
        return {}

    def protect(self, step: Json) -> Json:
        """Verifies the bytes of the step, if it has any: the newest second, 2 s back, in which they were not sent."""
        self.clean = False
        self.erase_expired(step["now"])
        payload = bytes.fromhex(step["payload"])
        timestamp = int(step["now"]) - 2
        while (payload, timestamp) in self.sent:
            timestamp -= 1
        if "protected" in step:
            self.sent.add((payload, timestamp))
        return {
            "timestamp": timestamp,
            "unique": True,
            "protected": self.client.protect(payload, step["topic"], timestamp).hex(),
        }

    def unprotect(self, step: Json) -> Json:
        self.clean = False
        data, topic = bytes.fromhex(step["protected"]), step["topic"]
        payload = self.client.unprotect(data, topic, self.tolerant(data, step["now"])) or b""
        sender = data[8:24] if isinstance(self.client.key, e4go.PkKey) else b""
        timestamp, siv = int.from_bytes(data[:8], "little"), data[8 + len(sender) :][:16]
        require(timestamp > self.floor, "timestamp_old", "at or below the floor")
        entry = (topic_hash(topic), sender, data[:8], siv)
        repeated = entry in self.seen
        require(not repeated or topic in self.repeats, "replayed", "an exact replay")
        self.seen.add(entry)
        if timestamp > self.mark:
            self.mark = timestamp + 5
            self.erase_expired(step["now"])
        return {
            "returned": payload.hex(),
            "sender": sender.hex() or None,
            "authenticated": sender != b"",
            "repeated": repeated,
            "timestamp": timestamp,
        }

    def command(self, step: Json) -> Json:
        self.clean = False
        data, now = bytes.fromhex(step["protected"]), step["now"]
        plain = self.client.key.open_command(data, self.tolerant(data, now))
        sent, tag = int.from_bytes(data[:8], "little"), data[8:24]
        horizon = now + self.skew + 600
        newest = self.command_second
        if newest > horizon:
            newest = max([0, *(second for second, _ in self.commands if second <= horizon)])
        if sent < newest or sent <= self.command_floor:
            return self.declined(tag, "outdated", "timestamp_old")
        if (sent, tag) in self.commands:
            if now - self.already < 10:
                return {**self.declined(tag, "already", "replayed", silent=True)}
            self.already = now
            return self.declined(tag, "already", "replayed")
        try:
            self.obey(plain, now)
        except E4goError as error:
            return self.declined(tag, "refused", error.kind)
        self.commands.add((sent, tag))
        self.command_second = sent
        return {"outcome": "applied", **self.acknowledged(tag, "applied")}

    def obey(self, plain: bytes, now: float) -> None:
        require(plain[0] in e4go.COMMANDS, "unknown_command", "invalid command")
        _, lengths, action = e4go.COMMANDS[plain[0]]
        require(len(plain) in lengths, "bad_command_length", "invalid length")
        check = CHECKS.get((self.suite, plain[0]))
        if check is not None:
            check(plain[1:])
        action(self.client, plain[1:], now)
        if plain == b"\x00" + self.nonce:
            self.nonce = b""
        self.erase_expired(now)

    def erase_expired(self, now: float) -> None:
        for slot, value in list(self.client.topic_keys.items()):
            if len(value) == 40 and int.from_bytes(value[32:], "little") < now - 3600:
                del self.client.topic_keys[slot]

    def declined(self, tag: bytes, outcome: str, kind: str, silent: bool = False) -> Json:
        report = {"report": None} if silent else self.acknowledged(tag, outcome, kind if outcome == "refused" else "")
        return {"result": "error", "kind": kind, "outcome": outcome, **report}

    def tolerant(self, data: bytes, now: float) -> float:
        """The clock for e4go, which tolerates no future."""
        sent = int.from_bytes(data[:8], "little")
        return sent if now < sent <= now + self.skew else now

    def saved(self) -> Json:
        key = self.client.key
        private, peers = (key.key, {}) if isinstance(key, e4go.SkKey) else (key.private, key.pub_keys)
        return {
            "topics": _topics(self.client.topic_keys),
            "peers": {name: _b64(public) for name, public in peers.items()},
            "private": _b64(private),
            "c2_public": "" if isinstance(key, e4go.SkKey) else _b64(key.c2_public),
            "command_second": self.command_second,
            "command_floor": self.command_floor,
            "mark": self.mark,
            "floor": self.floor,
            "clean": self.clean,
            "seen": [],
        }

    def hello(self) -> Json:
        self.nonce = self.nonce or next(self.draws)
        digest = self.digest()
        content = {"kind": "hello", "last_sequence": 0, "digest": digest.hex(), "nonce": self.nonce.hex()}
        return {
            "report": self.report(b"\x00" + bytes(8) + digest + self.nonce),
            "content": content,
            "synchronised": False,
        }

    def acknowledged(self, tag: bytes, outcome: str, refusal: str = "") -> Json:
        digest = self.digest()
        code = REFUSALS.index(refusal) + 1 if refusal else 0
        content = {"kind": "ack", "last_sequence": 0, "digest": digest.hex(), "subject": tag.hex()}
        return {
            "report": self.report(b"\x01" + bytes(8) + digest + tag + bytes([OUTCOMES.index(outcome), code])),
            "content": {**content, "outcome": outcome, "refusal": refusal},
            "synchronised": not self.nonce,
        }

    def report(self, plain: bytes) -> str:
        """The container of ``format2.md`` section 3; hex."""
        key = self.client.key
        secret = key.key if isinstance(key, e4go.SkKey) else key.shared_key
        header = b"\x02\x02" + bytes(8) + next(self.draws, bytes(16))
        context = _lp("E4.2 report") + _lp(self.suite) + self.client.id + header
        sealed = AESSIV(hkdf(secret, _lp("E4.2 control key") + context, 64)).encrypt(plain, [header])
        return (header + sealed).hex()

    def digest(self) -> bytes:
        """The state digest of ``format2.md`` section 4."""
        records = [
            b"\x01" + bytes.fromhex(topic) + bytes(8) + hkdf(value, _lp("E4.2 fingerprint"), 8)
            for topic, value in self.client.topic_keys.items()
            if len(value) == 32
        ]
        if isinstance(self.client.key, e4go.PkKey):
            for name, public in self.client.key.pub_keys.items():
                records.append(b"\x02" + bytes.fromhex(name) + hashlib.sha3_256(public).digest()[:8])
        return hashlib.sha3_256(b"".join(sorted(records))).digest()[:16]


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, None, info).derive(secret)


def _lp(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _b64(value: bytes) -> str:
    return b64encode(value).decode()


def _table(topics: Json) -> dict[str, bytes]:
    """The table of e4go: the previous key lies under the hash of the hash."""
    table = {}
    for topic, held in topics.items():
        table[topic] = b64decode(held["key"])
        if "previous" in held:
            slot = hash_of_hash(bytes.fromhex(topic)).hex()
            table[slot] = b64decode(held["previous"]) + held["rotated"].to_bytes(8, "little")
    return table


def _topics(table: dict[str, bytes]) -> Json:
    topics = {}
    for topic, value in table.items():
        if len(value) == 32:
            old = table.get(hash_of_hash(bytes.fromhex(topic)).hex(), b"")
            previous = {"previous": _b64(old[:32]), "rotated": int.from_bytes(old[32:], "little")} if old else {}
            topics[topic] = {"key": _b64(value), **previous}
    return topics
