# SPDX-License-Identifier: Apache-2.0
"""Webhooks are told everything in order, again until they take it, by one replica at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from e4c2 import deks, replicas
from e4c2.audit import chain
from e4c2.audit.chain import Filter
from e4c2.events import Kind, dispatch, log, tell, webhooks
from e4c2.events.dispatch import GIVE_UP_S, LONGEST_PAUSE_S, Dispatcher, Outcome
from e4c2.events.webhooks import Webhook
from e4c2.replicas import Watch
from e4c2.rows import Realm
from e4core.errors import Conflict, InvalidInput, NotFound, Tampered
from e4kms import file as kek_file
from e4kms.keyring import Keyring
from tests.c2.receiver import Receiver, is_signed, receiving
from tests.c2.world import World

PATIENCE_S = 30


@pytest.fixture
def sk(sk: World) -> World:
    """With a replica that is at work."""
    sk.do(replicas.beat, Watch(), b"")
    return sk


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def hook(world: World, url: str, *kinds: Kind, name: str = "hook") -> tuple[Webhook, str]:
    made, secret = world.do(webhooks.create, name, url, kinds)
    return made, bytes(secret).decode()


def happen(world: World, *kinds: Kind) -> list[int]:
    before = world.store.run(log.newest)
    for kind in kinds or (Kind.KMS_LOST, Kind.KMS_BACK, Kind.KMS_LOST):
        world.do(tell, kind)
    return [each.id for each in world.do(log.page, before, 100).events]


def send(world: World, until: Callable[[], bool], realm: Realm | None = None) -> None:
    """Let a replica work until this is so."""

    async def work() -> None:
        task = asyncio.create_task(Dispatcher(world.store, realm or world.realm, GIVE_UP_S * 2).run())
        async with asyncio.timeout(PATIENCE_S):
            while not until() and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(work())


def shown(world: World, of: Webhook) -> Webhook:
    return world.do(webhooks.show, of.id)


def test_events_are_posted_in_order_and_signed(sk: World, receiver: Receiver) -> None:
    happen(sk)
    made, secret = hook(sk, receiver.url)
    numbers = happen(sk)
    send(sk, lambda: shown(sk, made).cursor == numbers[-1])
    assert receiver.numbers == numbers
    assert all(is_signed(secret, headers, body) for headers, body in receiver.got)
    assert not is_signed(secret, receiver.got[0][0], receiver.got[1][1])
    assert [body["type"] for body in receiver.bodies] == ["kms.lost", "kms.back", "kms.lost"]
    assert receiver.bodies[0]["timestamp"] == "2027-01-15T08:00:00.250Z"
    assert {headers["content-type"] for headers, _ in receiver.got} == {"application/json"}


def test_only_the_kinds_that_were_asked_for_are_posted(sk: World, receiver: Receiver) -> None:
    made, _ = hook(sk, receiver.url, Kind.KMS_BACK, Kind.TOPIC_CREATED)
    numbers = happen(sk)
    send(sk, lambda: shown(sk, made).cursor == numbers[-1])
    assert receiver.numbers == [numbers[1]]


def test_what_is_not_taken_is_sent_again_later_under_the_same_id(sk: World, receiver: Receiver) -> None:
    made, _ = hook(sk, receiver.url)
    numbers = happen(sk)
    receiver.answers.extend([(204, {}), (500, {})])
    send(sk, lambda: shown(sk, made).state == "failing")
    failing = shown(sk, made)
    assert (failing.cursor, failing.failure) == (numbers[0], "it answers 500")
    assert failing.next_try is not None and 3 < failing.next_try - sk.clock.now < 8
    assert not sk.do(dispatch.is_any_due)
    sk.clock.now = failing.next_try
    send(sk, lambda: shown(sk, made).cursor == numbers[-1])
    assert receiver.numbers == [numbers[0], numbers[1], numbers[1], numbers[2]]
    assert receiver.ids[1] == receiver.ids[2] and len(set(receiver.ids)) == 3
    assert shown(sk, made).state == "active" and shown(sk, made).failure is None


@pytest.mark.parametrize(
    ("answer", "failure"),
    [((302, {"location": "http://127.0.0.1/"}), "it answers 302"), ((404, {}), "it answers 404")],
)
def test_any_answer_but_2xx_is_none_and_redirects_lead_nowhere(
    sk: World, receiver: Receiver, answer: tuple[int, dict[str, str]], failure: str
) -> None:
    made, _ = hook(sk, receiver.url)
    happen(sk, Kind.KMS_LOST)
    receiver.answers.append(answer)
    send(sk, lambda: shown(sk, made).state == "failing")
    assert (shown(sk, made).failure, len(receiver.got)) == (failure, 1)


def test_a_receiver_that_asks_for_time_gets_it(sk: World, receiver: Receiver) -> None:
    made, _ = hook(sk, receiver.url)
    happen(sk, Kind.KMS_LOST)
    receiver.answers.append((503, {"retry-after": "900"}))
    send(sk, lambda: shown(sk, made).state == "failing")
    assert shown(sk, made).next_try == sk.clock.now + 900


def test_nobody_there_is_a_failure_like_any_other(sk: World) -> None:
    made, _ = hook(sk, "http://127.0.0.1:1/")
    happen(sk, Kind.KMS_LOST)
    send(sk, lambda: shown(sk, made).state == "failing")
    assert "no connection to 127.0.0.1" in str(shown(sk, made).failure)


def test_a_receiver_that_wants_no_more_is_paused_and_goes_on_when_told(sk: World, receiver: Receiver) -> None:
    made, _ = hook(sk, receiver.url)
    numbers = happen(sk)
    receiver.answers.append((410, {}))
    send(sk, lambda: shown(sk, made).state == "paused")
    sk.clock.now += 10 * GIVE_UP_S
    assert not sk.do(dispatch.is_any_due)
    (told,) = sk.do(log.page, None, 10, [Kind.WEBHOOK_PAUSED]).events
    assert told.data == {"webhook": "hook", "failure": "it answers 410"}
    (record,) = sk.do(chain.page, Filter(action="webhook_paused"))
    assert (record.principal, record.objects) == ("c2", (f"webhook:{made.id}",))
    assert sk.do(webhooks.resume, made.id).state == "active"
    send(sk, lambda: shown(sk, made).cursor >= numbers[-1])
    assert receiver.numbers[:4] == [numbers[0], *numbers]


def lose_keys(world: World) -> None:
    world.realm.expire()


def find_keys(world: World) -> None:
    kms = {world._kek_uri: kek_file.open_kms(world._kek_uri)}
    database_id = world.store.run(chain.database_id)
    world.realm.keyring.renew(Keyring.unwrap(world.store.run(deks.load), database_id, kms))


def forge_log(world: World) -> None:
    world.sql("UPDATE audit_head SET number = number + 1")


def mend_log(world: World) -> None:
    world.sql("UPDATE audit_head SET number = number - 1")


@pytest.mark.parametrize(("harm", "mend"), [(lose_keys, find_keys), (forge_log, mend_log)])
def test_a_pause_that_cannot_be_on_record_waits_and_ends_nothing(
    sk: World,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[World], None],
    mend: Callable[[World], None],
) -> None:
    monkeypatch.setattr(dispatch, "POLL_S", 0.02)
    made, _ = hook(sk, receiver.url)
    happen(sk)
    receiver.answers.append((410, {}))
    receiver.meanwhile = partial(harm, sk)
    mending = iter([mend])

    def is_paused() -> bool:
        if "webhooks wait" in caplog.text:
            for each in mending:
                each(sk)
            return shown(sk, made).state == "paused"
        return False

    send(sk, is_paused)
    assert caplog.text.count("webhooks wait") == 1
    assert [each.action for each in sk.do(chain.page, Filter(action="webhook_paused"))] == ["webhook_paused"]


def test_one_that_fails_for_long_is_paused_and_pauses_get_longer_till_then(sk: World) -> None:
    made, _ = hook(sk, "http://127.0.0.1:1/")
    happen(sk, Kind.KMS_LOST)
    pauses = []
    while shown(sk, made).state != "paused":
        (load,) = sk.do(dispatch.claim, 10, set())
        sk.do(dispatch.settle, load, Outcome(load.after, "no"))
        pauses.append((shown(sk, made).next_try or sk.clock.now) - sk.clock.now)
        sk.clock.now += pauses[-1] or 1
    assert pauses[0] < 10 < pauses[2] < 30 and LONGEST_PAUSE_S / 2 < max(pauses) < LONGEST_PAUSE_S * 2
    assert GIVE_UP_S < sum(pauses) < GIVE_UP_S * 1.1


def test_one_replica_at_a_time_sends_until_it_is_dead(sk: World, receiver: Receiver) -> None:
    made, _ = hook(sk, receiver.url)
    numbers = happen(sk)
    other, watch = replace(sk.realm, replica=os.urandom(16)), Watch(0)
    (lost,) = sk.do(dispatch.claim, 10, set())
    assert sk.store.run(dispatch.claim, other, 10, set()) == []
    watch.dead({sk.realm.replica: 1})
    assert sk.store.run(replicas.beat, other, Watch(), b"") == set()
    assert sk.store.run(dispatch.claim, other, 10, set()) == []
    assert sk.store.run(replicas.beat, other, watch, b"") == {sk.realm.replica}
    (load,) = sk.store.run(dispatch.claim, other, 10, set())
    assert sk.do(dispatch.claim, 10, set()) == []
    assert [each.id for each in load.span.events][:3] == numbers
    sk.do(dispatch.settle, lost, Outcome(numbers[-1]))  # too late: it is not its any more
    assert shown(sk, made).cursor < numbers[0]
    sk.store.run(dispatch.settle, other, load, Outcome(numbers[1]))
    assert shown(sk, made).cursor == numbers[1]


def test_what_a_crash_interrupts_is_sent_again_at_once_and_to_the_end(sk: World, receiver: Receiver) -> None:
    made, _ = hook(sk, receiver.url)
    numbers = happen(sk)
    sk.do(dispatch.claim, 10, set())  # and no more: it was killed
    send(sk, lambda: shown(sk, made).cursor == numbers[-1])
    assert receiver.numbers == numbers


def test_a_slow_receiver_keeps_no_other_waiting(sk: World, receiver: Receiver) -> None:
    slow, _ = hook(sk, "http://127.0.0.1:1/", name="slow")
    quick, _ = hook(sk, receiver.url, name="quick")
    numbers = happen(sk)
    send(sk, lambda: shown(sk, quick).cursor == numbers[-1] and shown(sk, slow).state == "failing")
    assert receiver.numbers == numbers


def test_a_row_that_was_tampered_with_is_sent_nothing_and_others_are(sk: World, receiver: Receiver) -> None:
    bad, _ = hook(sk, receiver.url, name="bad")
    good, _ = hook(sk, receiver.url, name="good")
    sk.sql("UPDATE webhook SET url = 'http://127.0.0.1:1/mine' WHERE name = 'bad'")
    numbers = happen(sk)
    told: set[str] = set()
    assert [load.name for load in sk.do(dispatch.claim, 10, told)] == ["good"]
    assert told == {bad.id}
    with pytest.raises(Tampered):
        shown(sk, bad)
    assert shown(sk, good).cursor < numbers[0]


def test_after_a_long_pause_it_goes_on_with_what_is_still_kept(sk: World, receiver: Receiver) -> None:
    made, _ = hook(sk, receiver.url)
    happen(sk)
    sk.clock.now += 1000
    numbers = happen(sk)
    sk.do(log.prune, 500)
    send(sk, lambda: shown(sk, made).cursor == numbers[-1])
    assert receiver.numbers[-3:] == numbers


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.0.1/",
        "http://receiver.example/",
        "http://127.0.0.1.example/",
        "https://user:secret@receiver.example/",
        "https://receiver.example/#part",
        "https:///path",
        "https://a..b/",
        "https://receiver.example:99999/",
        "https://receiver.example/ x",
        "https://receiver.example/\n",
        "https://receiver.exämple/",
        "ftp://receiver.example/",
        "receiver.example",
        "",
        "https://receiver.example/" + "x" * 2048,
    ],
)
def test_urls_that_lead_astray_are_refused(sk: World, url: str) -> None:
    with sk.refuses(InvalidInput, kind="bad_url"):
        hook(sk, url)
    made, _ = hook(sk, "https://receiver.example")
    with sk.refuses(InvalidInput, kind="bad_url"):
        sk.do(webhooks.change, made.id, url)


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/x?y", "http://localhost:80", "http://[::1]:8080/", "https://h:1/%20"]
)
def test_urls_that_an_operator_may_mean_are_taken(sk: World, url: str) -> None:
    assert hook(sk, url)[0].url == url


def test_names_are_unique_and_changes_are_of_what_there_is(sk: World) -> None:
    made, _ = hook(sk, "https://a.example/")
    with sk.refuses(Conflict):
        hook(sk, "https://b.example/")
    changed = sk.do(webhooks.change, made.id, "https://b.example/", [Kind.KMS_LOST])
    assert (changed.url, changed.kinds) == ("https://b.example/", ["kms.lost"])
    assert sk.do(webhooks.change, made.id, None, None) == changed
    sk.do(webhooks.remove, made.id)
    for use_case in (webhooks.show, webhooks.remove, webhooks.resume, webhooks.secret_of):
        with sk.refuses(NotFound):
            sk.do(use_case, made.id)
    assert sk.do(webhooks.page) == []
