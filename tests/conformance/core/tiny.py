# SPDX-License-Identifier: Apache-2.0
"""A kind of subject that shows all verdicts: lamps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from e4conformance.kit import run
from e4conformance.report import Report
from e4conformance.requirement import Book, NotExercised, require


@dataclass
class Lamp:
    declared: tuple[str, ...] = ("dims",)
    about: dict[str, str] = field(default_factory=lambda: {"bulb": "E27"})
    switch: Callable[[], bool] = lambda: True
    colour: str = ""
    watts: int = 5
    hook: bool = True


BOOK: Book[Lamp] = Book("suite")


@BOOK.must("E4-AEAD-001", "A lamp lights.", source="IEC 60598", advice="Screw the bulb in.")
def _lights(lamp: Lamp) -> None:
    require(lamp.switch(), "it stays dark")


@BOOK.must("E4-AEAD-002", "A lamp dims.", source="IEC 60669", advice="Take another bulb.", needs="dims")
def _dims(lamp: Lamp) -> None:
    require(lamp.switch(), "it flickers")


@BOOK.must("E4-AEAD-003", "A lamp can be hung.", source="IEC 61995", advice="Give it a hook.")
def _can_be_hung(lamp: Lamp) -> None:
    if not lamp.hook:
        raise NotExercised("there is no hook")


@BOOK.should("E4-KDF-001", "A lamp is frugal.", source="EU 2019/2020", advice="Take a bulb of 5 W.")
def _is_frugal(lamp: Lamp) -> str:
    require(lamp.watts < 10, f"it takes {lamp.watts} W")
    return "" if lamp.watts else "its plate was read, as it was out"


@BOOK.must("E4-KDF-002", "A lamp changes its colour.", source="CIE 15", advice="Mend it.", needs="colour")
def _changes_colour(lamp: Lamp) -> None:
    require(bool(lamp.colour), "it is white")


@BOOK.should("E4-KDF-003", "A lamp survives a fall.", source="IEC 60068", advice="Wrap it.")
def _survives(_lamp: Lamp) -> None:
    raise NotExercised("there is no floor")


def report(lamp: Lamp, only: tuple[str, ...] = (), subject: str = "hall") -> Report:
    outcomes = tuple(run(lamp, BOOK, only))
    declared = tuple(lamp.declared)
    return Report(
        "suite", subject, lamp.about, declared, 7, "2030-01-02T03:04:05Z", outcomes, len(outcomes) == len(BOOK)
    )
