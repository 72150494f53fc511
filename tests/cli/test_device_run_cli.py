# SPDX-License-Identifier: Apache-2.0
"""``e4 device run`` at a real broker."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from e4cli.messages import line
from e4cli.output import visible
from e4core.client import Client
from e4core.command import RemoveTopic
from e4core.keys import ClientId, TopicHash
from e4core.message import Message
from e4core.plugins import load_suite, load_transport
from e4core.report import Ack, Hello, Outcome
from e4core.transport import Transport
from tests.cli.command import Running, answer, e4, environment, program, refused, running
from tests.cli.devices import TOPIC, loaded, stored, with_key
from tests.device.c2 import TinyC2, new_key, next_of
from tests.servers import Mosquitto

PATIENCE_S = 60.0


class Fleet:
    """A real broker, a C2, and a peer in this process; `run` starts the device under test."""

    def __init__(self, uri: str, c2: TinyC2, link: Transport, folder: Path) -> None:
        self.uri, self.c2, self.link, self.folder = uri, c2, link, folder
        self.device = c2.enrol("device")
        self.key = new_key()
        self.state = stored(folder / "state", with_key(self.device, self.key))
        self.peer = Client(c2.suite, with_key(c2.enrol("peer"), self.key), lambda state: None)

    def run(self, *options: str) -> list[str | Path]:
        return ["device", "run", "--state", self.state, "--broker", self.uri, "--hello-delay", "0", *options]

    async def publish(self, payload: bytes, ahead_s: float = 0) -> bytes:
        data = self.peer.protect(payload, TOPIC, time.time() + ahead_s)
        await self.link.publish(TOPIC, data, 1)
        return data


def tell(uri: str, folder: Path, story: Callable[[Fleet], Awaitable[None]]) -> None:
    async def told() -> None:
        async with asyncio.timeout(PATIENCE_S), fleet_at(uri, folder) as fleet:
            await story(fleet)

    asyncio.run(told())


@asynccontextmanager
async def fleet_at(uri: str, folder: Path) -> AsyncIterator[Fleet]:
    async with load_transport(uri, "") as link:
        await link.subscribe("e4/+/report")
        yield Fleet(uri, TinyC2(load_suite("sk")), link, folder)


async def event(process: Running, kind: str) -> dict[str, object]:
    return await asyncio.to_thread(process.event, kind)


class TestRun:
    def test_it_says_hello_obeys_acknowledges_prints_and_stops_in_order(
        self, mosquitto: Mosquitto, tmp_path: Path
    ) -> None:
        async def story(fleet: Fleet) -> None:
            with running(*fleet.run("--subscribe", TOPIC)) as process:
                assert (await event(process, "connected"))["id"] == fleet.device.client_id.hex()
                hello = await next_of(Hello, fleet.device, fleet.link)
                sync = fleet.device.seal(RemoveTopic(TopicHash(hello.nonce)), time.time())
                await fleet.link.publish(fleet.device.control_topic, sync, 2)
                assert (await next_of(Ack, fleet.device, fleet.link)).outcome is Outcome.APPLIED
                assert (await asyncio.to_thread(answer, "device", "show", "--state", fleet.state))["synchronised"]
                await fleet.publish(b"rain\x1b")
                message = await event(process, "message")
                assert (message["topic"], message["text"]) == (TOPIC, "rain\x1b")
                assert process.end(signal.SIGTERM) == 0
                counters = process.event("stopped")
                assert (counters["received"], counters["commands"]) == (1, {"applied": 1})
            assert loaded(fleet.state).clean

        tell(mosquitto.uri, tmp_path, story)

    def test_a_message_that_the_terminal_cannot_show_does_not_stop_it(
        self, mosquitto: Mosquitto, tmp_path: Path
    ) -> None:
        async def story(fleet: Fleet) -> None:
            narrow = {"PYTHONIOENCODING": "latin-1"}
            with running(*fleet.run("--subscribe", TOPIC), env=narrow, output="table") as process:
                assert await asyncio.to_thread(process.remark) == b"connected\n"
                await fleet.publish("price 5 €".encode())
                await fleet.publish("schön".encode())
                assert await asyncio.to_thread(process.line) == f"{TOPIC}: price 5 \\u20ac\n".encode()
                assert await asyncio.to_thread(process.line) == f"{TOPIC}: schön\n".encode("latin-1")
                assert process.end(signal.SIGTERM) == 0

        tell(mosquitto.uri, tmp_path, story)

    def test_ctrl_c_ends_it_in_order_with_its_own_exit_status(self, mosquitto: Mosquitto, tmp_path: Path) -> None:
        async def story(fleet: Fleet) -> None:
            with running(*fleet.run()) as process:
                await event(process, "connected")
                assert process.end(signal.SIGINT) == 130
                assert process.errors() == ""
            assert loaded(fleet.state).clean

        tell(mosquitto.uri, tmp_path, story)

    def test_lines_of_stdin_are_published_and_without_a_subscription_it_ends_with_them(
        self, mosquitto: Mosquitto, tmp_path: Path
    ) -> None:
        async def story(fleet: Fleet) -> None:
            await fleet.link.subscribe(TOPIC)
            done = await asyncio.to_thread(
                e4, *fleet.run("--publish", TOPIC, "--output", "json"), stdin=b"one\n\xfftwo\nthree"
            )
            assert done.returncode == 0, done.stderr
            got = []
            async for incoming in fleet.link:
                if incoming.topic == TOPIC:
                    got.append(fleet.peer.unprotect(incoming.payload, TOPIC, time.time()).payload)
                if len(got) == 3:
                    break
            assert got == [b"one", b"\xfftwo", b"three"]

        tell(mosquitto.uri, tmp_path, story)

    def test_input_may_also_be_a_plain_file(self, mosquitto: Mosquitto, tmp_path: Path) -> None:
        async def story(fleet: Fleet) -> None:
            (tmp_path / "lines").write_bytes(b"one\ntwo\n")
            with (tmp_path / "lines").open("rb") as lines:
                command = [*program(), *map(str, fleet.run("--publish", TOPIC, "--output", "json"))]
                done = await asyncio.to_thread(
                    subprocess.run, command, stdin=lines, capture_output=True, env=environment(), check=True
                )
            stopped = json.loads(done.stdout.splitlines()[-1])
            assert (stopped["event"], stopped["published"]) == ("stopped", 2)

        tell(mosquitto.uri, tmp_path, story)

    def test_a_line_for_a_topic_without_a_key_waits_until_the_c2_sends_it(
        self, mosquitto: Mosquitto, tmp_path: Path
    ) -> None:
        async def story(fleet: Fleet) -> None:
            with running(*fleet.run("--publish", "new topic", "--subscribe", "new topic")) as process:
                await event(process, "connected")
                await asyncio.to_thread(process.write, b"early\n")
                await next_of(Hello, fleet.device, fleet.link)
                command = fleet.device.seal(fleet.c2.topic_key("new topic", new_key()), time.time())
                await fleet.link.publish(fleet.device.control_topic, command, 2)
                assert (await event(process, "message"))["text"] == "early"

        tell(mosquitto.uri, tmp_path, story)

    def test_after_a_kill_what_was_accepted_before_is_refused_and_what_is_new_is_not(
        self, mosquitto: Mosquitto, tmp_path: Path
    ) -> None:
        async def story(fleet: Fleet) -> None:
            command = fleet.device.seal(fleet.c2.topic_key("other", new_key()), time.time())
            with running(*fleet.run("--subscribe", TOPIC)) as process:
                await event(process, "connected")
                await fleet.link.publish(fleet.device.control_topic, command, 2)
                first = await next_of(Ack, fleet.device, fleet.link)
                data = await fleet.publish(b"before")
                await event(process, "message")
                assert process.end(signal.SIGKILL) == -signal.SIGKILL
            assert not loaded(fleet.state).clean
            with running(*fleet.run("--subscribe", TOPIC)) as process:
                await event(process, "connected")
                await fleet.link.publish(TOPIC, data, 1)
                await fleet.link.publish(fleet.device.control_topic, command, 2)
                again = await next_of(Ack, fleet.device, fleet.link)
                # later than anything that the first run can have accepted without saving
                await fleet.publish(b"after", ahead_s=20)
                assert (await event(process, "message"))["text"] == "after"
                assert (first.outcome, again.outcome) == (Outcome.APPLIED, Outcome.ALREADY)
                assert process.end(signal.SIGTERM) == 0
                stopped = process.event("stopped")
                assert (stopped["received"], stopped["errors"]) == (1, {"timestamp_old": 1})

        tell(mosquitto.uri, tmp_path, story)

    def test_while_it_runs_nobody_else_uses_the_state_but_it_can_be_shown(
        self, mosquitto: Mosquitto, tmp_path: Path
    ) -> None:
        async def story(fleet: Fleet) -> None:
            with running(*fleet.run()) as process:
                await event(process, "connected")
                await asyncio.to_thread(refused, 9, *fleet.run())
                protect = ("device", "protect", "--topic", TOPIC, "--state", fleet.state)
                assert "another process" in await asyncio.to_thread(refused, 9, *protect)
                shown = await asyncio.to_thread(answer, "device", "show", "--state", fleet.state)
                assert (shown["stopped_in_order"], shown["synchronised"]) == (False, False)

        tell(mosquitto.uri, tmp_path, story)


def test_a_message_for_people_is_one_line_that_cannot_steer_their_terminal() -> None:
    sender = ClientId(bytes(16))
    message = Message(b"rain\x1b[2J\nsnow", sender, True, 0, 0)
    assert visible(line("a\x07b", message)) == f"a\\x07b {sender.hex()}: rain\\x1b[2J\\nsnow"
    assert line("t", Message(b"\xff", None, False, 0, 0)) == "t: base64:/w=="


def test_a_broker_that_is_not_there_or_no_uri_is_told_in_one_line(tmp_path: Path) -> None:
    device = TinyC2(load_suite("sk")).enrol("x")
    state = stored(tmp_path / "state", device.state)
    refused(17, "device", "run", "--state", state, "--broker", "mqtt://127.0.0.1:1")
    refused(3, "device", "run", "--state", state, "--broker", "127.0.0.1")
    refused(12, "device", "run", "--state", state, "--broker", "gopher://x")
    assert loaded(state).clean


def test_without_a_clock_a_device_of_format_1_is_refused_before_anything_else(tmp_path: Path) -> None:
    state = stored(tmp_path / "state", TinyC2(load_suite("sk")).enrol("x").state)
    said = refused(11, "device", "run", "--no-clock", "--state", state, "--broker", "mqtt://127.0.0.1:1")
    assert "needs a clock" in said
    assert loaded(state).clean


@pytest.mark.parametrize("topic", ["", "a/#", "+"])
def test_a_topic_that_nothing_can_be_published_to_is_refused_before_anything_else(tmp_path: Path, topic: str) -> None:
    state = stored(tmp_path / "state", TinyC2(load_suite("sk")).enrol("x").state)
    line = refused(3, "device", "run", "--state", state, "--broker", "mqtt://127.0.0.1:1", "--publish", topic)
    assert "topic" in line


def test_without_a_broker_it_says_how_to_name_one(tmp_path: Path) -> None:
    state = stored(tmp_path / "state", TinyC2(load_suite("sk")).enrol("x").state)
    here = {"E4_DATA": str(tmp_path / "none")}
    assert "--broker" in refused(18, "device", "run", "--state", state, env=here)
    offered = tmp_path / "broker-uri"
    offered.touch(0o644)
    offered.write_text("mqtt://127.0.0.1:1\n")
    here["E4_DATA"] = str(tmp_path)
    assert "open to others" in refused(18, "device", "run", "--state", state, env=here)
    offered.chmod(0o600)
    assert "127.0.0.1:1" in refused(17, "device", "run", "--state", state, env=here)
    assert refused(3, "device", "run", "--state", state, "--broker", "127.0.0.1", env=here)
