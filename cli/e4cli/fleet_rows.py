# SPDX-License-Identifier: Apache-2.0
"""Clients in files: one row for each, as CSV, JSON lines or JSON; read and written row by row, but for JSON, which is read whole.

Fields: ``name``, ``id`` (hexadecimal), ``key`` (base64), ``c2_key`` (version) and ``topics`` (in CSV with ``;`` between them).
A row without a key is of a client that is registered already.
"""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TextIO

from e4core.errors import InvalidInput
from e4core.keys import Secret, check_client_name, check_topic_name

FIELDS = ("name", "id", "key", "c2_key", "topics")
_BETWEEN = ";"
_LINE_MAX_LEN = 1 << 20
"""Characters; no row is nearly so long."""


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One client. ``line``: where its row ends, in JSON which of the items it is; the first is 1."""

    line: int
    name: str
    key: Secret | None = field(repr=False)
    id: str | None
    c2_key: int | None
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BadRow:
    line: int
    name: str
    why: InvalidInput


def read(format_: Format, stream: TextIO) -> Iterator[FleetRow | BadRow]:
    """Raises: InvalidInput (``bad_file``): what goes on cannot be read."""
    try:
        for line, found in _READ[format_](stream):
            try:
                yield _row(line, found)
            except InvalidInput as error:
                name = found.get("name") if isinstance(found, dict) else None
                yield BadRow(line, name if isinstance(name, str) else "", error)
    except UnicodeDecodeError as error:
        raise InvalidInput("this is no text in UTF-8; save it as that", kind="bad_file") from error


def write(format_: Format, rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """What `read` reads, piece by piece. Raises: InvalidInput (``bad_file``): a row has no place in this format."""
    for piece in _WRITE[format_](rows):
        yield piece.encode()


def _row(line: int, found: object) -> FleetRow:
    """Raises: InvalidInput."""
    if isinstance(found, InvalidInput):
        raise found
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise InvalidInput("a row has a name, and is an object of JSON or a line of CSV", kind="bad_row")
    if unknown := [str(each) for each in found if each not in FIELDS]:
        raise InvalidInput(f"there is no field {unknown[0]!r}; the fields are: {', '.join(FIELDS)}", kind="bad_row")
    return FleetRow(
        line,
        check_client_name(found["name"]),
        _key(found.get("key")),
        _id(found.get("id")),
        _version(found.get("c2_key")),
        _topics(found.get("topics")),
    )


def _key(value: object) -> Secret | None:
    if value in (None, ""):
        return None
    try:
        return Secret(b64decode(str(value), validate=True))
    except ValueError:
        pass
    # raised out here, for the value must not stay in a chained error
    raise InvalidInput("the key is not written in base64", kind="bad_row")


def _id(value: object) -> str | None:
    if value in (None, ""):
        return None
    try:
        if isinstance(value, str) and len(bytes.fromhex(value)) == 16:
            return bytes.fromhex(value).hex()
    except ValueError:
        pass
    raise InvalidInput("an id is 16 bytes, written as 32 hexadecimal digits", kind="bad_row")


def _version(value: object) -> int | None:
    if value in (None, ""):
        return None
    text = str(value)
    if not isinstance(value, bool) and text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    raise InvalidInput("c2_key is the version of a key, a whole number", kind="bad_row")


def _topics(value: object) -> tuple[str, ...]:
    listed = value.split(_BETWEEN) if isinstance(value, str) else [] if value is None else value
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise InvalidInput("topics are a list of names", kind="bad_row")
    return tuple(dict.fromkeys(check_topic_name(each) for each in listed if each))


def _read_csv(stream: TextIO) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(stream, strict=True)
    try:
        if "name" not in (reader.fieldnames or ()):
            raise InvalidInput(f"the first line names the fields, which are: {', '.join(FIELDS)}", kind="bad_file")
        for row in reader:
            is_whole = None not in row and None not in row.values()
            why = InvalidInput("this row has not as many fields as the first line", kind="bad_row")
            yield reader.line_num, row if is_whole else why
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num} is no CSV: {error}", kind="bad_file") from error


def _read_lines(stream: TextIO) -> Iterator[tuple[int, object]]:
    number = 0
    while line := stream.readline(_LINE_MAX_LEN):
        number += 1
        if len(line) == _LINE_MAX_LEN:
            raise InvalidInput(f"line {number} is too long to be a client", kind="bad_file")
        if line.strip():
            yield number, _parsed(line)


def _read_json(stream: TextIO) -> Iterator[tuple[int, object]]:
    found = _parsed(stream.read())
    if not isinstance(found, list):
        raise InvalidInput("this is no list of clients in JSON", kind="bad_file")
    return enumerate(found, 1)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return InvalidInput("this is no JSON", kind="bad_row")


def _write_csv(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield ",".join(FIELDS) + "\n"
    for row in rows:
        if any(_BETWEEN in each for each in row["topics"]):
            raise InvalidInput(f"a topic with {_BETWEEN} in its name has no place in CSV; take jsonl", kind="bad_file")
        text = io.StringIO()
        values = {**row, "topics": _BETWEEN.join(row["topics"])}
        csv.DictWriter(text, FIELDS, lineterminator="\n").writerow(values)
        yield text.getvalue()


def _write_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (json.dumps(row) + "\n" for row in rows)


def _write_json(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    begin = "[\n"
    for row in rows:
        yield begin + json.dumps(row)
        begin = ",\n"
    yield "[]\n" if begin == "[\n" else "\n]\n"


_READ: dict[Format, Callable[[TextIO], Iterator[tuple[int, object]]]] = {
    Format.CSV: _read_csv,
    Format.JSONL: _read_lines,
    Format.JSON: _read_json,
}
_WRITE: dict[Format, Callable[[Iterable[Mapping[str, Any]]], Iterator[str]]] = {
    Format.CSV: _write_csv,
    Format.JSONL: _write_lines,
    Format.JSON: _write_json,
}
