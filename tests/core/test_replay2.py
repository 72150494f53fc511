# SPDX-License-Identifier: Apache-2.0
"""The bounds of Format 2's replay memory, and what crashes, epochs and removed topics do to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.client2 import Client2
from e4core.command2 import RemoveTopic
from e4core.errors import Replayed
from e4core.keys import FullTopicHash
from e4core.replay2 import MOST, TOPICS_MOST, Memories2, TopicMemory
from e4core.session2 import Session
from e4core.state2 import WINDOW
from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, refused, topic_key
from tests.core.fleet2 import EPOCH, SUITES, Device2, Letter, epoch_of, full_hash, set_key, suites
from tests.core.strategies import LAW

INF = float("inf")


@LAW
@given(
    st.lists(st.one_of(st.integers(0, 40), st.integers(1000, 1100), st.integers(2**32 - 40, 2**32 - 1)), max_size=60)
)
def test_a_session_takes_every_sequence_once_and_none_below_the_window(sequences: list[int]) -> None:
    session = Session(1, bytes(24), 0, INF, 0)
    seen: set[int] = set()
    for sequence in sequences:
        fresh = sequence not in seen and (not seen or sequence >= max(seen) - WINDOW)
        if not seen:
            session.begin(sequence)
        elif fresh:
            session.check(sequence)
            session.accept(sequence)
        else:
            with pytest.raises(Replayed):
                session.check(sequence)
        seen |= {sequence} if fresh else set()


@pytest.mark.parametrize("signed", [False, True])
def test_at_the_bound_the_oldest_session_goes_and_leaves_its_time_as_the_floor(signed: bool) -> None:
    memory = TopicMemory(signed)
    memory.keep([epoch_of(SUITES[0], topic_key("k"))])
    for i in range(MOST[signed] + 1):
        session = Session(EPOCH, bytes(16) + i.to_bytes(8, "little"), 0, INF, 0)
        memory.remember(session, 0, _open)
        memory.expect(session, bytes([1]) + i.to_bytes(36, "little"), 1000 + i, 0.0, INF, None)
    assert len(memory.table[EPOCH]) == len(memory.recent) == MOST[signed]
    assert bytes(24) not in memory.table[EPOCH]
    assert (memory.floor(bytes(24)), memory.floor(b"other".ljust(24))) == (1000, 0 if signed else 1000)


@suites
def test_after_a_crash_nothing_that_may_have_been_accepted_is_accepted_from_anybody(suite: Suite) -> None:
    device = Device2(suite, knows=("sender", "other"))
    device.accept(Letter(sent=SECOND))
    device.restart(clean=False)
    for letter in (Letter(), Letter(sequence=1), Letter(sender="other"), Letter(sender="other", sent=SECOND + 5)):
        with refused("timestamp_old"):
            device.accept(letter)
    device.accept(Letter(sequence=1, sent=SECOND + 6))


@suites
@pytest.mark.parametrize("validity_s", [0, 600])
def test_after_a_crash_nothing_is_accepted_again_when_its_session_goes_on(suite: Suite, validity_s: int) -> None:
    device = Device2(suite, validity_s=validity_s)
    old = [Letter(sent=SECOND + i, sequence=i) for i in range(3)]
    for letter in old:
        device.accept(letter)
    device.restart(clean=False)
    device.accept(Letter(sent=SECOND + 8, sequence=5))
    device.accept(Letter(sent=SECOND + 6, sequence=4))
    for again, clean in enumerate([False, True, True]):
        for letter in (*old, Letter(sent=SECOND + 5, sequence=3), Letter(sent=SECOND + 5, sequence=6)):
            with refused("timestamp_old"):
                device.accept(letter)
        device.restart(clean=clean)
        device.accept(Letter(sent=SECOND + 20, sequence=7 + again))


@pytest.mark.parametrize("suite", [SUITES[0], SUITES[-1]], ids=lambda suite: suite.name)
def test_a_session_that_was_pushed_out_and_comes_again_brings_back_nothing(suite: Suite) -> None:
    device = Device2(suite)
    first = Letter()
    device.accept(first)
    for i in range(MOST[suite.signature is not None]):
        device.accept(Letter(sent=SECOND + 1, session=i.to_bytes(8, "little")))
    device.accept(Letter(sent=SECOND + 3, sequence=1))
    with refused("timestamp_old"):
        device.accept(first)


@suites
def test_after_a_stop_in_order_everything_goes_on(suite: Suite) -> None:
    device = Device2(suite, knows=("sender", "other"))
    for sequence in (5, 3, 6):
        device.accept(Letter(sequence=sequence))
    device.restart(clean=True)
    for sequence in (5, 3, 6):
        with refused("replayed"):
            device.accept(Letter(sequence=sequence))
    for letter in (Letter(sequence=4), Letter(sequence=7), Letter(sender="other", sent=SECOND - 50)):
        device.accept(letter)


@suites
def test_a_later_message_than_ever_is_accepted_only_after_that_was_saved(suite: Suite) -> None:
    device = Device2(suite)
    device.accept(Letter(sequence=0))
    assert device.store.last.mark == SECOND + 5
    count = len(device.store.saved)
    device.accept(Letter(sequence=1, sent=SECOND + 5))
    assert len(device.store.saved) == count
    device.store.full = True
    with refused("storage"):
        device.accept(Letter(sequence=2, sent=SECOND + 6))
    device.store.full = False
    device.accept(Letter(sequence=2, sent=SECOND + 6))
    assert device.store.last.mark == SECOND + 11


@suites
def test_an_eviction_silences_nobody_whose_clock_is_behind(suite: Suite) -> None:
    device = Device2(suite, knows=("sender", "other"))
    device.accept(Letter(sent=SECOND + 20))
    device.command(set_key(EPOCH + 1, "new", older_until=0))
    with refused("epoch_retired"):
        device.accept(Letter(sequence=1))
    device.accept(Letter(sender="other", sent=SECOND - 20, epoch=EPOCH + 1, key=topic_key("new")))


@suites
def test_a_removed_topic_that_comes_back_has_forgotten_nothing(suite: Suite) -> None:
    device = Device2(suite)
    device.accept(Letter(sequence=3))
    device.command(RemoveTopic(full_hash(TOPIC)))
    with refused("topic_key_missing"):
        device.accept(Letter(sequence=3))
    device.command(set_key(EPOCH, "key"))
    with refused("replayed"):
        device.accept(Letter(sequence=3))
    device.accept(Letter(sequence=4))


@suites
def test_an_epoch_that_comes_back_although_it_was_over_brings_no_replays(suite: Suite) -> None:
    device = Device2(suite)
    device.accept(Letter(sequence=3))
    device.command(set_key(EPOCH + 1))
    device.command(RemoveTopic(full_hash(TOPIC)), set_key(EPOCH, "key"))
    with refused("timestamp_old"):
        device.accept(Letter(sequence=3))
    device.accept(Letter(sequence=4, sent=SECOND + 1))
    with refused("timestamp_old"):
        device.accept(Letter(sequence=3))


@suites
def test_a_retired_epoch_that_the_c2_prolongs_remembers_what_it_has_accepted(suite: Suite) -> None:
    table = (epoch_of(suite, topic_key("key"), not_after=SECOND + 10),)
    device = Device2(suite, topics={TOPIC: table})
    device.accept(Letter(sequence=3))
    with refused("epoch_retired"):
        device.accept(Letter(sequence=4), now=SECOND + 11)
    assert device.epochs[0].key is None
    device.command(set_key(EPOCH, "another"))
    assert device.epochs[0].key is None
    device.command(set_key(EPOCH, "key", not_after=SECOND + 99), now=SECOND + 12)
    with refused("replayed"):
        device.accept(Letter(sequence=3), now=SECOND + 12)
    device.accept(Letter(sequence=4), now=SECOND + 12)


@suites
def test_resetting_the_clock_forgets_a_future_that_was_none(suite: Suite) -> None:
    device = Device2(suite)
    device.accept(Letter(sent=SECOND + 10**6), now=NOW + 10**6)
    device.restart(clean=False)
    with refused("timestamp_old"):
        device.accept(Letter(sequence=1))
    device.client.reset_clock(NOW)
    with refused("timestamp_old"):
        device.accept(Letter(sequence=1))
    device.accept(Letter(sequence=1, sent=SECOND + 31), now=NOW + 2)


@suites
def test_resetting_the_clock_forgets_nothing_that_is_remembered(suite: Suite) -> None:
    device = Device2(suite, validity_s=0)
    letters = [Letter(), Letter(sent=SECOND + 3600, sequence=2), Letter(sent=SECOND + 3590, sequence=3)]
    for letter in letters:
        device.accept(letter, NOW + 3600)
    device.client.reset_clock(NOW)
    assert (device.store.last.mark, device.store.last.floor) == (SECOND + 30, 0)
    device.accept(Letter(sequence=4))
    for clean in (False, True):
        for letter in letters:
            with refused("replayed"):
                device.accept(letter, NOW + 3600)
        if not clean:
            device.restart(clean=True)
    device.accept(Letter(sequence=1), NOW)


@suites
def test_resetting_the_clock_lowers_floors_of_sessions_and_takes_sequences_in_exchange(suite: Suite) -> None:
    device = Device2(suite)
    old = Letter(sent=SECOND + 3600, sequence=2)
    device.accept(old, NOW + 3600)
    device.restart(clean=False)
    device.accept(Letter(sent=SECOND + 3606, sequence=3), NOW + 3600)
    device.client.reset_clock(NOW)
    with refused("timestamp_old"):
        device.accept(Letter(sent=SECOND + 30, sequence=4), NOW + 1)
    device.accept(Letter(sent=SECOND + 31, sequence=4), NOW + 1)
    with refused("replayed"):
        device.accept(old, NOW + 3600)


def test_resetting_the_clock_lowers_floors_of_senders() -> None:
    device = Device2(SUITES[-1])
    for i in range(MOST[True] + 1):
        device.accept(Letter(sent=SECOND + 3600, session=i.to_bytes(8, "little")), NOW + 3600)
    device.client.reset_clock(NOW)
    with refused("timestamp_old"):
        device.accept(Letter(sent=SECOND + 30))
    device.accept(Letter(sent=SECOND + 31), NOW + 1)


def test_a_reset_of_the_clock_that_cannot_be_saved_changes_nothing() -> None:
    device = Device2(SUITES[0])
    device.accept(Letter(sent=SECOND + 3600), NOW + 3600)
    device.restart(clean=False)
    device.accept(Letter(sent=SECOND + 3606, sequence=1), NOW + 3600)
    before = device.everything()
    device.store.full = True
    with refused("storage"):
        device.client.reset_clock(NOW)
    assert device.everything() == before


def test_topics_that_are_not_held_any_more_do_not_pile_up_and_leave_a_floor_for_all() -> None:
    suite = SUITES[0]
    device = Device2(suite, validity_s=0)
    for i in range(TOPICS_MOST + 3):
        table = (epoch_of(suite, topic_key("key")),)
        memories: Memories2 = device.client._memories
        memory = memories.of(FullTopicHash(i.to_bytes(32, "big")))
        memory.keep(table)
        session = Session(EPOCH, bytes(24), 0, INF, 0)
        memory.remember(session, 0, _open)
        session.newest = i + 1
    device.command(set_key(EPOCH + 1))
    assert device.client.state.floor == 3
    assert len(device.client._memories.seen()) == TOPICS_MOST + 1


def test_the_key_of_a_session_is_kept_only_after_it_has_opened_something() -> None:
    device = Device2(SUITES[0])
    with refused("not_authentic"):
        device.accept(Letter(key=topic_key("another")))
    assert not device.client._memories.of(full_hash(TOPIC)).table[EPOCH]
    device.accept(Letter())
    (session,) = device.client._memories.of(full_hash(TOPIC)).table[EPOCH].values()
    assert session.open is not None
    device.command(RemoveTopic(full_hash(TOPIC)))
    assert session.open is None


@suites
def test_all_that_is_remembered_is_saved(suite: Suite) -> None:
    device = Device2(suite, knows=("sender", "other"))
    for sender in ("sender", "other"):
        for sequence in (2000, 990, 1999):
            device.accept(Letter(sender=sender, sequence=sequence))
    device.client.close()
    saved = device.store.last
    again: Client2 = device.start(saved)
    again.close()
    assert device.store.last.seen == saved.seen
    assert saved.seen[0].sessions[0].missing.bit_count() == WINDOW - 2


def _open(_nonce: bytes, _ciphertext: bytes, _associated_data: bytes) -> bytes:
    raise NotImplementedError
