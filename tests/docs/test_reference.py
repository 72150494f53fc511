# SPDX-License-Identifier: Apache-2.0
"""What the reference lists is all there is, and what any page names exists."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from e4c2.api.status import BY_KIND
from e4c2.model import Delivery, Kind
from e4c2.settings import Settings
from e4core.errors import InvalidInput
from e4transports.address import BrokerAddress
from scripts import reference
from tests.docs.session import ROOT

REFERENCE = ROOT / "docs" / "reference"
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if "_build" not in page.parts]
COMMANDS = dict(reference.commands())
GROUPS = {name.rpartition(" ")[0] for name in COMMANDS} - {""}
SCHEMAS = reference.openapi()["components"]["schemas"]
PAGES_OF_WORDS: dict[frozenset[str], set[str]] = {frozenset(Delivery): {"concepts/delivery.md#states"}}
"""Words that are explained on a page of their own."""
ELSEWHERE = {"Approval.permission", "Status.behind"}
"""Fields of as many words as the permissions, and of words that another field has."""
NOT_OF_REQUESTS = {"bad_setting", "bad_uri", "bad_report", "overload", "exists", "not_empty"}
"""Kinds of errors that the C2 tells its operator or its log."""


@pytest.mark.parametrize("page", reference.PAGES, ids=lambda page: page.stem)
def test_generated_parts_are_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert text == reference.filled(text), "run: make reference"


def test_no_generated_part_is_left_out() -> None:
    used = re.findall(r"<!-- generated: (\S+) -->", "".join(page.read_text() for page in reference.PAGES))
    assert sorted(used) == sorted(reference.PARTS)


def test_every_command_and_option_and_setting_has_a_help_text() -> None:
    silent = [name for name, command in COMMANDS.items() if not command.help]
    silent += [
        f"{name} {each.name}"
        for name, command in COMMANDS.items()
        for each in command.params
        if isinstance(each, reference.Param) and not each.help
    ]
    silent += [name for name, field in Settings.model_fields.items() if not field.description]
    assert silent == []


def test_every_field_that_a_route_takes_is_described() -> None:
    bodies = [name for name, schema in SCHEMAS.items() if "additionalProperties" in schema]
    silent = [
        f"{name}.{field}"
        for name in bodies
        for field, schema in SCHEMAS[name]["properties"].items()
        if "description" not in schema
    ]
    assert bodies
    assert silent == []


def test_every_field_of_an_answer_is_explained() -> None:
    answers = {
        name: sorted(schema["properties"])
        for name, schema in SCHEMAS.items()
        if "properties" in schema and "additionalProperties" not in schema and not name.startswith("Page_")
    }
    assert {name: sorted(fields) for name, fields in told_answers().items()} == answers


def test_every_word_that_an_answer_may_have_is_told() -> None:
    named = {name: fields for name, fields in told_answers().items() if name in SCHEMAS}
    told = {
        f"{name}.{field}": set(re.findall(r"`([\w-]+)`", kind)) or set(re.findall(r"\(\.\./(\S+)\)", kind))
        for name, fields in named.items()
        for field, kind in fields.items()
    }
    words = {
        f"{name}.{field}": words_of(SCHEMAS[name]["properties"][field])
        for name, fields in named.items()
        for field in fields
    }
    assert {name: each for name, each in told.items() if each} == {
        name: PAGES_OF_WORDS.get(frozenset(each), each)
        for name, each in words.items()
        if each and name not in ELSEWHERE
    }


@pytest.mark.parametrize(("table", "words"), [("## States", Delivery), ("## Kinds", Kind)])
def test_states_and_kinds_of_commands_are_explained(table: str, words: type[StrEnum]) -> None:
    _, _, section = (ROOT / "docs" / "concepts" / "delivery.md").read_text().partition(f"\n{table}\n")
    rows = re.findall(r"^\| (`[^|]+`) \|", section.partition("\n## ")[0], re.M)
    assert sorted(word for row in rows for word in re.findall(r"`(\w+)`", row)) == sorted(words)


def test_every_kind_of_error_that_a_route_tells_is_named() -> None:
    text = (REFERENCE / "http-api.md").read_text()
    sources = [*(ROOT / "c2" / "e4c2").rglob("*.py"), ROOT / "e4core" / "keys.py"]
    kinds = {kind for source in sources for kind in re.findall(r'\bkind="(\w+)"', source.read_text())} | set(BY_KIND)
    assert sorted(kind for kind in kinds - NOT_OF_REQUESTS if f"`{kind}`" not in text) == []


def test_every_variable_that_is_read_is_named() -> None:
    text = "".join(page.read_text() for page in reference.PAGES)
    sources = [*(ROOT / "cli" / "e4cli").rglob("*.py"), *(ROOT / "c2" / "e4c2").rglob("*.py")]
    read = {name for source in sources for name in re.findall(r"\bE4_[A-Z_]*[A-Z]\b", source.read_text())}
    assert sorted(name for name in read if f"`{name}`" not in text) == []


def test_the_options_of_a_broker_are_all_named() -> None:
    with pytest.raises(InvalidInput, match="known: ") as refused:
        BrokerAddress.parse("mqtt://host?none=1")
    known = set(str(refused.value).partition("known: ")[2].split(", "))
    _, _, text = (REFERENCE / "settings.md").read_text().partition("\n## Brokers\n")
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", text, re.M)
    assert {option for row in rows for option in re.findall(r"[a-z-]+", row)} == known


def test_every_driver_of_a_uri_is_named() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    schemes = {scheme for group in ("e4.kms", "e4.transports") for scheme in points[group]} | {"embedded"}
    text = (REFERENCE / "settings.md").read_text()
    assert sorted(scheme for scheme in schemes if f"| `{scheme}:" not in text) == []


@pytest.mark.parametrize("page", ["reference/settings.md", "guides/operate.md"])
def test_settings_that_are_shown_can_be_used(page: str) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.S | re.M)
    assert blocks
    for block in blocks:
        assert Settings(**tomllib.loads(block))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_a_page_names_exist(page: Path) -> None:
    assert [each for each in named_commands(page.read_text()) if not exists(each.split())] == []


@pytest.mark.parametrize(
    "line", ["e4 topic list", "e4 topics lists", "e4 topics list --all", "e4 --wait", "e4 serve --wait"]
)
def test_commands_that_do_not_exist_are_found_out(line: str) -> None:
    (named,) = named_commands(f"see `{line}`")
    assert not exists(named.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)\b", page.read_text())) <= targets


def told_answers() -> dict[str, dict[str, str]]:
    """Answer -> field -> its type, as the page has them."""
    _, _, text = (REFERENCE / "http-api.md").read_text().partition("\n## What answers hold\n")
    sections = re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", text, re.S | re.M)
    return {name: dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", body, re.M)) for name, body in sections}


def words_of(schema: reference.Json) -> set[str]:
    """All that a field may be, if it is one of so many words, or has them as its names; else nothing."""
    one = schema.get("propertyNames") or next(iter(schema.get("anyOf", ())), schema)
    found = SCHEMAS[one["$ref"].rpartition("/")[2]] if "$ref" in one else one
    return {*found.get("enum", ()), *([found["const"]] if "const" in found else ())}


def named_commands(text: str) -> Iterator[str]:
    """What stands after ``e4`` in code and in console blocks, up to what is no part of the command; what is quoted is a word."""
    spans = re.findall(r"`([^`\n]+)`|^\$ ([^\n]+)$", text, re.M)
    for code in map("".join, spans):
        yield from re.findall(r"(?:^|[|;(] ?)e4 ([a-z-][^|;)#>]*)", re.sub(r"""(["']).*?\1""", "QUOTED", code))


def exists(words: list[str]) -> bool:
    """Whether there is such a command, or group of commands, and it has these options."""
    name = next((name for n in (2, 1) if (name := " ".join(words[:n])) in COMMANDS), None)
    params = COMMANDS[name].params if name else reference.PROGRAM.params
    options = {option for each in params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    known = name is not None or (words[0] in GROUPS and len(words) == 1) or words[0].startswith("-")
    return known and {word.partition("=")[0] for word in words if word.startswith("--")} <= options
