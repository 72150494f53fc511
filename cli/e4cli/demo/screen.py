# SPDX-License-Identifier: Apache-2.0
"""How the demo is shown: to people with rich, to scripts as lines of JSON."""

from __future__ import annotations

import sys
from io import StringIO
from shutil import get_terminal_size
from typing import Protocol

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from e4cli.demo.events import Act, Claim, Event, Note, Sight
from e4cli.output import Row, Stream, Value, show_event, table_box, write_bytes

_WIDTH = 110


class Screen(Protocol):
    def begin(self, suite: str, /) -> None: ...
    def show(self, event: Event, /) -> None: ...
    def end(self, claims: int, failed: int, /) -> None: ...


def screen(output: Stream) -> Screen:
    return Lines() if output is Stream.JSON else Pictures()


class Lines:
    """One JSON object for each event, with the suite that it is about."""

    def __init__(self) -> None:
        self._suite = ""

    def begin(self, suite: str) -> None:
        self._suite = suite

    def show(self, event: Event) -> None:
        match event:
            case Act(text):
                self._print({"event": "act", "text": text})
            case Note(text):
                self._print({"event": "note", "text": text})
            case Claim(text, held):
                self._print({"event": "claim", "text": text, "held": held})
            case Sight(sender, said, topic, seen, read):
                both: dict[str, Value] = {"seen": seen.hex(), "read": dict(read)}
                self._print({"event": "sight", "topic": topic, "sender": sender, "said": said, **both})

    def end(self, claims: int, failed: int) -> None:
        show_event(Stream.JSON, {"event": "end", "claims": claims, "failed": failed}, "")

    def _print(self, event: Row) -> None:
        show_event(Stream.JSON, {**event, "suite": self._suite}, "")


class Pictures:
    """Colours on a terminal, plain text elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        width = get_terminal_size().columns if self._terminal else _WIDTH
        self._console = Console(file=StringIO(), width=width, force_terminal=self._terminal)
        self._encoding = sys.stdout.encoding or "utf-8"

    def begin(self, suite: str) -> None:
        self._print(Text(f"\nSuite {suite}", "bold underline"))

    def show(self, event: Event) -> None:
        match event:
            case Act(text):
                self._print(Text(f"\n{text}", "bold"))
            case Note(text):
                self._print(Text(f"  - {text}", "dim"))
            case Claim(text, held):
                self._print(self._mark(held) + Text(text))
            case Sight():
                self._print(_both_sides(event))

    def end(self, claims: int, failed: int) -> None:
        text = f"All {claims} claims hold." if not failed else f"{failed} of {claims} claims do not hold."
        self._print(Text(f"\n{text}", "bold green" if not failed else "bold red"))

    def _mark(self, held: bool) -> Text:
        mark, instead, style = ("✓", "ok", "green") if held else ("✗", "FAILED", "bold red")
        return Text(f"  {mark if self._encodes(mark) else instead} ", style)

    def _encodes(self, text: str) -> bool:
        return text.encode(self._encoding, "replace").decode(self._encoding) == text

    def _print(self, what: RenderableType) -> None:
        with self._console.capture() as drawn:
            self._console.print(what)
        text = "".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines())
        write_bytes(text.encode(self._encoding, "replace"))


def _both_sides(sight: Sight) -> Table:
    table = Table(box=table_box(), pad_edge=False)
    table.add_column(f"what the broker saw ({len(sight.seen)} bytes)", style="red", overflow="fold")
    table.add_column("what the devices read", style="cyan", overflow="fold")
    readings = Text("\n").join(Text(f"{name}: {reading}") for name, reading in sight.read.items())
    table.add_row(Text(_dump(sight.seen)), readings)
    return table


def _dump(data: bytes) -> str:
    shown = [data[start : start + 16].hex(" ") for start in range(0, min(len(data), 4 * 16), 16)]
    return "\n".join(shown) + ("\n..." if len(data) > 4 * 16 else "")
