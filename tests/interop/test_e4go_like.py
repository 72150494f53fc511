# SPDX-License-Identifier: Apache-2.0
"""The witness client against the vectors made by the real e4go: messages, commands, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import pytest

from tests.interop import e4go_crypto as crypto
from tests.interop.e4go_crypto import E4goError
from tests.interop.e4go_like import Client, PkKey
from tests.interop.e4go_vectors import (
    C2_PUBLIC,
    CLIENT_KEY,
    MODES,
    NOW,
    PK,
    PRIVATE,
    SK,
    STATE,
    TOPIC,
    Entry,
    assert_outcome,
    assert_value,
    by_mode,
    command_key_of,
    ended,
    entries,
    first_json,
    label,
    load,
    payload_of,
    stored,
    value,
)

# What is not run, by name, with the reason. Sections hold for each file that has them.
LEFT_OUT = {
    "meta": "describes the file",
    "key_from_password": "needs Argon2i with an empty salt, which no maintained library offers",
    "id_from_alias: validate_name_error": "a check of the C2 tools, the client does not make it",
    "topic_hash: validate_topic_error": "a check of the C2 tools, the client does not make it",
    "file_store_shrink: note": "prose; what it says is checked byte for byte",
}
RUN = {
    "sk": "aead aead_key_errors command_negatives command_sequence command_unprotect commands_fixed id_from_alias "
    "protect_fixed protect_live protect_unknown_topic_error topic_hash unprotect",
    "pk": "command_negatives command_sequence commands_fixed create_errors key_pairs odd_public_keys protect_fixed "
    "protect_live receiver_bob_state shared_keys sign sign_errors state_with_low_order_c2key_reload unprotect",
    "state": "file_store_shrink load old_key_ages pk sk with_receiving_topic_saved_text_after_a_command "
    "with_receiving_topic_saved_text_right_after_creation",
}


def sender_of(entry: Entry) -> Client:
    client = (
        Client.new_pk(value(entry, "signer_id"), value(entry, "ed25519_private_64"), C2_PUBLIC)
        if "signer_id" in entry
        else Client.new_sk("sender", CLIENT_KEY)
    )
    client.topic_keys[crypto.topic_hash(entry["topic"]).hex()] = value(entry, "topic_key")
    return client


def receiver_of(entry: Entry, mode: str) -> Client:
    client = load(PK["receiver_bob_state"]) if mode == "pk" else Client.new_sk("receiver", CLIENT_KEY)
    client.topic_keys[crypto.topic_hash(TOPIC).hex()] = value(entry, "topic_key")
    return client


def test_every_section_of_the_vectors_is_run_or_left_out_by_name() -> None:
    for name, vectors in {**MODES, "state": STATE}.items():
        assert set(vectors) - set(LEFT_OUT) == set(RUN[name].split())


@entries(SK["id_from_alias"])
def test_id_and_receiving_topic_come_from_the_name(entry: Entry) -> None:
    client = Client.new_sk(value(entry, "name_utf8_hex").decode(), CLIENT_KEY)
    assert_value(entry, "id", client.id)
    assert client.receiving_topic == entry["receiving_topic"]


@entries(SK["protect_fixed"], SK["protect_live"], PK["protect_fixed"], PK["protect_live"])
def test_protect_gives_the_bytes_of_e4go(entry: Entry) -> None:
    protected = sender_of(entry).protect(payload_of(entry["payload_len"]), entry["topic"], entry["ts"] + 0.9)
    assert_value(entry, "protected", protected)


@entries([entry for entry in SK["protect_fixed"] + PK["protect_fixed"] if "payload" in entry])
def test_the_payload_rule_gives_the_payloads_of_the_vectors(entry: Entry) -> None:
    assert_value(entry, "payload", payload_of(entry["payload_len"]))


@pytest.mark.parametrize(("mode", "entry"), by_mode(MODES, "protect_live"))
def test_live_messages_are_read_as_e4go_read_them(mode: str, entry: Entry) -> None:
    data = sender_of(entry).protect(payload_of(entry["payload_len"]), entry["topic"], entry["ts"])
    receiver, seen = receiver_of(entry, mode), entry["unprotect"]
    assert_outcome(seen, lambda: receiver.unprotect(data, entry["topic"], seen["now_before"]))


def test_protect_needs_a_topic_key() -> None:
    with pytest.raises(E4goError, match=SK["protect_unknown_topic_error"]):
        Client.new_sk("sender", CLIENT_KEY).protect(b"x", TOPIC, NOW)


@pytest.mark.parametrize(("mode", "entry"), by_mode(MODES, "unprotect"))
def test_unprotect_ends_as_in_e4go(mode: str, entry: Entry) -> None:
    receiver = receiver_of(entry, mode)
    assert_outcome(entry, lambda: receiver.unprotect(value(entry, "protected"), entry["topic"], entry["now_before"]))


@entries(SK["command_unprotect"])
def test_the_control_channel_ends_as_in_e4go(entry: Entry) -> None:
    client = Client.new_sk(bytes.fromhex(entry["topic"].removeprefix("e4/")), value(entry, "client_key"))
    assert_outcome(entry, lambda: client.unprotect(value(entry, "protected"), entry["topic"], entry["now_before"]))


@cache
def played(mode: str, section: str) -> list[tuple[str, bytes]]:
    """One client through all steps of a section: how each ended (``ok`` or the kind), and its store afterwards."""
    sequence = MODES[mode][section]
    client, outcomes = load(sequence["state_start"]), []
    for step in sequence["steps"]:
        assert_value(
            step, "protected", crypto.seal(command_key_of(step), value(step, "command"), value(step, "protected")[:8])
        )
        data, topic = value(step, "protected"), sequence["receiving_topic"]
        how = ended(partial(client.unprotect, data, topic, step["now_before"]))
        outcomes.append((how, stored(client)))
    return outcomes


@pytest.mark.parametrize(
    ("mode", "section", "number"),
    [
        pytest.param(mode, section, number, id=f"{mode} {section} {number}: {label(step)}")
        for mode in MODES
        for section in ("command_sequence", "command_negatives")
        for number, step in enumerate(MODES[mode][section]["steps"])
    ],
)
def test_a_command_ends_and_leaves_the_state_as_in_e4go(mode: str, section: str, number: int) -> None:
    step = MODES[mode][section]["steps"][number]
    how, store = played(mode, section)[number]
    assert how == ("ok" if step["result"] == "ok" else step["kind"])
    assert first_json(store) == step["state_after"]


@pytest.mark.parametrize("mode", MODES)
def test_a_new_client_has_the_start_state_of_the_vectors(mode: str) -> None:
    for section in (MODES[mode]["command_sequence"], MODES[mode]["command_negatives"]):
        key = load(section["state_start"]).key
        client = (
            Client.new_pk(section["client"], key.private, key.c2_public)
            if isinstance(key, PkKey)
            else Client.new_sk(section["client"], key.key)
        )
        assert first_json(stored(client)) == section["state_start"]


@entries(PK["create_errors"])
def test_creation_refuses_what_e4go_refuses(entry: Entry) -> None:
    acts: dict[str, Callable[[], Client]] = {
        "zero c2 key": lambda: Client.new_pk("x", PRIVATE, bytes(32)),
        "15-byte id": lambda: Client.new_pk(bytes(range(15)), PRIVATE, C2_PUBLIC),
        "SK: 15-byte id (accepted?)": lambda: Client.new_sk(bytes(range(15)), CLIENT_KEY),
        "32-byte private key": lambda: Client.new_pk("x", PRIVATE[:32], C2_PUBLIC),
        "private key whose public half belongs to another seed (accepted?)": lambda: Client.new_pk(
            "x", bytes([PRIVATE[0] ^ 1]) + PRIVATE[1:], C2_PUBLIC
        ),
    }
    if entry["error"] == "<nil>":
        acts[entry["name"]]()
        return
    with pytest.raises(E4goError) as caught:
        acts[entry["name"]]()
    assert str(caught.value) and entry["error"].endswith(str(caught.value)), "e4go wraps the same text"


def test_a_state_with_a_low_order_c2_key_does_not_load() -> None:
    entry = PK["state_with_low_order_c2key_reload"]
    assert_outcome(entry, lambda: load(played("pk", "command_negatives")[-1][1]).id)
