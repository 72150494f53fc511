# SPDX-License-Identifier: Apache-2.0
"""State files of the witness client against those that the real e4go wrote and read."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from tests.interop import e4go_crypto as crypto
from tests.interop.e4go_crypto import E4goError
from tests.interop.e4go_like import Client
from tests.interop.e4go_vectors import (
    CLIENT_KEY,
    MODES,
    NOW,
    STATE,
    TOPIC,
    Entry,
    assert_outcome,
    by_mode,
    entries,
    load,
    set_topic_key,
    stored,
    value,
)


@cache
def played_store(mode: str) -> list[bytes]:
    """One new client through the steps of the state file: its store at the start and after each step."""
    given = STATE[mode]
    client = (
        Client.new_pk(value(given, "id"), value(given, "ed25519_private_64"), value(given, "c2_x25519_public"))
        if mode == "pk"
        else Client.new_sk(value(given, "id"), value(given, "client_key"))
    )
    stores = [stored(client)]
    for step in given["steps"]:
        assert client.unprotect(value(step, "protected"), given["receiving_topic"], step["now_before"]) is None
        stores.append(stored(client))
    return stores


@pytest.mark.parametrize(
    ("mode", "number"),
    [
        pytest.param(mode, number, id=f"{mode} {number}: {name}")
        for mode in MODES
        for number, name in enumerate(["start", *(step["name"] for step in STATE[mode]["steps"])])
    ],
)
def test_the_state_file_equals_e4go_byte_for_byte(mode: str, number: int) -> None:
    texts = [STATE[mode]["start_text"], *(step["file_text_after"] for step in STATE[mode]["steps"])]
    assert played_store(mode)[number].decode() == texts[number]


@pytest.mark.parametrize(("mode", "entry"), by_mode(STATE, "transition_unprotect"))
def test_messages_under_older_keys_end_as_in_e4go(mode: str, entry: Entry) -> None:
    client = load(played_store(mode)[-1])
    assert_outcome(entry, lambda: client.unprotect(value(entry, "protected"), TOPIC, entry["now_before"]))


@entries(STATE["old_key_ages"])
def test_previous_keys_live_as_long_as_in_e4go(entry: Entry) -> None:
    client = load(entry["state_text"])
    assert_outcome(entry, lambda: client.unprotect(value(entry, "protected"), TOPIC, entry["now_before"]))


def test_a_shrunk_state_keeps_the_tail_of_the_longer_one(tmp_path: Path) -> None:
    given, before = STATE["file_store_shrink"], played_store("sk")[-1]
    assert len(before) == given["file_text_before_len"]
    path = tmp_path / "state.json"
    path.write_bytes(before)
    with path.open("r+b") as store:
        client = Client.load(store)
        client.unprotect(crypto.seal(CLIENT_KEY, b"\x01", crypto.timestamp(NOW)), client.receiving_topic, NOW)
    assert path.read_text() == given["file_text_after_reset_topics"]
    with path.open("r+b") as store, pytest.raises(E4goError, match=given["protect_after_reload"]):
        Client.load(store).protect(b"x", TOPIC, NOW)


def receiving_topic_in(text: str) -> bytes:
    return load(text).receiving_topic.encode()


@entries(STATE["load"])
def test_loading_ends_as_in_e4go(entry: Entry) -> None:
    if "text" in entry:
        assert_outcome(entry, lambda: receiving_topic_in(entry["text"]))
        return
    state = json.loads(STATE["load"][0]["text"])
    del state["TopicKeys"]
    assert_outcome(entry, lambda: set_topic_key(load(state), CLIENT_KEY, NOW))


def test_a_custom_receiving_topic_is_saved_only_by_the_first_command() -> None:
    texts = [STATE[f"with_receiving_topic_saved_text_{when}"] for when in ("right_after_creation", "after_a_command")]
    last = json.loads(texts[1])
    client = Client.new_sk(load(texts[0]).id, CLIENT_KEY, topic=last["ReceivingTopic"])
    assert stored(client).decode() == texts[0]
    set_topic_key(client, load(texts[1]).topic_keys[crypto.topic_hash(TOPIC).hex()], NOW)
    assert stored(client).decode() == texts[1]
