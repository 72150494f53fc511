# SPDX-License-Identifier: Apache-2.0
"""What commands print: tables for people, JSON for scripts, results on stdout and remarks on stderr. Never a secret.

A command that answers prints one JSON document; one that goes on prints one JSON object a line, each as soon as it is known.
Text from outside reaches a terminal only with its control characters made visible. What a stream does that cannot be written:
`e4cli.streams`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from io import StringIO
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

if TYPE_CHECKING:
    from rich.box import Box
    from rich.console import RenderableType

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]
Row = Mapping[str, Value]


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="How to print: table for people, json for scripts.")
]


def show_rows(output: Output, rows: Sequence[Row]) -> None:
    """A list: a table with one column for each field of the first row, or a JSON array."""
    if output is Output.JSON:
        _print_json(rows, indent=2)
    elif rows:
        _print_table(list(rows[0]), [[_text(value) for value in row.values()] for row in rows], header=True)
    else:
        remark("none")


def show_record(output: Output, record: Row) -> None:
    """One thing: a table with a line for each field, or a JSON object."""
    if output is Output.JSON:
        _print_json(record, indent=2)
    else:
        _print_table(["", ""], [[name.replace("_", " "), _text(value)] for name, value in record.items()], header=False)


def show_event(output: Output, event: Row, text: str) -> None:
    """One of a stream: ``text`` for people, ``event`` as a line of JSON for scripts."""
    if output is Output.JSON:
        _print_json(event, indent=None)
    else:
        _print(visible(text), sys.stdout)


def write_bytes(data: bytes) -> None:
    """Payloads and messages, as they are."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def remark(text: str) -> None:
    """Something for people, on stderr, that is no part of the result."""
    _print(visible(text), sys.stderr)


def visible(text: str) -> str:
    """``text`` in one line, with whatever could steer a terminal escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def draw(what: RenderableType, *, coloured: bool = False) -> None:
    """Print what rich draws. Args: coloured: where the terminal has colours."""
    from rich.console import Console

    # a pipe has no width: nothing is folded there, so that grep finds whole values
    width = get_terminal_size().columns if sys.stdout.isatty() else 10_000
    # rich ends the process by itself when its stream is closed; so it only draws
    console = Console(file=StringIO(), width=width, force_terminal=coloured and sys.stdout.isatty())
    with console.capture() as drawn:
        console.print(what)
    _print("\n".join(line.rstrip() for line in drawn.get().splitlines()), sys.stdout)


def table_box() -> Box:
    """How tables look: a rule below the header, in characters that stdout can show."""
    from rich.box import SIMPLE_HEAD, Box

    try:
        str(SIMPLE_HEAD).encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return Box(str(SIMPLE_HEAD).replace("─", "-"), ascii=True)
    return SIMPLE_HEAD


def _text(value: Value) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str() | int() | float():
            return visible(str(value))
        case Mapping():
            return ", ".join(f"{visible(name)} {_text(item)}" for name, item in value.items()) or "-"
        case _:
            return ", ".join(_text(item) for item in value) or "-"


def _print_json(document: Sequence[Row] | Row, indent: int | None) -> None:
    _print(json.dumps(document, indent=indent), sys.stdout)


def _print(text: str, stream: TextIO) -> None:
    stream.write(text + "\n")
    stream.flush()


def _print_table(columns: list[str], rows: list[list[str]], header: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=table_box(), show_header=header, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(Text(column.replace("_", " ")), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    draw(table)
