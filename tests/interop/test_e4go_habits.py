# SPDX-License-Identifier: Apache-2.0
"""Habits of e4go that no vector covers: ``wire.md`` sections 4, 6, 7, 8 and 12."""

from __future__ import annotations

import json

import pytest

from tests.interop import e4go_crypto as crypto
from tests.interop.e4go_like import Client
from tests.interop.e4go_vectors import (
    C2_PUBLIC,
    CLIENT_KEY,
    NOW,
    PRIVATE,
    STATE,
    TOPIC,
    apply,
    ended,
    first_json,
    load,
    set_topic_key,
    stored,
)


@pytest.mark.parametrize(
    ("now", "how"),
    [(1000.0, "ok"), (999.999, "timestamp_future"), (1600.0, "ok"), (1600.001, "timestamp_old")],
)
def test_the_window_is_counted_with_fractions(now: float, how: str) -> None:
    assert ended(lambda: crypto.check_age(crypto.timestamp(1000), now, crypto.MESSAGE_AGE_S)) == how


def test_messages_and_commands_can_be_replayed() -> None:
    client = Client.new_sk("x", CLIENT_KEY)
    set_topic_key(client, CLIENT_KEY, NOW)
    set_topic_key(client, CLIENT_KEY, NOW)
    message = client.protect(b"x", TOPIC, NOW)
    assert [client.unprotect(message, TOPIC, NOW) for _ in range(2)] == [b"x", b"x"]


def test_the_old_identity_key_is_gone_at_once() -> None:
    client = Client.new_sk("x", CLIENT_KEY)
    command = crypto.seal(CLIENT_KEY, b"\x02" + bytes(range(32)), crypto.timestamp(NOW))
    assert client.unprotect(command, client.receiving_topic, NOW) is None
    assert ended(lambda: client.unprotect(command, client.receiving_topic, NOW)) == "not_authentic"
    set_topic_key(client, CLIENT_KEY, NOW)


def test_a_zero_topic_key_is_stored_and_then_useless() -> None:
    client = Client.new_sk("x", CLIENT_KEY)
    set_topic_key(client, bytes(32), NOW)
    assert ended(lambda: client.protect(b"x", TOPIC, NOW)) == "bad_key"
    assert ended(lambda: client.unprotect(crypto.timestamp(NOW) + bytes(17), TOPIC, NOW)) == "bad_key"


def test_a_previous_key_is_refused_when_its_slot_is_no_previous_key() -> None:
    client = Client.new_sk("x", CLIENT_KEY)
    set_topic_key(client, CLIENT_KEY, NOW)
    client.topic_keys[crypto.hash_of_hash(crypto.topic_hash(TOPIC)).hex()] = CLIENT_KEY
    foreign = crypto.seal(bytes(range(32)), b"x", crypto.timestamp(NOW))
    assert ended(lambda: client.unprotect(foreign, TOPIC, NOW)) == "bad_old_key"


def test_a_pk_client_cannot_read_itself_until_its_key_is_set() -> None:
    client = Client.new_pk("x", PRIVATE, C2_PUBLIC)
    set_topic_key(client, CLIENT_KEY, NOW)
    message = client.protect(b"x", TOPIC, NOW)
    assert ended(lambda: client.unprotect(message, TOPIC, NOW)) == "unknown_sender"
    apply(client, b"\x06" + PRIVATE[32:] + client.id, NOW)
    assert client.unprotect(message, TOPIC, NOW) == b"x"


def test_a_signature_with_s_beyond_the_group_order_is_refused() -> None:
    client = Client.new_pk("x", PRIVATE, C2_PUBLIC)
    set_topic_key(client, CLIENT_KEY, NOW)
    apply(client, b"\x06" + PRIVATE[32:] + client.id, NOW)
    message = client.protect(b"x", TOPIC, NOW)
    order = 2**252 + 27742317777372353535851937790883648493
    forged = message[:-32] + (int.from_bytes(message[-32:], "little") + order).to_bytes(32, "little")
    assert ended(lambda: client.unprotect(forged, TOPIC, NOW)) == "bad_signature"


def test_states_without_a_key_or_with_nil_tables_crash_on_use() -> None:
    no_key = json.loads(STATE["load"][2]["text"])
    assert ended(lambda: load(no_key).unprotect(bytes(40), "e4/x", NOW)) == "panic"
    nil_keys = json.loads(STATE["load"][6]["text"])
    nil_keys["Key"]["keyData"]["PubKeys"] = None
    client = load(nil_keys)
    apply(client, b"\x06" + bytes(32) + client.id, NOW)
    assert ended(lambda: apply(client, b"\x06" + PRIVATE[32:] + client.id, NOW)) == "panic"


def test_the_previous_key_is_tried_only_after_a_failed_authentication() -> None:
    client = Client.new_sk("x", CLIENT_KEY)
    set_topic_key(client, CLIENT_KEY, NOW)
    message = client.protect(b"x", TOPIC, NOW)
    set_topic_key(client, bytes(32), NOW)
    assert ended(lambda: client.unprotect(message, TOPIC, NOW)) == "bad_key"


def test_map_keys_are_saved_in_order_whatever_the_order_of_arrival() -> None:
    client = Client.new_sk("x", CLIENT_KEY)
    for topic in (b"\xff" * 16, b"\x00" * 16):
        apply(client, b"\x03" + CLIENT_KEY + topic, NOW)
    assert list(first_json(stored(client))["TopicKeys"]) == ["00" * 16, "ff" * 16]
