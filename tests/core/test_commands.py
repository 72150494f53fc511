# SPDX-License-Identifier: Apache-2.0
"""Commands: their effects, why they are refused, and what the device answers (`wire.md` section 7, `format2.md` 4)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4backends import pk as pk_suite
from e4core.command import (
    Command,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
    SetTopicKey,
)
from e4core.errors import E4Error, KmsUnavailable
from e4core.keys import TopicHash
from e4core.report import Ack, Outcome
from e4core.state import State, TopicState
from e4core.suite import PrivateKey, Suite
from tests.core.fleet import (
    LOW_ORDER_ED25519,
    LOW_ORDER_X25519,
    NOW,
    SECOND,
    TOPIC,
    Device,
    c2_public_of,
    client_id,
    digest_of,
    private_of,
    refused,
    seal,
    topic_hash,
    topic_key,
)
from tests.core.strategies import LAW, damaged

P = 2**255 - 19
TAG = slice(8, 24)
GIVE = SetTopicKey(topic_key("new"), topic_hash("new topic"))
LENGTHS = {0: {17}, 1: {1}, 2: {33, 65}, 3: {49}, 4: {17}, 5: {1}, 6: {49}, 7: {33}}
PUBLIC_KEY_ONLY = {4, 5, 6, 7}


def untouched(before: State, after: State) -> bool:
    """True if at most the order of commands was noted."""
    fields = ("private", "c2_public", "topics", "peers", "command_second", "command_tags")
    return all(getattr(before, field) == getattr(after, field) for field in fields)


# --------------------------------------------------------------------------------------------------------- effects


def test_a_topic_is_given_and_taken_away(device: Device) -> None:
    device.command(GIVE, SECOND)
    assert device.client.state.topics[GIVE.topic] == TopicState(GIVE.key)
    device.command(RemoveTopic(GIVE.topic), SECOND + 1)
    assert set(device.client.state.topics) == {topic_hash(TOPIC)}
    device.command(RemoveTopic(GIVE.topic), SECOND + 2)
    device.command(ResetTopics(), SECOND + 3)
    assert device.client.state.topics == {}


def test_a_senders_key_is_given_and_taken_away(pk: Suite) -> None:
    device = Device(pk, knows=())
    public = bytes(private_of(pk, "new")[32:])
    device.command(SetPubKey(public, client_id("new")), SECOND)
    assert device.client.state.peers == {client_id("new"): public}
    device.command(SetPubKey(public, client_id("other")), SECOND)
    device.command(RemovePubKey(client_id("new")), SECOND + 1)
    assert device.client.state.peers == {client_id("other"): public}
    device.command(ResetPubKeys(), SECOND + 2)
    assert device.client.state.peers == {}


@pytest.mark.parametrize("what", ["id key", "C2 key"])
def test_a_new_key_of_the_device_or_the_c2_acts_at_once(pk: Suite, sk: Suite, what: str) -> None:
    for suite in (pk, sk) if what == "id key" else (pk,):
        device = Device(suite)
        late = device.sealed(GIVE, SECOND + 1)
        new_id, new_c2 = private_of(suite, "new"), c2_public_of(suite, "new c2")
        handled = device.command(SetIDKey(new_id) if what == "id key" else SetC2Key(new_c2), SECOND)
        with refused("not_authentic"):
            device.report(handled.report)
        if what == "id key":
            device.private = new_id
        else:
            device.c2 = "new c2"
        assert device.ack(handled).outcome is Outcome.APPLIED
        with refused("not_authentic"):
            device.client.command(late, SECOND + 1)
        assert device.command(GIVE, SECOND + 2).outcome is Outcome.APPLIED


@pytest.mark.parametrize("restart", [True, False])
def test_the_state_is_saved_before_a_command_is_answered(suite: Suite, device: Device, restart: bool) -> None:
    handled = device.command(GIVE, SECOND)
    assert device.store.last == device.client.state
    assert GIVE.topic in device.store.last.topics
    if restart:
        device.restart(clean=False)
    again = device.command(GIVE, SECOND)
    assert (handled.outcome, again.outcome) == (Outcome.APPLIED, Outcome.ALREADY)


# -------------------------------------------------------------------------------------------------------- refusals


def bad_keys(suite: Suite) -> dict[str, bytes]:
    """Name of the fault -> command with a key that is none."""
    topic, client = topic_hash(TOPIC), client_id("sender")
    forged = bytes(private_of(suite, "new")[:32] + private_of(suite, "other")[-32:])
    both = {
        "zero topic key": b"\x03" + bytes(32) + topic,
        "zero id key": b"\x02" + bytes(32 if suite.is_symmetric else 64),
        "id key of the other suite": b"\x02" + b"\7" * (64 if suite.is_symmetric else 32),
    }
    if suite.is_symmetric:
        return both
    off_curve = (2).to_bytes(32, "little")
    return both | {
        "zero seed": b"\x02" + bytes(32) + forged[32:],
        "public half of another seed": b"\x02" + forged,
        "zero public key": b"\x06" + bytes(32) + client,
        "public key off the curve": b"\x06" + off_curve + client,
        "public key of low order": b"\x06" + LOW_ORDER_ED25519 + client,
        "neutral element": b"\x06" + (1).to_bytes(32, "little") + client,
        "public key not canonical": b"\x06" + (P + 1).to_bytes(32, "little") + client,
        "zero C2 key": b"\x07" + bytes(32),
        "C2 key of low order": b"\x07" + LOW_ORDER_X25519,
        "C2 key one": b"\x07" + (1).to_bytes(32, "little"),
        "C2 key of low order, not canonical": b"\x07" + (P + 1).to_bytes(32, "little"),
        "C2 key not canonical": b"\x07" + (P + 9).to_bytes(32, "little"),
        "C2 key with the unused bit": b"\x07" + (9 + 2**255).to_bytes(32, "little"),
    }


@pytest.mark.parametrize("fault", bad_keys(pk_suite.SUITE))
def test_a_key_that_is_none_is_refused(pk: Suite, sk: Suite, fault: str) -> None:
    for suite in (pk, sk):
        plain = bad_keys(suite).get(fault)
        if plain is not None:
            assert_refused(Device(suite), plain, "bad_key")


def assert_refused(device: Device, plain: bytes, kind: str) -> None:
    before, saves = device.client.state, len(device.store.saved)
    sealed = device.sealed(plain, SECOND)
    handled = device.client.command(sealed, NOW)
    assert (handled.outcome, handled.commands) == (Outcome.REFUSED, ())
    assert handled.error is not None and handled.error.kind == kind
    assert untouched(before, device.client.state)
    assert len(device.store.saved) == saves
    digest = digest_of({topic_hash(TOPIC): (0, 0, topic_key("key"))}, before.peers)
    assert device.ack(handled) == Ack(digest, sealed[TAG], Outcome.REFUSED, kind)


@pytest.mark.parametrize(
    ("plain", "kind"),
    [(b"\x01x", "bad_command_length"), (b"\xff", "unknown_command"), (b"\x08" + bytes(16), "unknown_command")],
)
def test_a_malformed_command_is_refused_and_changes_nothing(device: Device, plain: bytes, kind: str) -> None:
    assert_refused(device, plain, kind)


def test_what_only_public_key_suites_have_is_unsupported_elsewhere(sk: Suite) -> None:
    for opcode in PUBLIC_KEY_ONLY:
        (length,) = LENGTHS[opcode]
        assert_refused(Device(sk), bytes([opcode]) + b"\7" * (length - 1), "unsupported")


def test_taking_away_a_key_that_is_not_held_is_refused(pk: Suite) -> None:
    assert_refused(Device(pk), b"\x04" + client_id("nobody"), "pubkey_missing")


def test_a_refusal_for_a_reason_of_the_suites_own_stays_an_error_of_ours(sk: Suite) -> None:
    class Token:
        """Identity that cannot load one key, as if its token had been pulled out."""

        private_len, public_len, public_is_secret = 32, 32, True

        def generate(self) -> bytes:
            return sk.device.generate()

        def load(self, stored: bytes, /) -> PrivateKey:
            if stored == private_of(sk, "new"):
                raise KmsUnavailable
            return sk.device.load(stored)

        def public(self, private: PrivateKey, /) -> bytes:
            return sk.device.public(private)

        def check(self, public: bytes, /) -> None:
            sk.device.check(public)

    device = Device(replace(sk, device=Token()))
    before = device.client.state
    with suppress(E4Error):  # refused in an ack, or surfacing
        device.command(SetIDKey(private_of(sk, "new")), SECOND)
    assert untouched(before, device.client.state)


@LAW
@given(data=st.data())
def test_any_damage_to_a_command_is_refused_and_the_original_is_obeyed_afterwards(
    suite: Suite, data: st.DataObject
) -> None:
    device = Device(suite)
    original, before = device.sealed(GIVE, SECOND), device.client.state
    for _ in range(4):
        with refused():
            device.client.command(data.draw(damaged(original)), NOW)
        assert device.client.state is before
    assert device.client.command(original, NOW).outcome is Outcome.APPLIED


def test_every_flipped_bit_and_every_truncation_of_a_command_is_refused(device: Device) -> None:
    original, before = device.sealed(ResetTopics(), SECOND), device.client.state
    flips = [
        (int.from_bytes(original, "big") ^ 1 << bit).to_bytes(len(original), "big") for bit in range(8 * len(original))
    ]
    for data in [*flips, *(original[:length] for length in range(len(original)))]:
        with refused():
            device.client.command(data, NOW)
    assert device.client.state is before
    assert device.client.command(original, NOW).outcome is Outcome.APPLIED


def test_a_report_is_no_command_and_a_command_no_report(device: Device) -> None:
    with refused():
        device.client.command(device.client.hello(), NOW)
    with refused():
        device.report(device.sealed(GIVE, SECOND))


def test_the_command_of_another_device_is_not_authentic(suite: Suite, device: Device) -> None:
    with refused("not_authentic"):
        device.client.command(Device(suite, "other").sealed(GIVE, SECOND), NOW)


@pytest.mark.parametrize(
    ("now", "kind"),
    [
        (SECOND + 600.0, None),
        (SECOND + 600.001, "timestamp_old"),
        (SECOND - 30.0, None),
        (SECOND - 30.001, "timestamp_future"),
    ],
)
def test_a_commands_timestamp_counts_to_the_fraction_of_a_second(device: Device, now: float, kind: str | None) -> None:
    if kind is None:
        assert device.command(GIVE, SECOND, now).outcome is Outcome.APPLIED
    else:
        with refused(kind):
            device.command(GIVE, SECOND, now)


def test_a_command_without_content_is_too_short(device: Device) -> None:
    with refused("too_short"):
        device.client.command(seal(device.private[:32], b"", SECOND), NOW)


# ------------------------------------------------------------------------------------------------------------ acks

Change = tuple[Callable[[Suite], Command], tuple[str, ...], tuple[str, ...]]
CHANGES: dict[str, Change] = {
    "one more topic": (lambda _: GIVE, (TOPIC, "new topic"), ("sender",)),
    "no topic": (lambda _: ResetTopics(), (), ("sender",)),
    "a topic that is not held": (lambda _: RemoveTopic(TopicHash(bytes(16))), (TOPIC,), ("sender",)),
    "one more sender": (
        lambda pk: SetPubKey(private_of(pk, "new")[32:], client_id("new")),
        (TOPIC,),
        ("sender", "new"),
    ),
    "no sender": (lambda _: ResetPubKeys(), (TOPIC,), ()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_ack_says_what_became_of_the_command_and_what_is_held_now(pk: Suite, sk: Suite, change: str) -> None:
    make, topics, senders = CHANGES[change]
    for suite in (pk,) if "sender" in change else (pk, sk):
        device, command = Device(suite), make(suite)
        sealed = device.sealed(command, SECOND)
        handled = device.client.command(sealed, NOW)
        peers = {} if suite.is_symmetric else {client_id(name): private_of(suite, name)[32:] for name in senders}
        held = {topic_hash(t): (0, 0, topic_key("key" if t == TOPIC else "new")) for t in topics}
        assert (handled.outcome, handled.commands, handled.error) == (Outcome.APPLIED, (command,), None)
        assert device.ack(handled) == Ack(digest_of(held, peers), sealed[TAG], Outcome.APPLIED)
