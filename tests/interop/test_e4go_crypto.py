# SPDX-License-Identifier: Apache-2.0
"""The primitives of the witness client against the vectors made by the real e4go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop import e4go_crypto as crypto
from tests.interop.e4go_crypto import E4goError
from tests.interop.e4go_vectors import (
    PK,
    PRIVATE,
    SK,
    Entry,
    assert_outcome,
    assert_value,
    command_key_of,
    entries,
    value,
)


@entries(SK["aead"])
def test_aead_equals_e4go(entry: Entry) -> None:
    key, ad = value(entry, "key"), value(entry, "ad")
    assert_value(entry, "ct", crypto.aead_seal(key, value(entry, "pt"), ad))
    assert_value(entry, "pt", crypto.aead_open(key, value(entry, "ct"), ad))


@pytest.mark.parametrize("act", [crypto.aead_seal, crypto.aead_open])
@entries(SK["aead_key_errors"])
def test_aead_refuses_bad_keys(entry: Entry, act: Callable[[bytes, bytes, bytes], bytes]) -> None:
    with pytest.raises(E4goError) as caught:
        act(value(entry, "key"), bytes(32), bytes(8))
    assert (caught.value.kind, str(caught.value)) == ("bad_key", entry["error"])


@entries(SK["topic_hash"])
def test_topic_hash_and_previous_key_slot_equal_e4go(entry: Entry) -> None:
    repeat = entry.get("topic_repeat")
    topic = repeat["char"] * repeat["count"] if repeat else value(entry, "topic_utf8_hex").decode()
    assert_value(entry, "hash", crypto.topic_hash(topic))
    assert_value(entry, "hash_of_hash", crypto.hash_of_hash(crypto.topic_hash(topic)))


@entries(SK["commands_fixed"], PK["commands_fixed"])
def test_the_c2_side_seals_commands_as_e4go(entry: Entry) -> None:
    assert value(entry, "command")[0] == entry["code"]
    assert_value(entry, "shared_key" if "shared_key" in entry else "client_key", command_key_of(entry))
    assert_value(
        entry, "protected", crypto.seal(command_key_of(entry), value(entry, "command"), crypto.timestamp(entry["ts"]))
    )


@entries(PK["key_pairs"])
def test_key_conversions_equal_e4go(entry: Entry) -> None:
    assert value(entry, "ed25519_private_64") == value(entry, "seed") + value(entry, "ed25519_public")
    assert_value(entry, "x25519_private", crypto.x25519_private_of(value(entry, "seed")))
    assert_value(entry, "x25519_public", crypto.x25519_public_of(value(entry, "ed25519_public")))
    assert_value(entry, "x25519_public", crypto.x25519(value(entry, "x25519_private"), (9).to_bytes(32, "little")))


@entries(PK["shared_keys"])
def test_both_sides_share_the_key_of_e4go(entry: Entry) -> None:
    private, public = crypto.x25519_private_of(value(entry, "client_seed")), value(entry, "c2_x25519_public")
    assert_value(
        entry, "c2_x25519_public", crypto.x25519(value(entry, "c2_x25519_private"), (9).to_bytes(32, "little"))
    )
    assert_value(entry, "shared_point", crypto.x25519(private, public))
    assert_value(entry, "shared_key", crypto.shared_key(private, public))
    assert_value(
        entry,
        "shared_key",
        crypto.c2_shared_key(value(entry, "c2_x25519_private"), value(entry, "client_ed25519_public")),
    )


@entries(PK["odd_public_keys"])
def test_odd_public_keys_convert_as_in_e4go(entry: Entry) -> None:
    assert_outcome(entry, lambda: crypto.x25519_public_of(value(entry, "ed25519_public")))


@entries(PK["sign"])
def test_signed_messages_equal_e4go(entry: Entry) -> None:
    ts = crypto.timestamp(entry["ts"])
    signed = crypto.sign(value(entry, "ed25519_private_64"), value(entry, "signer_id"), ts, value(entry, "data"))
    assert_value(entry, "signed", signed)


@entries(PK["sign_errors"])
def test_sign_refuses_what_e4go_refuses(entry: Entry) -> None:
    id_len, ts_len = {"15-byte signer id": (15, 8), "7-byte timestamp": (16, 7)}[entry["name"]]
    with pytest.raises(E4goError, match=f"^{entry['error']}$"):
        crypto.sign(PRIVATE, bytes(id_len), bytes(ts_len), b"")
