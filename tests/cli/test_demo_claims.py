# SPDX-License-Identifier: Apache-2.0
"""The checks of ``e4 demo`` on fleets of which its claims are false."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from e4cli.api_client import Document
from e4cli.demo import claims
from e4cli.demo.claims import REPLAY, Watch
from e4cli.demo.events import Event
from e4cli.demo.fleet import Fleet
from e4cli.demo.play import Play
from e4cli.demo.story import SPEAKER, VISITOR
from e4core.errors import E4Error
from e4core.plugins import load_suite
from tests.cli.command import environment


class Quiet:
    """A screen that shows nothing."""

    def begin(self, _suite: str) -> None: ...
    def show(self, _event: Event) -> None: ...
    def end(self, _claims: int, _failed: int) -> None: ...


class Hasty(Fleet):
    patience_s = 3.0


class Lenient(Hasty):
    """Its C2 evicts without giving those who stay a new key."""

    async def evict(self, name: str) -> Document:
        body = {"clients": [self.members[name].id.hex()], "rekey": False}
        return await self.ask(self._api.post, f"{self._path}/evict", body)


class Lazy(Hasty):
    """Its C2 does not rotate, and says that it has."""

    async def open_topic(self, names: Iterable[str]) -> list[Document]:
        operations = await super().open_topic(names)
        self._done = operations[0]
        return operations

    async def rotate(self) -> Document:
        return self._done


class Open(Hasty):
    """Its visitor is let in."""

    async def open_topic(self, names: Iterable[str]) -> list[Document]:
        return await super().open_topic([*names, VISITOR])


class Talkative(Hasty):
    """Its devices say in clear what they have said."""

    async def say(self, name: str, payload: bytes) -> bytes:
        seen = await super().say(name, payload)
        await self.inject(payload + bytes(100))
        return seen


class Leaky(Hasty):
    """It shows a device key to the broker."""

    async def open_topic(self, names: Iterable[str]) -> list[Document]:
        await self.inject(b"..." + self.members[SPEAKER].client.state.private)
        return await super().open_topic(names)


class Peaceful(Hasty):
    """Nobody attacks it; that nothing came of an attack must not be claimed then."""

    async def inject(self, data: bytes) -> None:
        pass


SABOTAGED: list[tuple[str, type[Fleet], set[str]]] = [
    (
        "sk",
        Lenient,
        {
            "those who stay have confirmed a new key",
            "what the gateway has kept does not open it",
            "what the gateway sends with it is refused",
        },
    ),
    ("pk", Lenient, {"those who stay have confirmed a new key", "what the gateway has kept does not open it"}),
    ("sk", Lazy, {"each member has confirmed the new key", "the stolen keys do not open it"}),
    ("sk", Open, {"the visitor cannot read it"}),
    ("sk", Talkative, {"nothing that was said passed it in clear"}),
    ("pk", Leaky, {"no key passed it in clear"}),
    (
        "pk",
        Peaceful,
        {
            "an old message, sent again, is refused as a replay",
            "a message with one bit changed is refused as not authentic",
            "a member that poses as another one is refused",
            "what the gateway sends with it is refused",
        },
    ),
]


def played(suites: Sequence[str], fleet: type[Fleet]) -> Play:
    play = Play(suites, None, Quiet(), fleet)
    asyncio.run(play.run())
    return play


@pytest.mark.parametrize(("suite", "fleet", "false"), SABOTAGED, ids=lambda value: getattr(value, "__name__", None))
def test_a_claim_that_is_false_is_found_out_and_the_demo_fails(suite: str, fleet: type[Fleet], false: set[str]) -> None:
    play = played([suite], fleet)
    assert {claim.text for claim in play.claims if not claim.held} == false
    with pytest.raises(E4Error, match=f"{len(false)} of {len(play.claims)} claims") as caught:
        play.check()
    assert caught.value.kind == "claims"


def test_a_demo_with_a_false_claim_ends_with_1_and_a_cross(tmp_path: Path) -> None:
    script = """
import asyncio
from e4cli import main
from e4cli.demo.play import Play
from e4cli.demo.screen import Pictures
from tests.cli.test_demo_claims import Lenient

@main.app.command("sabotaged")
def sabotaged() -> None:
    play = Play(["sk"], None, Pictures(), Lenient)
    asyncio.run(play.run())
    play.check()

main.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "sabotaged"],
        capture_output=True,
        check=False,
        env=environment({"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}),
    )
    assert done.returncode == 1
    assert "✗ what the gateway has kept does not open it" in done.stdout.decode()
    assert done.stderr.decode().startswith("e4: 3 of ")


def test_a_demo_that_did_not_end_has_shown_nothing() -> None:
    with pytest.raises(E4Error, match="before its end"):
        Play(["sk"], None, Quiet()).check()


@pytest.mark.parametrize(
    ("seen", "secrets", "hidden"),
    [
        ([b"abcdef"], [b"xyz"], True),
        ([b"abcdef"], [b"xyz", b"cde"], False),
        ([b"x", b"abcdef"], [b"f"], False),
        ([], [b"xyz"], False),
        ([b"abcdef"], [], False),
        ([b"abcdef"], [b"xyz", b""], False),
    ],
)
def test_to_conceal_there_must_be_something_seen_and_something_secret(
    seen: list[bytes], secrets: list[bytes], hidden: bool
) -> None:
    assert claims.conceals(seen, secrets) is hidden


def test_claims_about_who_said_what_can_fail(tmp_path: Path) -> None:
    async def story() -> None:
        async with Hasty(load_suite("pk"), tmp_path) as fleet:
            for name in (SPEAKER, "heater", "panel"):
                await fleet.enrol(name)
            for operation in await fleet.open_topic([SPEAKER, "heater", "panel"]):
                assert await fleet.confirmed(operation)
            watch = Watch(fleet, ["panel"])
            await fleet.say(SPEAKER, b"one")
            assert await claims.read_by_all(fleet, ["heater", "panel"], b"one")
            assert claims.signed_by(fleet, ["heater", "panel"], b"one", SPEAKER)
            assert not claims.signed_by(fleet, ["heater", "panel"], b"one", "heater")
            assert not claims.signed_by(fleet, [], b"one", SPEAKER)
            assert not claims.signed_by(fleet, ["heater"], b"two", SPEAKER)
            assert not await claims.read_by_all(fleet, [], b"one")
            assert not await watch.refuse(REPLAY)
            await fleet.inject(fleet.wire.on(fleet.topic)[-1])
            assert await Watch(fleet, []).refuse(REPLAY) is False
            # replayed by now, but the panel has also read since the watch began
            assert await fleet.eventually(lambda: fleet.members["panel"].refusals["replayed"] > 0)
            assert not await watch.refuse(REPLAY)
            assert not claims.renewed(fleet, ["heater", "panel"], fleet.topic_key("heater"))

    asyncio.run(story())
