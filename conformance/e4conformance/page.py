# SPDX-License-Identifier: Apache-2.0
"""A report as one page of HTML that needs nothing else: no script, nothing from elsewhere, fit for paper and for a dark screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from e4conformance.families import title

_MARKS = {"passed": "✓", "failed": "✗", "warned": "!", "not exercised": "?", "not applicable": "–"}  # noqa: RUF001
_STATES = {"conforms": "good", "passes what was checked": "part", "does not conform": "bad"}
_KINDS = {"suite": "Suite", "kms": "KMS driver", "transport": "Transport", "port": "Port"}


def written(report: Mapping[str, Any]) -> str:
    template = Template(files("e4conformance").joinpath("page.html").read_text(encoding="utf-8"))
    entries = report["requirements"]
    return template.substitute(
        kind=escape(_KINDS.get(report["kind"], report["kind"])),
        subject=escape(report["subject"]),
        verdict=report["verdict"],
        state=_STATES[report["verdict"]],
        summary=escape(report["summary"]),
        counts="".join(_count(*each) for each in Counter(entry["verdict"] for entry in entries).items()),
        findings=_findings(entries),
        declared=", ".join(f"<code>{escape(each)}</code>" for each in report["declared"]) or "none",
        environment="".join(_fact(*each) for each in _environment(report)),
        families="".join(_family(family, entries) for family in dict.fromkeys(map(_family_of, entries))),
    )


def _environment(report: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    yield from report["about"].items()
    yield "kit", f"e4 {report['kit']}"
    yield "seed", report["seed"]
    yield "run", report["started"]


def _family_of(entry: Mapping[str, Any]) -> str:
    return str(entry["id"]).split("-")[1]


def _count(verdict: str, number: int) -> str:
    return f'<li class="{_class(verdict)}"><b>{number}</b> {verdict}</li>'


def _findings(entries: Iterable[Mapping[str, Any]]) -> str:
    """What is in the way, first: who opens a page of something that does not conform looks for that."""
    found = [entry for entry in entries if entry["in_the_way"]]
    items = "".join(
        f'<li><a href="#{entry["id"]}">{entry["id"]}</a> {escape(entry["says"])}{_seen(entry)}</li>' for entry in found
    )
    order = "<p>Begin with the first: what comes after it may follow from it.</p>" if len(found) > 1 else ""
    return f'<section class="findings"><h2>In the way</h2>{order}<ul>{items}</ul></section>' if found else ""


def _fact(name: str, value: object) -> str:
    return f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"


def _family(family: str, entries: Sequence[Mapping[str, Any]]) -> str:
    of_family = [entry for entry in entries if _family_of(entry) == family]
    rows = "".join(_row(entry) for entry in sorted(of_family, key=lambda entry: str(entry["id"])))
    head = f'<tr class="family"><th colspan="4">{escape(title(family))} <span>E4-{escape(family)}</span></th></tr>'
    return f"<tbody>{head}{rows}</tbody>"


def _row(entry: Mapping[str, Any]) -> str:
    verdict = entry["verdict"]
    kind = _class(verdict) + " in-the-way" * entry["in_the_way"]
    return (
        f'<tr id="{entry["id"]}" class="{kind}"><td class="id">{entry["id"]}</td>'
        f'<td class="verdict"><span>{_MARKS[verdict]}</span> {verdict}<small>{entry["level"]}</small></td>'
        f"<td>{escape(entry['says'])}{_seen(entry)}</td>"
        f'<td class="source">{escape(entry["source"])}</td></tr>'
    )


def _seen(entry: Mapping[str, Any]) -> str:
    told = {"detail": entry["detail"] or entry.get("note", ""), "advice": entry["advice"]}
    return "".join(f'<p class="{part}">{escape(text)}</p>' for part, text in told.items() if text)


def _class(verdict: str) -> str:
    return verdict.replace(" ", "-")
