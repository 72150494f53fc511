# SPDX-License-Identifier: Apache-2.0
"""``--output csv``: what JSON has, in a form that spreadsheets and CSV readers understand, and that no spreadsheet calculates."""

from __future__ import annotations

import csv
import io
import json
import signal

import pytest

from e4cli.output import Output, Row, Value, show_rows
from tests.cli.c2_server import C2
from tests.cli.command import e4, ok, refused, running
from tests.cli.test_c2_cli import client, topic


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def read(cell: str) -> str:
    """As the documentation says that programs read a cell."""
    return cell.removeprefix("'")


def as_csv(value: Value) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return json.dumps(value)
        case int() | float():
            return str(value)
        case _:
            return json.dumps(value)


@pytest.mark.parametrize("what", ["clients list", "clients show A", "topics list", "c2 show", "token list", "events"])
def test_csv_has_what_json_has(sk: C2, what: str) -> None:
    name = client(sk)
    topic(sk, name)
    words = what.replace("A", name).split()
    told = json.loads(sk.ok(*words, "-o", "json"))
    wanted = told if isinstance(told, list) else [told]
    found = rows_of(sk.ok(*words, "-o", "csv"))
    assert wanted
    assert [{key: read(cell) for key, cell in row.items()} for row in found] == [
        {key: as_csv(value) for key, value in row.items()} for row in wanted
    ]


def test_a_list_of_nothing_is_nothing(sk: C2) -> None:
    done = sk.run("topics", "members", topic(sk), "-o", "csv")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "'quoted", 'a "b", c', "ünï"])
def test_no_name_is_a_formula_and_each_can_be_read_back(sk: C2, name: str) -> None:
    sk.served.client(name)
    (row,) = (row for row in rows_of(sk.ok("clients", "list", "-o", "csv")) if read(row["name"]) == name)
    assert row["name"][0] not in "=+-@\t\r\n"


def test_numbers_stay_numbers_lines_end_as_the_standard_says_and_all_fields_are_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows: list[Row] = [{"a": -1, "b": "x\r\ny"}, {"a": -1.5, "c": True}, {"d": {"e": [None]}}]
    show_rows(Output.CSV, rows)
    assert capsys.readouterr().out == ('a,b,c,d\r\n-1,"x\r\ny",,\r\n-1.5,,true,\r\n,,,"{""e"": [null]}"\r\n')


def test_on_a_terminal_nothing_steers_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show_rows(Output.CSV, [{"a": "x\x1b[2Jy"}])
    assert capsys.readouterr().out == "a\r\nx\\x1b[2Jy\r\n"


def test_what_goes_on_has_one_header(sk: C2) -> None:
    start = sk.answer("events")[-1]["id"]
    sk.served.topic("one")
    sk.served.topic("two")
    with running("events", "--follow", f"--after={start}", "--kind=topic.created", env=sk.env, output="csv") as process:
        assert process.line() == b"id,kind,created,client,topic,data\r\n"
        assert b",topic.created," in process.line()
        assert b",topic.created," in process.line()
        assert process.end(signal.SIGINT) == 130


def test_a_command_that_tells_of_different_things_has_no_csv() -> None:
    assert "'csv' is not one of 'table', 'json'" in refused(2, "serve", "--output", "csv")


def test_commands_without_a_c2_have_it_too() -> None:
    codes = rows_of(ok("exit-codes", "-o", "csv").decode())
    assert codes[0] == {"code": "0", "name": "ok", "meaning": "done"}
    assert {row["suite"] for row in rows_of(ok("suites", "-o", "csv").decode())} > {"sk", "pk"}
    found = rows_of(e4("conformance", "suite", "sk", "--only", "E4-AEAD-001", "-o", "csv").stdout.decode())
    assert all(row["id"].startswith("E4-") for row in found)
