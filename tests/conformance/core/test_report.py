# SPDX-License-Identifier: Apache-2.0
"""What is published: JSON of the schema that is shipped, JUnit as its readers check it, and a page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from e4conformance import page
from e4conformance.report import SCHEMA_VERSION, Report, save
from e4core.errors import StorageError
from tests.conformance.core.tiny import Lamp, report
from tests.docs.session import ROOT

SCHEMA = json.loads(files("e4conformance").joinpath("report.schema.json").read_text())
HOSTILE = "</td><script>alert(1)</script> & \x1b[2J\x00 \ud800 \N{ELECTRIC LIGHT BULB}"
BROKEN = Lamp(declared=("dims", "colour"), switch=lambda: False, watts=60, hook=False)
REPORTS = {
    "good": report(Lamp()),
    "broken": report(BROKEN),
    "noted": report(Lamp(watts=0)),
    "part": report(Lamp(), only=("E4-KDF-001",)),
    "hostile": report(Lamp(watts=60, about={HOSTILE: HOSTILE}, declared=(HOSTILE,)), subject=HOSTILE),
}
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname", "id", "package"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "time", "classname"},
    "failure": {"type", "message"},
    "system-out": set(),
    "skipped": {"type", "message"},
}
"""What `junit-10.xsd` of Jenkins' xUnit plugin knows, of what there is in our reports."""
REQUIRED = {"testsuite": {"name", "tests", "failures", "errors"}, "testcase": {"name"}, "property": {"name", "value"}}


def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("which", REPORTS)
def test_json_is_of_the_schema(which: str) -> None:
    document = json.loads(REPORTS[which].json())
    validator().validate(document)
    assert document["schema"] == SCHEMA_VERSION == SCHEMA["properties"]["schema"]["const"]


@pytest.mark.parametrize(("which", "first"), [("good", ""), ("broken", "E4-AEAD-001")])
def test_a_report_says_where_to_begin(which: str, first: str) -> None:
    assert REPORTS[which].begin_with == first
    assert ("Begin with the first" in REPORTS[which].html()) is bool(first)


SPOILT: dict[str, Callable[[dict[str, Any]], object]] = {
    "another version": lambda document: document.update(schema=2),
    "a field more": lambda document: document.update(more=1),
    "a field less": lambda document: document.pop("seed"),
    "a kind that is none": lambda document: document.update(kind="lamp"),
    "a local time": lambda document: document.update(started="2030-01-02 03:04"),
    "a verdict that is none": lambda document: document["requirements"][0].update(verdict="ok"),
    "an id that is none": lambda document: document["requirements"][0].update(id="E4-AEAD-1"),
    "no source": lambda document: document["requirements"][0].update(source=""),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_the_schema_refuses(fault: str) -> None:
    document = REPORTS["good"].document()
    SPOILT[fault](document)
    assert not validator().is_valid(document)


@pytest.mark.parametrize(
    ("which", "complete", "conforms", "verdict"),
    [
        ("good", True, True, "conforms"),
        ("broken", True, False, "does not conform"),
        ("part", False, True, "passes what was checked"),
    ],
)
def test_only_what_is_complete_conforms(which: str, complete: bool, conforms: bool, verdict: str) -> None:
    document = REPORTS[which].document()
    assert [document[name] for name in ("complete", "conforms", "verdict")] == [complete, conforms, verdict]
    assert f"<em>{verdict}</em>" in REPORTS[which].html()


def test_advice_stands_where_something_is_to_be_done() -> None:
    advised = {entry["id"]: entry["advice"] for entry in REPORTS["broken"].document()["requirements"]}
    assert advised == {
        "E4-AEAD-001": "Screw the bulb in.",
        "E4-AEAD-002": "Take another bulb.",
        "E4-AEAD-003": "Give it a hook.",
        "E4-KDF-001": "Take a bulb of 5 W.",
        "E4-KDF-002": "Mend it.",
        "E4-KDF-003": "Wrap it.",
    }
    assert {entry["advice"] for entry in REPORTS["good"].document()["requirements"]} == {"", "Wrap it."}


@pytest.mark.parametrize("which", REPORTS)
def test_junit_is_as_its_readers_check_it(which: str) -> None:
    root = ET.fromstring(REPORTS[which].junit())
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    for element in root.iter():
        assert set(element.keys()) <= ATTRIBUTES[element.tag]
        assert set(element.keys()) >= REQUIRED.get(element.tag, set())
    cases = suite.findall("testcase")
    counted = {"tests": len(cases), "failures": len(suite.findall("*/failure")), "errors": 0}
    assert {name: int(suite.get(name, "")) for name in counted} == counted
    assert int(suite.get("skipped", "")) == len(suite.findall("*/skipped"))
    assert all(len(case) <= 1 for case in cases)


def test_junit_tells_what_is_in_the_way() -> None:
    root = ET.fromstring(REPORTS["broken"].junit())
    failed = {
        case.get("name"): case.find("failure") for case in root.iter("testcase") if case.find("failure") is not None
    }
    assert list(failed) == [
        "E4-AEAD-001 A lamp lights.",
        "E4-AEAD-002 A lamp dims.",
        "E4-AEAD-003 A lamp can be hung.",
        "E4-KDF-002 A lamp changes its colour.",
    ]
    first = failed["E4-AEAD-001 A lamp lights."]
    assert first is not None
    assert first.get("message") == "failed: it stays dark"
    assert first.text == "it stays dark\nScrew the bulb in.\nIEC 60598"
    skipped = [case.get("message") for case in root.iter("skipped")]
    assert skipped == ["warned: it takes 60 W", "not exercised: there is no floor"]


def test_what_a_pass_left_out_is_told_in_every_form() -> None:
    note = "its plate was read, as it was out"
    noted = {entry["id"]: entry["note"] for entry in REPORTS["noted"].document()["requirements"] if entry["note"]}
    assert noted == {"E4-KDF-001": note}
    assert [told.text for told in ET.fromstring(REPORTS["noted"].junit()).iter("system-out")] == [note]
    assert note in Parsed(REPORTS["noted"].html()).text
    assert REPORTS["noted"].verdict == "conforms"


class Parsed(HTMLParser):
    """Gathers what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data


@pytest.mark.parametrize("which", REPORTS)
def test_a_page_needs_nothing_else(which: str) -> None:
    text = REPORTS[which].html()
    parsed = Parsed(text)
    assert {tag for tag, _ in parsed.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    assert not {name for _, attributes in parsed.tags for name in attributes if name in ("src", "style", "onload")}
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in parsed.tags)
    assert "url(" not in text
    assert "@import" not in text


def test_a_page_tells_all_of_a_requirement() -> None:
    parsed = Parsed(REPORTS["broken"].html())
    for entry in REPORTS["broken"].document()["requirements"]:
        for field in ("id", "says", "source", "verdict", "detail", "advice"):
            assert entry[field] in parsed.text
    for heading in ("hall does not conform", "Authenticated encryption", "Derivation of keys", "In the way"):
        assert heading in " ".join(parsed.text.split())
    for fact in ("E27", "dims", "2030-01-02T03:04:05Z", "seed"):
        assert fact in parsed.text


def test_links_of_a_page_lead_to_its_rows() -> None:
    tags = Parsed(REPORTS["broken"].html()).tags
    rows = {attributes["id"] for tag, attributes in tags if tag == "tr" and "id" in attributes}
    links = {(attributes["href"] or "").removeprefix("#") for tag, attributes in tags if tag == "a"}
    assert links == {"E4-AEAD-001", "E4-AEAD-002", "E4-AEAD-003", "E4-KDF-002"}
    assert links <= rows


def test_a_page_of_what_conforms_has_nothing_in_the_way() -> None:
    assert "In the way" not in REPORTS["good"].html()


@pytest.mark.parametrize("form", [Report.json, Report.html, Report.junit])
def test_reports_are_saved_whatever_a_subject_is_called(form: Callable[[Report], str], tmp_path: Path) -> None:
    save(tmp_path / "report", form(REPORTS["hostile"]))
    assert (tmp_path / "report").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="none/report cannot be written: No such file"):
        save(tmp_path / "none" / "report", "")


PUBLISHED = sorted((ROOT / "docs" / "reports").glob("*.json"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_report_that_is_published_is_whole(path: Path) -> None:
    document = json.loads(path.read_bytes())
    validator().validate(document)
    assert document["verdict"] == "conforms"
    assert page.written(document) == path.with_suffix(".html").read_text()
    for private in ("/work", "/root", "/tmp", "/home"):
        assert private not in path.read_text()
