# SPDX-License-Identifier: Apache-2.0
"""A second E4 Format 1 client, written from ``wire.md`` alone, as a witness for tests.

It imports nothing of this project and behaves like the Go library e4go, habits and weaknesses included: no tolerance for
the future, no replay memory, identity keys replaced at once, previous topic keys for an hour, a state file that is never
truncated, no reports. Where e4go crashes, the error's kind is ``panic``. Error texts follow e4go's.

For tests only. A private key whose public half is foreign is stored, as in e4go, but not signed with.
"""

from __future__ import annotations

import io
import json
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, BinaryIO

from tests.interop.e4go_crypto import (
    MESSAGE_AGE_S,
    OLD_KEY_AGE_S,
    E4goError,
    aead_open,
    aead_seal,
    check_age,
    checked,
    hash_of_hash,
    open_sealed,
    require,
    seal,
    shared_key,
    sign,
    timestamp,
    topic_hash,
    verify,
    x25519_private_of,
)

GO_JSON_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


class NilMap(dict[str, bytes]):
    """Go's nil map: reads as empty, is saved as null, and an insert is a crash."""

    def __setitem__(self, key: str, value: bytes) -> None:
        raise E4goError("panic", "assignment to entry in nil map")


class SkKey:
    """The key material of a symmetric-key client: one 32-byte key. ``wire.md`` section 5."""

    key_type = 0

    def __init__(self, key: bytes) -> None:
        self.set_key(key)

    def to_json(self) -> dict[str, Any]:
        return {"Key": _base64(self.key)}

    def set_key(self, key: bytes) -> None:
        self.key = checked(key, 32, "invalid symmetric key")

    def protect(self, topic_key: bytes, payload: bytes, now: float) -> bytes:
        return seal(topic_key, payload, timestamp(now))

    def unprotect(self, topic_key: bytes, data: bytes, now: float) -> bytes:
        return open_sealed(topic_key, data, now)

    def open_command(self, data: bytes, now: float) -> bytes:
        return open_sealed(self.key, data, now)


class PkKey:
    """The key material of a public-key client. ``wire.md`` section 6.

    Args: signer_id: 16 B.  private: seed (32 B) | public key (32 B), not compared with each other.  c2_public: X25519,
        32 B.  pub_keys: hex id to Ed25519 public key.
    """

    key_type = 1

    def __init__(self, signer_id: bytes, private: bytes, c2_public: bytes, pub_keys: dict[str, bytes]) -> None:
        require(
            len(signer_id) == 16, "other", f"invalid signerID: invalid ID length, got {len(signer_id)}, expected 16"
        )
        self.signer_id = signer_id
        self.c2_public = checked(c2_public, 32, "invalid c2 public key: invalid public key")
        self.pub_keys = pub_keys
        self.set_key(private)

    def to_json(self) -> dict[str, Any]:
        values = {"PrivateKey": self.private, "SignerID": self.signer_id, "C2PubKey": self.c2_public}
        return {name: _base64(value) for name, value in values.items()} | {"PubKeys": _table_json(self.pub_keys)}

    def set_key(self, key: bytes) -> None:
        self.private = checked(key, 64, "invalid private key")
        self._update_shared_key()

    def set_c2_key(self, c2_public: bytes) -> None:
        # e4go replaces the key before it tries it: a low-order point stays, beside the old shared key (weakness 18).
        self.c2_public = checked(c2_public, 32, "invalid c2 public key: invalid public key")
        self._update_shared_key()

    def set_pub_key(self, client_id: bytes, public: bytes) -> None:
        if any(public):
            self.pub_keys[client_id.hex()] = public

    def remove_pub_key(self, client_id: bytes) -> None:
        require(client_id.hex() in self.pub_keys, "pubkey_missing", f"no public key exists for id: {client_id!r}")
        del self.pub_keys[client_id.hex()]

    def reset_pub_keys(self) -> None:
        self.pub_keys = {}

    def protect(self, topic_key: bytes, payload: bytes, now: float) -> bytes:
        ts = timestamp(now)
        return sign(self.private, self.signer_id, ts, aead_seal(topic_key, payload, ts))

    def unprotect(self, topic_key: bytes, data: bytes, now: float) -> bytes:
        require(len(data) > 72, "bad_length", "invalid length of protected message")
        check_age(data[:8], now, MESSAGE_AGE_S)
        sender = data[8:24].hex()
        require(sender in self.pub_keys, "unknown_sender", "signer public key not found")
        verify(self.pub_keys[sender], data)
        require(len(data) >= 88, "panic", f"runtime error: slice bounds out of range [24:{len(data) - 64}]")
        return aead_open(topic_key, data[24:-64], data[:8])

    def open_command(self, data: bytes, now: float) -> bytes:
        return open_sealed(self.shared_key, data, now)

    def _update_shared_key(self) -> None:
        self.shared_key = shared_key(x25519_private_of(self.private[:32]), self.c2_public)


class Client:
    """One e4go client and its store; ``now`` is Unix seconds with their fraction.

    The store is any seekable stream: each save writes from offset 0 and truncates nothing. ``wire.md`` section 10.
    """

    def __init__(
        self, client_id: bytes, topic_keys: dict[str, bytes], key: SkKey | PkKey | None, topic: str, store: BinaryIO
    ) -> None:
        self.id, self.topic_keys, self._key, self.receiving_topic, self.store = client_id, topic_keys, key, topic, store

    @classmethod
    def new_sk(cls, name: str | bytes, key: bytes, store: BinaryIO | None = None, topic: str | None = None) -> Client:
        """A new SK client. ``name`` as bytes is the id itself, of any length (random if empty); ``topic`` a custom one."""
        client_id = topic_hash(name) if isinstance(name, str) else name or secrets.token_bytes(16)
        return cls._new(client_id, SkKey(key), store, topic)

    @classmethod
    def new_pk(
        cls,
        name: str | bytes,
        private64: bytes,
        c2_public: bytes,
        store: BinaryIO | None = None,
        topic: str | None = None,
    ) -> Client:
        """A new PK client. ``name`` as bytes is the id itself (16 B); ``topic`` a custom receiving topic."""
        client_id = topic_hash(name) if isinstance(name, str) else name
        return cls._new(client_id, PkKey(client_id, private64, c2_public, {}), store, topic)

    @classmethod
    def _new(cls, client_id: bytes, key: SkKey | PkKey, store: BinaryIO | None, topic: str | None) -> Client:
        client = cls(client_id, {}, key, f"e4/{client_id.hex()}", io.BytesIO() if store is None else store)
        client.save()
        # Only after the save: e4go too has a custom topic in its file from the next save on.
        client.receiving_topic = client.receiving_topic if topic is None else topic
        return client

    @classmethod
    def load(cls, store: BinaryIO) -> Client:
        """The client saved in ``store``. The first JSON value counts; missing parts are accepted as far as e4go does."""
        store.seek(0)
        try:
            fields, _ = json.JSONDecoder().raw_decode(store.read().decode("utf-8", "replace").lstrip())
            client_id, topic_keys = _bytes(fields.get("ID")), _table(fields.get("TopicKeys"))
            key, topic = _key_from_json(fields.get("Key")), str(fields.get("ReceivingTopic") or "")
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise E4goError("other", f"the state is not e4go JSON: {error!r}") from error
        return cls(client_id, topic_keys, key, topic, store)

    def save(self) -> None:
        state = {
            "ID": _base64(self.id) if self.id else None,
            "TopicKeys": _table_json(self.topic_keys),
            "Key": {"keyType": self.key.key_type, "keyData": self.key.to_json()},
            "ReceivingTopic": self.receiving_topic,
        }
        text = json.dumps(state, separators=(",", ":"), ensure_ascii=False).translate(GO_JSON_ESCAPES)
        self.store.seek(0)
        self.store.write(text.encode() + b"\n")
        self.store.seek(0)

    @property
    def key(self) -> SkKey | PkKey:
        if self._key is None:
            raise E4goError("panic", "the state was loaded without a key")
        return self._key

    @property
    def pk_key(self) -> PkKey:
        if isinstance(self.key, PkKey):
            return self.key
        raise E4goError("unsupported", "this operation is not supported")

    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        topic_key = self._topic_key(topic)
        return self.key.protect(topic_key, payload, now)

    def unprotect(self, data: bytes, topic: str, now: float) -> bytes | None:
        """The payload; None after a command, and (like e4go's nil) for an empty PK payload."""
        if topic == self.receiving_topic:
            self._apply(self.key.open_command(data, now), now)
            return None
        topic_key = self._topic_key(topic)
        try:
            return self.key.unprotect(topic_key, data, now) or None
        except E4goError as error:
            old = self.topic_keys.get(hash_of_hash(topic_hash(topic)).hex())
            if error.kind != "not_authentic" or old is None:
                raise
        require(len(old) == 40, "bad_old_key", "invalid old topic key")
        check_age(old[32:], now, OLD_KEY_AGE_S)
        return self.key.unprotect(old[:32], data, now) or None

    def _topic_key(self, topic: str) -> bytes:
        slot = topic_hash(topic).hex()
        require(slot in self.topic_keys, "topic_key_missing", "topic key not found")
        return self.topic_keys[slot]

    def _apply(self, command: bytes, now: float) -> None:
        require(command[0] in COMMANDS, "unknown_command", "invalid command")
        name, lengths, action = COMMANDS[command[0]]
        require(len(command) in lengths, "bad_command_length", f"invalid {name} length")
        action(self, command[1:], now)
        self.save()

    def remove_topic(self, topic: bytes) -> None:
        for slot in (topic, hash_of_hash(topic)):
            self.topic_keys.pop(slot.hex(), None)

    def reset_topics(self) -> None:
        self.topic_keys = {}

    def set_topic_key(self, new: bytes, topic: bytes, now: float) -> None:
        old = self.topic_keys.get(topic.hex(), new)
        if old != new:
            self.topic_keys[hash_of_hash(topic).hex()] = old + timestamp(now)
        self.topic_keys[topic.hex()] = new


# code: name, lengths with the code, action on the arguments; wire.md section 7.
COMMANDS: dict[int, tuple[str, tuple[int, ...], Callable[[Client, bytes, float], None]]] = {
    0: ("RemoveTopic", (17,), lambda client, args, now: client.remove_topic(args)),
    1: ("ResetTopics", (1,), lambda client, args, now: client.reset_topics()),
    2: ("SetIDKey", (33, 65), lambda client, args, now: client.key.set_key(args)),
    3: ("SetTopicKey", (49,), lambda client, args, now: client.set_topic_key(args[:32], args[32:], now)),
    4: ("RemovePubKey", (17,), lambda client, args, now: client.pk_key.remove_pub_key(args)),
    5: ("ResetPubKeys", (1,), lambda client, args, now: client.pk_key.reset_pub_keys()),
    6: ("SetPubKey", (49,), lambda client, args, now: client.pk_key.set_pub_key(args[32:], args[:32])),
    7: ("SetC2Key", (33,), lambda client, args, now: client.pk_key.set_c2_key(args)),
}


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


def _table_json(table: dict[str, bytes]) -> dict[str, str] | None:
    return None if isinstance(table, NilMap) else {name: _base64(table[name]) for name in sorted(table)}


def _bytes(value: Any) -> bytes:
    return b"" if value is None else b64decode(value, validate=True)


def _table(value: Any) -> dict[str, bytes]:
    return NilMap() if value is None else {name: _bytes(text) for name, text in value.items()}


def _key_from_json(value: Any) -> SkKey | PkKey | None:
    if value is None:
        return None
    require(value["keyType"] in (0, 1), "other", f"unsupported json key type: {value['keyType']}")
    fields = {name.lower(): field for name, field in value["keyData"].items()}
    if value["keyType"] == 0:
        return SkKey(_bytes(fields.get("key")))
    pub_keys = _table(fields.get("pubkeys"))
    for client_id, public in pub_keys.items():
        require(re.fullmatch("[0-9a-fA-F]{32}", client_id) is not None, "other", "an id is not the hex of 16 bytes")
        checked(public, 32, "invalid public key")
    signer_id, private, c2_public = (_bytes(fields.get(name)) for name in ("signerid", "privatekey", "c2pubkey"))
    return PkKey(signer_id, private, c2_public, pub_keys)
