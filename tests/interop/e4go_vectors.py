# SPDX-License-Identifier: Apache-2.0
"""The vectors made by the real e4go (``wire.md`` section 14), and how their entries are read."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop import e4go_crypto as crypto
from tests.interop.e4go_crypto import E4goError
from tests.interop.e4go_like import Client, SkKey

VECTORS = Path(__file__).parents[2] / "conformance" / "e4conformance" / "vectors"
SK, PK, STATE = (json.loads((VECTORS / f"e4-{name}.json").read_text()) for name in ("sk", "pk", "state"))
MODES = {"sk": SK, "pk": PK}

Entry = dict[str, Any]
TOPIC = "demoTopic"
CLIENT_KEY = bytes.fromhex(STATE["sk"]["client_key"])
PRIVATE = bytes.fromhex(STATE["pk"]["ed25519_private_64"])
C2_PUBLIC = bytes.fromhex(STATE["pk"]["c2_x25519_public"])
C2_PRIVATE = bytes.fromhex(STATE["pk"]["c2_x25519_private"])
NOW = 1_800_000_000.25


def label(entry: Entry) -> str:
    names = ("name", "label", "ed25519_public", "receiving_topic", "hash", "ts")
    text = (
        f"{entry['payload_len']} bytes" if "payload_len" in entry else next((entry[n] for n in names if n in entry), "")
    )
    return str(text)


def entries(*sections: list[Entry]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", [entry for section in sections for entry in section], ids=label)


def by_mode(vectors: Entry, section: str) -> list[Any]:
    return [
        pytest.param(mode, entry, id=f"{mode}: {label(entry)}") for mode in MODES for entry in vectors[mode][section]
    ]


def value(entry: Entry, name: str) -> bytes:
    return bytes.fromhex(entry[name])


def payload_of(length: int) -> bytes:
    repeated = bytes((7 * i + length + 3) % 256 for i in range(256))
    return (repeated * (length // 256 + 1))[:length]


def assert_value(entry: Entry, name: str, actual: bytes | None) -> None:
    """``actual`` is what ``entry`` gives under ``name``, in full or as length, digest, head and tail."""
    if name in entry:
        assert actual == (None if entry[name] is None else value(entry, name))
        return
    assert actual is not None
    digest = hashlib.sha256(actual).hexdigest()
    seen = {"len": len(actual), "sha256": digest, "head24": actual[:24].hex(), "tail80": actual[-80:].hex()}
    assert seen == {part: entry[f"{name}_{part}"] for part in seen}


def assert_outcome(entry: Entry, act: Callable[[], bytes | None]) -> None:
    """``act`` returns what ``entry`` returned, or fails with its kind (a panic has none in the vectors)."""
    if entry["result"] == "ok":
        assert_value(entry, "returned", act())
        return
    assert ended(act) == entry.get("kind", entry["result"])


def ended(act: Callable[[], object]) -> str:
    """``ok``, or the kind of the error."""
    try:
        act()
    except E4goError as error:
        return error.kind
    return "ok"


def load(state: Entry | str | bytes) -> Client:
    text = json.dumps(state) if isinstance(state, dict) else state
    return Client.load(io.BytesIO(text if isinstance(text, bytes) else text.encode()))


def stored(client: Client) -> bytes:
    client.store.seek(0)
    return client.store.read()


def first_json(text: bytes) -> Any:
    return json.JSONDecoder().raw_decode(text.decode())[0]


def command_key_of(entry: Entry) -> bytes:
    if "client_key" in entry:
        return value(entry, "client_key")
    return crypto.c2_shared_key(value(entry, "c2_x25519_private"), value(entry, "client_ed25519_public"))


def set_topic_key(client: Client, key: bytes, now: float) -> None:
    apply(client, b"\x03" + key + crypto.topic_hash(TOPIC), now)


def apply(client: Client, command: bytes, now: float) -> None:
    key = client.key.key if isinstance(client.key, SkKey) else client.key.shared_key
    assert client.unprotect(crypto.seal(key, command, crypto.timestamp(now)), client.receiving_topic, now) is None
