# SPDX-License-Identifier: Apache-2.0
"""Fleets come out of files, and go into them."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from e4cli import exits
from e4cli.fleet_rows import BadRow, FleetRow, Format, read, write
from e4core.errors import Conflict, InvalidInput, StorageError
from tests.c2.served import device_key
from tests.cli.c2_server import C2
from tests.cli.command import program
from tests.cli.test_c2_cli import client, fresh, topic
from tests.cli.test_c2_cli_refusals import on_a_terminal

REFUSED = exits.code_of(InvalidInput())


def row(c2: C2, name: str = "", *topics: str) -> dict[str, Any]:
    key = b64encode(device_key(c2.suite)).decode()
    return {"name": name or fresh("client"), "id": "", "key": key, "c2_key": "", "topics": list(topics)}


def file_of(c2: C2, rows: list[dict[str, Any]], format_: str = "csv") -> Path:
    path = c2.folder / f"{fresh('fleet')}.{format_}"
    path.touch(0o600)
    path.write_bytes(b"".join(write(Format(format_), rows)))
    return path


def tried(c2: C2, file: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = c2.run("clients", "import", file, "--output", "json", *options)
    return done.code, json.loads(done.stdout)


def members(c2: C2, name: str) -> set[str]:
    return {each["name"] for each in c2.answer("topics", "members", name)}


@pytest.mark.parametrize("format_", list(Format))
def test_import_registers_joins_and_may_be_repeated(c2: C2, format_: str) -> None:
    hall, wing = topic(c2), topic(c2)
    rows = [row(c2, "", hall, wing), row(c2, fresh('Süd, "ö"'), hall), row(c2)]
    file = file_of(c2, rows, format_)
    counts = {"rows": 3, "created": 3, "present": 0, "joined": 3, "refused": 0, "errors": []}
    assert tried(c2, file, "--dry-run") == (0, {"rows": 3, "new": 3, "present": 0, "refused": 0, "errors": []})
    assert c2.run("clients", "show", rows[0]["name"]).code != 0
    assert tried(c2, file) == (0, counts)
    assert members(c2, hall) == {rows[0]["name"], rows[1]["name"]}
    assert members(c2, wing) == {rows[0]["name"]}
    assert tried(c2, file) == (0, {**counts, "created": 0, "present": 3})
    assert not any(each["key"] in told for each in rows for told in c2.told)


def test_topics_that_do_not_exist_are_made_if_that_is_said(c2: C2) -> None:
    hall, new, another = topic(c2), fresh("new"), fresh("new")
    refused = {**row(c2, "", fresh("new")), "key": "AAAA"}
    rows = [row(c2, "", hall, new), row(c2, "", new, another), refused, row(c2, "", "e4/reserved")]
    file = file_of(c2, rows)
    dry = tried(c2, file, "--create-topics", "--dry-run")[1]
    assert (dry["new"], [each["line"] for each in dry["errors"]]) == (3, [4])
    assert c2.run("topics", "show", new).code != 0
    _, told = tried(c2, file, "--create-topics")
    assert (told["created"], told["joined"], [each["line"] for each in told["errors"]]) == (3, 4, [4, 5])
    assert members(c2, new) == {rows[0]["name"], rows[1]["name"]}
    assert c2.run("topics", "show", refused["topics"][0]).code != 0
    assert tried(c2, file, "--create-topics")[1]["present"] == 3


def test_each_bad_row_is_told_by_its_line_and_the_others_are_done(c2: C2) -> None:
    taken = client(c2)
    good = row(c2)
    short = {**row(c2), "key": "AAAA"}
    nowhere = row(c2, "", "no/such/topic")
    rows = [row(c2, taken), good, short, {**row(c2), "id": "xy"}, {**row(c2), "key": ""}, nowhere]
    code, told = tried(c2, file_of(c2, rows))
    assert code == REFUSED
    assert sorted(each["line"] for each in told["errors"]) == [2, 4, 5, 6, 7]
    assert (told["rows"], told["created"], told["refused"]) == (6, 2, 5)
    assert {each["line"]: each["kind"] for each in told["errors"]} == {
        2: "conflict",
        4: "bad_key",
        5: "bad_row",
        6: "not_found",
        7: "not_found",
    }
    assert c2.answer("clients", "show", good["name"])["status"] == "active"


def test_dry_run_finds_what_can_be_found_before(c2: C2) -> None:
    twice = row(c2)
    rows = [row(c2, client(c2)), twice, twice, row(c2, "", "no/such/topic"), {**row(c2), "key": ""}]
    code, told = tried(c2, file_of(c2, rows), "--dry-run")
    assert code == REFUSED
    assert (told["new"], told["present"]) == (1, 1)
    assert [each["line"] for each in told["errors"]] == [4, 5, 6]


def test_rows_go_in_requests_of_a_thousand(sk: C2) -> None:
    one = row(sk)
    rows = [{**one, "name": f"many/{i}"} for i in range(1001)]
    assert tried(sk, file_of(sk, rows))[1]["created"] == 1001


def test_import_shows_how_far_it_is_on_a_terminal_and_of_a_pipe_what_can_be_known(sk: C2) -> None:
    file = file_of(sk, [row(sk), row(sk), row(sk)], "jsonl")
    (e4,), size = program(), file.stat().st_size
    for command, whole in (
        (f"{e4} clients import {file}", f"{size}/{size}"),
        (f"{e4} clients import - --format jsonl < {file}", f"{size}/{size}"),
        (f"cat {file} | {e4} clients import - --format jsonl", "3/?"),
    ):
        shown = on_a_terminal(["sh", "-c", command], sk.env, until=whole, code=0)
        assert ("bytes of the file" in shown) is ("?" not in whole)
        assert "/0" not in shown
    assert sk.run("clients", "import", file).stderr == ""


def test_export_is_what_import_takes(c2: C2) -> None:
    name = client(c2)
    of = topic(c2, name)
    file = c2.folder / f"{fresh('fleet')}.csv"
    c2.ok("clients", "export", file)
    exported = {each["name"]: each for each in csv.DictReader(io.StringIO(file.read_text()))}
    assert exported[name]["topics"] == of
    assert {each["key"] for each in exported.values()} == {""}
    assert c2.run("clients", "export", file).code == exits.code_of(Conflict())
    listed = [json.loads(line) for line in c2.ok("clients", "export", "-", "--format", "jsonl").splitlines()]
    assert {each["name"] for each in listed} == exported.keys()
    identity = c2.answer("clients", "show", name)["id"]
    c2.ok("topics", "leave", of, name)
    back = file_of(c2, [each for each in listed if each["id"] == identity], "jsonl")
    assert tried(c2, back)[1] | {"errors": 0} == {
        "rows": 1,
        "created": 0,
        "present": 1,
        "joined": 1,
        "refused": 0,
        "errors": 0,
    }
    assert members(c2, of) == {name}


def test_file_with_secret_keys_that_others_may_read_is_refused(sk: C2) -> None:
    file = file_of(sk, [row(sk)])
    file.chmod(0o644)
    assert sk.run("clients", "import", file).code == exits.code_of(StorageError())


def test_table_names_lines(c2: C2) -> None:
    done = c2.run("clients", "import", file_of(c2, [{**row(c2), "key": "!"}]))
    assert done.code == REFUSED
    assert "not written in base64" in done.stdout
    assert "1 of 1 rows" in done.stderr


@pytest.mark.parametrize(
    ("format_", "text"),
    [("csv", "id,key\n1,2\n"), ("csv", ""), ("csv", 'name\n"a'), ("json", "{}"), ("json", "["), ("jsonl", "a" * 2**20)],
)
def test_file_that_is_none_is_refused(format_: Format, text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        list(read(Format(format_), io.StringIO(text, newline="")))
    assert refusal.value.kind == "bad_file"


@pytest.mark.parametrize("odd", ["[]", "{}", "1", '{"name": 1}', '{"name": "a", "x": 1}', "{", "[" * 100_000])
def test_odd_line_is_told_and_passed_over(odd: str) -> None:
    found = list(read(Format.JSONL, io.StringIO(f'{odd}\n\n{{"name": "b"}}\n')))
    assert [type(each) for each in found] == [BadRow, FleetRow]
    assert [each.line for each in found] == [1, 3]


@pytest.mark.parametrize(
    "values",
    [
        {"key": "?"},
        {"key": 7.5},
        {"id": "00"},
        {"id": 1},
        {"c2_key": -1},
        {"c2_key": True},
        {"topics": {}},
        {"topics": [1]},
    ],
)
def test_value_of_the_wrong_form_is_told(values: dict[str, Any]) -> None:
    (found,) = read(Format.JSON, io.StringIO(json.dumps([{"name": "a", **values}])))
    assert isinstance(found, BadRow)
    assert found.name == "a"
