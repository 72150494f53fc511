# SPDX-License-Identifier: Apache-2.0
"""The demo from its first claim to its last, suite by suite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from e4cli.demo.events import Claim, Event
from e4cli.demo.fleet import Fleet
from e4cli.demo.screen import Screen
from e4cli.demo.story import Story
from e4core.errors import E4Error
from e4core.plugins import load_suite
from e4core.suite import Suite

FleetOf = Callable[[Suite, Path, str | None], Fleet]


class Play:
    """Run it, then `check` it."""

    def __init__(self, suites: Sequence[str], broker: str | None, screen: Screen, fleet: FleetOf = Fleet) -> None:
        self.claims: list[Claim] = []
        self._suites = suites
        self._broker = broker
        self._screen = screen
        self._fleet = fleet
        self._ended = False

    async def run(self) -> None:
        """Raises: E4Error: it cannot go on; a claim that does not hold stops nothing."""
        # all before the first: a name that is wrong is told at once
        for suite in [load_suite(name) for name in self._suites]:
            self._screen.begin(suite.name)
            await self._run(suite)
        self._screen.end(len(self.claims), len(self._failed))
        self._ended = True

    def check(self) -> None:
        """Raises: E4Error: a claim did not hold, or not all were checked."""
        if not self._ended:
            raise E4Error("the demo was stopped before its end", kind="stopped")
        if self._failed:
            raise E4Error(f"{len(self._failed)} of {len(self.claims)} claims did not hold", kind="claims")

    async def _run(self, suite: Suite) -> None:
        with TemporaryDirectory(prefix="e4-demo-") as folder:
            async with (
                self._fleet(suite, Path(folder), self._broker) as fleet,
                aclosing(Story(fleet).events()) as events,
            ):
                async for event in events:
                    self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Claim):
            self.claims.append(event)
        self._screen.show(event)

    @property
    def _failed(self) -> list[Claim]:
        return [claim for claim in self.claims if not claim.held]
