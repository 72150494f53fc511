# SPDX-License-Identifier: Apache-2.0
"""Writes the generated parts of ``docs/reference/*.md`` from the code: ``make reference``.

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; all around it is written by hand. What it says comes from
help texts and docstrings of commands, descriptions of settings, the OpenAPI document of the API, and the books of the conformance
kit. `IDS` gets the ids of requirements that are new there, and loses none.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from e4c2.api import http
from e4c2.api.parts import C2
from e4c2.api.status import BY_CLASS, GRPC
from e4c2.grpc.description import Rpc, services
from e4c2.settings import Settings
from e4cli import exits, main
from e4conformance.families import title
from e4conformance.kinds import KINDS, Kind
from e4core.errors import E4Error

Param = TyperArgument | TyperOption
Json = Mapping[str, Any]

_ROOT = Path(__file__).parents[1]
REPORTS = _ROOT / "docs" / "reports"
PAGES = [
    *(
        _ROOT / "docs" / "reference" / f"{name}.md"
        for name in ("cli", "settings", "http-api", "grpc-api", "conformance")
    ),
    REPORTS / "index.md",
]
IDS = _ROOT / "tests" / "conformance" / "ids.txt"
"""Every id that a requirement ever had, and of which kind; ``retired`` where it has none now."""
_SCHEMA = Settings.model_json_schema()
SETTINGS, _CHOICES = _SCHEMA["properties"], _SCHEMA["$defs"]
PROGRAM = cast(TyperGroup, typer.main.get_command(main.app))

_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.S)
_CODE = re.compile(r"(?<![`\w])(--[a-z][a-z0-9-]*|\$?E4_[A-Z]+(?:_[A-Z]+)*(?:=\w+)?)")
_WAITING, _REACHING, _OUTPUT = ("wait", "timeout"), ("url", "token_file", "ca", "profile"), ("output",)
_SHARED = {
    _WAITING: "[how to wait](#waiting-for-a-change)",
    _REACHING: "[where the C2 is](#reaching-a-c2)",
    _OUTPUT: "[how to print](#output)",
}
_TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "null": ""}
_FORMATS = {"byte": "base64", "path": "path", "ipvanyaddress": "IP address", "ipvanynetwork": "IP address or network"}


def filled(page: str) -> str:
    """``page`` with all its generated parts made anew."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]().strip()}\n\n{part[3]}", page)


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """All commands that do something, by their words after ``e4``."""
    for name, command in PROGRAM.commands.items():
        below = command.commands if isinstance(command, TyperGroup) else {"": command}
        yield from ((f"{name} {each}".strip(), cast(TyperCommand, sub)) for each, sub in below.items())


@cache
def openapi() -> Json:
    """The description of the API; it needs no C2 that would serve it."""
    return http.build(cast(C2, None)).openapi()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _prose(text: str | None) -> str:
    """A docstring or help text as Markdown in one line; options and variables as code."""
    return _CODE.sub(r"`\1`", " ".join((text or "").replace("``", "`").split()))


def _limits(least: float | None, most: float | None) -> str:
    return " ".join(f"{word} {n:.15g}" for word, n in (("from", least), ("to", most)) if n is not None)


def _command_index() -> str:
    rows = ((f"[`e4 {name}`](#e4-{name.replace(' ', '-')})", _prose(of.help)) for name, of in commands())
    return _table(("command", ""), rows)


def _command_sections() -> str:
    sections = {"": ["## Commands that stand alone"]}
    for name, command in commands():
        group = name.rpartition(" ")[0]
        head = [f"## e4 {group}", _prose(PROGRAM.commands[name.split()[0]].help)]
        sections.setdefault(group, head).append(_command(name, command))
    return "\n\n".join(part for of in sections.values() for part in of)


def _command(name: str, command: TyperCommand) -> str:
    given = sorted(cast(list[Param], command.params), key=lambda each: isinstance(each, TyperOption))
    usage = " ".join([name, *(_label(each) for each in given if isinstance(each, TyperArgument))])
    own = [each for each in given if not any(each.name in names for names in _SHARED)]
    shared = [link for names, link in _SHARED.items() if {each.name for each in given}.issuperset(names)]
    more = f"More options: {', '.join(shared)}." if shared else ""
    parts = (f"### e4 {name}", f"`e4 {usage} [OPTIONS]`", _prose(command.help), _params(own) if own else "", more)
    return "\n\n".join(part.strip() for part in parts if part)


def _params(given: Iterable[object], names: Sequence[str] = ()) -> str:
    chosen = (each for each in given if isinstance(each, Param) and (not names or each.name in names))
    return _table(("argument or option", "meaning"), ((f"`{_label(each)}`", _meaning(each)) for each in chosen))


def _label(param: Param) -> str:
    kind = param.type_descriptor.annotation
    choices = "|".join(kind) if isinstance(kind, type) and issubclass(kind, StrEnum) else ""
    word = param.metavar or choices or (param.name or "").upper()
    if isinstance(param, TyperArgument):
        return (word if param.required else f"[{word}]") + ("..." if param.nargs < 0 else "")
    return ", ".join((*param.opts, *param.secondary_opts)) + ("" if param.is_flag else f" {word}")


def _meaning(param: Param) -> str:
    default = param.opts[0] if param.default is True else getattr(param.default, "value", param.default)
    parts = {
        _prose(param.help): True,
        "Required.": param.required and isinstance(param, TyperOption),
        f"{_limits(param.min, param.max)}.".capitalize(): param.min is not None or param.max is not None,
        f"Default: `{default:g}`." if isinstance(default, float) else f"Default: `{default}`.": default,
        f"Variable: `{param.envvar}`.": param.envvar,
    }
    return " ".join(part for part, wanted in parts.items() if wanted)


def _problems() -> str:
    found = sorted((of, error.kind, error.__doc__) for error, of in BY_CLASS.items() if error is not E4Error)
    rows = ((f"{of} {of.phrase}", f"`{kind}`", _prose(text)) for of, kind, text in found)
    return _table(("status", "kind", "meaning"), rows)


def _codes() -> str:
    """Codes of gRPC by status."""
    return _table(("status", "gRPC"), ((f"{of} {of.phrase}", f"`{name}`") for of, name in GRPC.items()))


def _rpcs() -> str:
    found = (rpc for service in services().values() for rpc in service.values())
    rows = (
        (f"`{rpc.service.rpartition('.')[2]}/{rpc.name}`", f"`{rpc.verb} {rpc.path}`", _streams(rpc)) for rpc in found
    )
    return _table(("RPC", "HTTP request", "streams"), rows)


def _streams(rpc: Rpc) -> str:
    return {(False, True): "answers", (True, True): "requests and answers"}.get((rpc.takes_many, rpc.gives_many), "")


def _routes() -> str:
    sections: dict[str, list[str]] = {}
    for path, methods in openapi()["paths"].items():
        for method, route in methods.items():
            sections.setdefault(route["tags"][0], []).append(_route(f"{method.upper()} {path}", route))
    return "\n".join(f"## Routes: {tag}\n\n" + "\n".join(of) for tag, of in sections.items())


def _route(name: str, route: Json) -> str:
    query = {f"?{each['name']}": each["schema"] for each in route.get("parameters", ()) if each["in"] == "query"}
    fields = {**query, **_named(route.get("requestBody")).get("properties", {})}
    rows = [(f"`{each}`", *_typed(fields[each])) for each in fields if each not in ("?limit", "?cursor")]
    takes = _table(("takes", "type", "meaning"), rows) if rows else ""
    ((status, answer),) = ((status, answer) for status, answer in route["responses"].items() if status != "default")
    *page, title = re.findall(r"\w+", _named(answer).get("title", "")) or [""]
    gives = ("a [page](#paging) of " if page else "") + (f"[{title}](#{title.lower()})" if title else "no body")
    text = f"Answers {status}: {gives}. {_prose(route.get('description'))}"
    return "\n\n".join(part.strip() for part in (f"### {name}", f"{route['summary']}.", takes, text) if part) + "\n"


_ID = r"^[0-9a-f]{32}$"
_LINKS = {"EventKind": "[kind of event](../guides/events.md#what-is-told)"}
"""Choices with a page of their own."""


def _named(part: Json | None) -> Json:
    """The schema that a part of the description names; empty if it names none."""
    found = re.search(r'"#/(?:components/schemas|\$defs)/(\w+)"', json.dumps(part))
    return cast(Json, ({**openapi()["components"]["schemas"], **_CHOICES})[found[1]] if found else {})


def _typed(schema: Json) -> tuple[str, str]:
    """Type and meaning of a field."""
    default = json.dumps(schema.get("default")).strip('"')
    told = {"null": "", "": ", optional"}.get(default, f", default `{default}`")
    return _type(schema) + told, _prose(schema.get("description"))


def _type(schema: Json) -> str:
    if "anyOf" in schema:
        kinds = [_type(each) for each in schema["anyOf"]]
        return " or ".join(kind for kind in kinds if kind) + (", optional" if "" in kinds else "")
    if "$ref" in schema:
        if link := _LINKS.get(schema["$ref"].rpartition("/")[2]):
            return link
        named = _named(schema)
        fields = ", ".join(f"`{each}`" for each in named.get("properties", ()))
        return f"object of {fields}" if fields else " or ".join(f"`{each}`" for each in named["enum"])
    if "items" in schema:
        limits = _limits(schema.get("minItems"), schema.get("maxItems"))
        return ", ".join(filter(None, (f"list of {_type(schema['items'])}", limits)))
    kind = "id" if schema.get("pattern") == _ID else _FORMATS.get(schema.get("format", ""), _TYPES[schema["type"]])
    return f"{kind} {_limits(schema.get('minimum', schema.get('exclusiveMinimum')), schema.get('maximum'))}".strip()


def _requirements(kind: Kind) -> str:
    families: dict[str, list[Sequence[str]]] = {}
    for each in sorted(kind.book, key=lambda each: each.id):
        row = (
            f"`{each.id}`",
            each.level.value,
            _prose(each.says),
            f"`{each.needs}`" if each.needs else "",
            each.source,
        )
        families.setdefault(each.id.split("-")[1], []).append(row)
    head = ("id", "level", "what holds", "needs", "source")
    return "\n".join(f"### {title(family)}: E4-{family}\n\n{_table(head, rows)}" for family, rows in families.items())


def _reports() -> str:
    """One row for each of `make reports`."""
    found = ((path, json.loads(path.read_bytes())) for path in sorted(REPORTS.glob("*.json")))
    rows = (
        (
            each["kind"],
            f"[{each['subject']}]({path.stem}.html)",
            each["verdict"],
            each["summary"],
            f"[JSON]({path.name})",
        )
        for path, each in found
    )
    return _table(("kind", "subject", "verdict", "of the requirements", ""), rows)


def ids(known: str) -> str:
    """``known`` with a line for each requirement that is new in the books."""
    listed = dict(line.split(" ", 1) for line in known.splitlines())
    new = {requirement.id: kind.name for kind in KINDS.values() for requirement in kind.book}
    return "".join(f"{number} {kind}\n" for number, kind in sorted({**new, **listed}.items()))


PARTS: dict[str, Callable[[], str]] = {
    "command-index": _command_index,
    "command-sections": _command_sections,
    "global-options": lambda: _params(PROGRAM.params),
    "reaching": lambda: _params(dict(commands())["topics rotate"].params, _REACHING),
    "waiting": lambda: _params(dict(commands())["topics rotate"].params, _WAITING),
    "output": lambda: _params(dict(commands())["topics rotate"].params, _OUTPUT),
    "exit-statuses": lambda: _table(
        ("status", "name", "meaning"), ((f"`{of.code}`", f"`{of.name}`", _prose(of.meaning)) for of in exits.TABLE)
    ),
    "settings": lambda: _table(
        ("setting", "variable", "type, default", "meaning"),
        ((f"`{name}`", f"`E4_{name.upper()}`", *_typed(each)) for name, each in SETTINGS.items()),
    ),
    "problems": _problems,
    "grpc-codes": _codes,
    "rpcs": _rpcs,
    "routes": _routes,
    "reports": _reports,
    **{f"requirements-{kind.name}": partial(_requirements, kind) for kind in KINDS.values()},
}

if __name__ == "__main__":
    subprocess.run([sys.executable, "-m", "scripts.proto"], cwd=_ROOT, check=True)
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    IDS.write_text(ids(IDS.read_text(encoding="utf-8")), encoding="utf-8")
