# SPDX-License-Identifier: Apache-2.0
"""Our C2 and our device, at a real broker, together with a device that behaves like e4go.

That device is the witness, `tests.interop.e4go_like`: an independent Python program, written from ``wire.md`` alone and held to
the vectors that e4go itself made. The Go library does not run here: its module cannot be fetched any more (`vectors.md`).

The sensor is the witness: no tolerance for the future, no reports. The gateway is ours. Each test ends with the proof that the
sensor was sent nothing but what the test says, so no command ever reached it with a timestamp in its future.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from e4c2 import c2keys, clients, commands, key_changes, links, topics
from e4c2.model import Reason
from e4core.errors import Conflict
from e4core.plugins import load_suite
from e4core.sending import BACKDATE_S
from e4core.state import State
from e4device.statefile import StateFile, import_e4go
from tests.interop import e4go_like as e4go
from tests.interop.devices import e4go_device, new_e4go_client, our_device
from tests.interop.e4go_crypto import E4goError, topic_hash
from tests.interop.stage import TOPIC, Stage, staged
from tests.servers import Mosquitto

LIMIT_S = 60.0

Story = Callable[[Stage], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture(params=["sk", "pk"])
def play(request: pytest.FixtureRequest, mosquitto: Mosquitto, tmp_path: Path) -> Play:
    """Runs a story on a stage of its own."""

    def run(story: Story) -> None:
        async def told() -> None:
            async with asyncio.timeout(LIMIT_S), staged(load_suite(request.param), mosquitto.uri, tmp_path) as stage:
                await story(stage)

        asyncio.run(told())

    return run


PUBLIC_KEYS = pytest.mark.parametrize("play", ["pk"], indirect=True)


def test_joining_gives_a_key_with_which_both_sides_talk(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        await stage.talk("first")
        await stage.talk("second")
        await stage.end()

    play(story)


def test_after_a_rotation_the_previous_key_is_still_read_and_the_one_before_is_not(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        up, down = stage.late()
        await stage.rotate("SetTopicKey")
        await stage.wire.publish(TOPIC, up, 2)
        await stage.are_read(sensors=b"late up")
        await stage.wire.publish(TOPIC, down, 2)
        await stage.are_read(gateways=b"late down")
        await stage.talk("new key")
        _, later = stage.late()
        await stage.rotate("SetTopicKey")
        await stage.rotate("SetTopicKey")
        await stage.wire.publish(TOPIC, later, 2)
        await stage.sensor.reads("not_authentic")
        await stage.talk("newest key")
        await stage.end()

    play(story)


def test_who_leaves_can_neither_read_nor_write(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        gateways = 2 if stage.signs else 1  # a new topic key; and no more belief in the sensor's signatures
        left = await stage.c2.do(topics.leave, TOPIC, ["sensor"])
        await stage.c2.ends(left, sent=1, confirmed=gateways)
        await stage.sensor.hears("RemoveTopic")
        await stage.gateway.publish(TOPIC, b"not for you")
        await stage.sensor.reads("topic_key_missing")
        assert _fails(stage.sensor.client) == "topic_key_missing"
        await stage.end()

    play(story)


def test_a_topic_that_is_removed_is_forgotten(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        await stage.c2.ends(await stage.c2.do(topics.remove, TOPIC), sent=1, confirmed=1)
        await stage.sensor.hears("RemoveTopic")
        assert stage.sensor.client.topic_keys == {}
        assert _fails(stage.sensor.client) == "topic_key_missing"
        await stage.end()

    play(story)


def test_when_another_is_evicted_the_key_it_had_is_forgotten_at_once(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        await stage.c2.enrol("spy", stage.suite.device.generate())
        await stage.c2.ends(await stage.c2.do(topics.join, TOPIC, ["spy"]), sent=1)
        _, down = stage.late()
        await stage.c2.ends(await stage.c2.do(topics.leave, TOPIC, ["spy"]), sent=2, confirmed=1)
        await stage.sensor.hears("RemoveTopic", "SetTopicKey")
        removed, given = stage.sensor.seconds[-2:]
        assert removed < given
        await stage.wire.publish(TOPIC, down, 2)
        await stage.sensor.reads("not_authentic")
        await stage.talk("without the spy")
        await stage.end()

    play(story)


def test_a_reset_empties_the_device_and_gives_it_all_it_should_hold(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        held = dict(stage.sensor.client.topic_keys)
        stage.sensor.client.topic_keys[topic_hash("nobody knows why").hex()] = bytes(range(32))
        await _resets(stage, await stage.c2.do(clients.reset, "sensor"))
        assert stage.sensor.client.topic_keys == held
        await stage.talk("after the reset")
        await stage.end()

    play(story)


def test_while_its_key_changes_all_is_sealed_under_both_until_confirmed(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        before = stage.sensor.client.key.to_json()
        await stage.c2.ends(await stage.c2.do(clients.new_key, "sensor", Reason.ROUTINE), sent=1)
        # it acts at once, so that its second copy opens too, and does the same again
        await stage.sensor.hears("SetIDKey", "SetIDKey")
        assert stage.sensor.client.key.to_json() != before
        await stage.rotate("not_authentic", "SetTopicKey")
        confirmed = await stage.c2.do(clients.confirm_key, "sensor")
        await stage.c2.ends(confirmed, **({"confirmed": 1} if stage.signs else {}))
        await stage.rotate("SetTopicKey")
        await stage.talk("new device key")
        await stage.end()

    play(story)


def test_a_device_that_lost_its_new_key_is_still_reached_and_the_change_can_be_cancelled(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        copy = stage.folder / "copy.json"
        copy.write_bytes((stage.folder / "sensor.json").read_bytes())
        await stage.c2.ends(await stage.c2.do(clients.new_key, "sensor", Reason.ROUTINE), sent=1)
        await stage.sensor.hears("SetIDKey", "SetIDKey")
        with copy.open("r+b") as store:
            stage.sensor.client = e4go.Client.load(store)
            await stage.rotate("SetTopicKey", "not_authentic")
            with pytest.raises(Conflict):
                await stage.c2.do(clients.cancel_key, "sensor")
            await stage.c2.do_in(key_changes.ARRIVES_WITHIN_S, clients.cancel_key, "sensor")
            await stage.rotate("SetTopicKey")
            await stage.talk("old device key")
            await stage.end()

    play(story)


def test_a_compromised_device_is_sent_nothing_until_it_is_enrolled_anew(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        suspended = await stage.c2.do(clients.new_key, "sensor", Reason.COMPROMISED)
        await stage.c2.ends(suspended, confirmed=2 if stage.signs else 1)
        await stage.c2.ends(await stage.c2.do(topics.rotate, TOPIC), confirmed=1)
        await stage.sensor.hears_nothing_else()
        private = stage.suite.device.generate()
        public = stage.suite.device.public(stage.suite.device.load(private))
        c2_public, version = await stage.c2.public_key(), await stage.c2.ask(c2keys.active_version)
        stage.sensor.client = new_e4go_client(stage.suite, "sensor", private, c2_public)
        enrolled = await stage.c2.do(clients.enrol, "sensor", public, version)
        await _resets(stage, enrolled, **({"confirmed": 1} if stage.signs else {}))
        await stage.talk("enrolled anew")
        await stage.end()

    play(story)


@PUBLIC_KEYS
def test_links_are_made_and_unmade(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        await stage.talk("linked")
        for use_case, arguments, heard in (
            (links.remove, ("sensor", "gateway"), "RemovePubKey"),
            (links.reset, ("sensor",), "ResetPubKeys"),
        ):
            await stage.c2.ends(await stage.c2.do(use_case, *arguments), sent=1)
            await stage.sensor.hears(heard)
            await stage.gateway.publish(TOPIC, heard.encode())
            await stage.sensor.reads("unknown_sender")
            await stage.c2.ends(await stage.c2.do(links.send, "sensor", "gateway"), sent=1)
            await stage.sensor.hears("SetPubKey")
            await stage.talk(f"after {heard}")
        await stage.end()

    play(story)


@PUBLIC_KEYS
def test_while_the_c2_key_changes_and_after_the_device_is_reached(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        await stage.c2.ends(await stage.c2.do(c2keys.new, Reason.ROUTINE), sent=1, confirmed=1)
        await stage.sensor.hears("SetC2Key", "SetC2Key")
        await stage.rotate("not_authentic", "SetTopicKey")
        with pytest.raises(Conflict):
            await stage.c2.do(c2keys.finish)
        await stage.c2.do(c2keys.finish, force=True)
        await stage.rotate("not_authentic", "SetTopicKey")
        await stage.talk("new C2 key")
        await stage.end()

    play(story)


@PUBLIC_KEYS
def test_one_of_four_copies_opens_while_both_keys_change(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        await stage.c2.ends(await stage.c2.do(c2keys.new, Reason.ROUTINE), sent=1, confirmed=1)
        await stage.sensor.hears("SetC2Key", "SetC2Key")
        await stage.c2.ends(await stage.c2.do(clients.new_key, "sensor", Reason.ROUTINE), sent=1)
        await stage.sensor.hears("not_authentic", "SetIDKey", "not_authentic", "SetIDKey")
        await stage.rotate("not_authentic", "not_authentic", "not_authentic", "SetTopicKey")
        await stage.c2.ends(await stage.c2.do(clients.confirm_key, "sensor"), confirmed=1)
        await stage.rotate("not_authentic", "SetTopicKey")
        await stage.talk("all keys new")
        await stage.end()

    play(story)


def test_a_state_of_e4go_moves_to_our_device_and_back(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.bring_together()
        await stage.rotate("SetTopicKey")
        await stage.end()
        back = stage.folder / "back.json"
        with StateFile(stage.folder / "moved.json") as file:
            await _as_ours(stage, file)
            file.export_e4go(back, time.time())
        with back.open("r+b") as store:
            async with e4go_device(e4go.Client.load(store), stage.broker, "back at e4go") as stage.sensor:
                await stage.sensor.subscribe(TOPIC)
                await stage.rotate("SetTopicKey")
                await stage.talk("back at e4go")
                await stage.sensor.hears_nothing_else()

    play(story)


async def _as_ours(stage: Stage, file: StateFile) -> None:
    """The sensor goes on as a device of ours: it confirms, and talks."""
    imported = time.time()
    file.create(import_e4go(stage.folder / "sensor.json", imported))
    state = file.load(imported)
    assert isinstance(state, State)
    async with our_device(stage.suite, state, file, stage.broker, "moved") as moved:
        await stage.c2.ends(await stage.c2.do(topics.rotate, TOPIC), confirmed=2)
        await moved.subscribe(TOPIC)
        # nothing as old as the import is accepted, and our messages are back-dated
        await asyncio.sleep(imported + BACKDATE_S + 1 - time.time())
        await stage.gateway.publish(TOPIC, b"welcome")
        for reader in (moved,) if stage.signs else (moved, stage.gateway):
            await reader.reads(b"welcome")
        await moved.publish(TOPIC, b"moved")
        await stage.gateway.reads(b"moved")
        assert (await stage.c2.ask(clients.show, "sensor")).reports


async def _resets(stage: Stage, operation: commands.Operation, **others: int) -> None:
    """The sensor is emptied and gets what it should hold."""
    heard = ["ResetTopics", "SetTopicKey"] + (["ResetPubKeys", "SetPubKey"] if stage.signs else [])
    await stage.c2.ends(operation, sent=len(heard), **others)
    await stage.sensor.hears(*heard)


def _fails(client: e4go.Client) -> str:
    """Kind of the error with which the client refuses to protect for `TOPIC`."""
    with pytest.raises(E4goError) as caught:
        client.protect(b"x", TOPIC, time.time())
    return caught.value.kind
