# SPDX-License-Identifier: Apache-2.0
"""What commands print: tables for people, JSON and CSV for programs, results on stdout and remarks on stderr. Never a secret.

A command that answers prints one JSON document; one that goes on prints one JSON object a line, each as soon as it is known. CSV
(RFC 4180) has what JSON has: a line of names, then a line for each item of a list, or one for an object. Text from outside reaches
a terminal only with its control characters made visible. What a stream does that cannot be written: `e4cli.streams`.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    CSV = "csv"


class Stream(StrEnum):
    """Of commands that go on: what they tell is of several kinds, which no CSV can hold."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="How to print: table for people, json and csv for programs.")
]
StreamOption = Annotated[
    Stream, typer.Option("--output", "-o", help="How to print: table for people, json for programs.")
]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""Spreadsheets take text that begins so for a formula, until one of the last stands before it, which they do not show."""


def show_rows(output: Output, rows: Sequence[Row]) -> None:
    """A list: a table with one column for each field of the first row, a JSON array, or CSV with all fields of all rows."""
    match output:
        case Output.JSON:
            _print_json(rows, indent=2)
        case Output.CSV:
            columns = list(dict.fromkeys(name for row in rows for name in row))
            _print_csv([columns, *([row.get(name) for name in columns] for row in rows)] if rows else [])
        case Output.TABLE if rows:
            _print_table(list(rows[0]), [[_text(value) for value in row.values()] for row in rows], header=True)
        case Output.TABLE:
            remark("none")


def show_record(output: Output, record: Row) -> None:
    """One thing: a table with a line for each field, a JSON object, or CSV with one row."""
    match output:
        case Output.JSON:
            _print_json(record, indent=2)
        case Output.CSV:
            _print_csv([list(record), list(record.values())])
        case Output.TABLE:
            rows = [[name.replace("_", " "), _text(value)] for name, value in record.items()]
            _print_table(["", ""], rows, header=False)


def show_each(output: Output, rows: Iterable[Row], text: Callable[[Row], str]) -> None:
    """A list without an end, of rows with the same fields: each as soon as it is known. Args: text: of a row, for people."""
    for number, row in enumerate(rows):
        match output:
            case Output.JSON:
                _print_json(row, indent=None)
            case Output.CSV:
                _print_csv([*([] if number else [list(row)]), list(row.values())])
            case Output.TABLE:
                _print(visible(text(row)), sys.stdout)


def show_event(output: Stream, event: Row, text: str) -> None:
    """One of a stream: ``text`` for people, ``event`` as a line of JSON for programs."""
    if output is Stream.JSON:
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


def _cell(value: Value) -> Value:
    """Text as it is, behind ``'`` where a spreadsheet would take it for a formula; what is nested as JSON."""
    match value:
        case None | int() | float() if not isinstance(value, bool):
            return value
        case str():
            shown = visible(value) if sys.stdout.isatty() else value
            return f"'{shown}" if shown.startswith(_FORMULA) else shown
        case _:
            return json.dumps(value)


def _print_csv(rows: Sequence[Sequence[Value]]) -> None:
    csv.writer(sys.stdout).writerows([_cell(value) for value in row] for row in rows)
    sys.stdout.flush()


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
