# SPDX-License-Identifier: Apache-2.0
"""The stories of the vectors, played on a port: those for its suites, its capabilities and its limits."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from e4conformance import format2, strict
from e4conformance.played import Device, Random
from e4conformance.ports import sections
from e4conformance.ports.device import PortDevice
from e4conformance.ports.format1 import begun, cannot_begin
from e4conformance.ports.links import PortFault
from e4conformance.ports.subject import PortSubject
from e4conformance.requirement import NotExercised, Unmet
from e4conformance.runner import differences
from e4conformance.vectorfile import Entry, Facets, VectorFile
from e4core.errors import E4Error
from e4core.suite import Suite

_REPORTED = ("report", "content", "synchronised")
_LOG = logging.getLogger(__name__)
_SHOWN = 5
"""Stories that are named where several fail."""
_STEP_MORE = 128
"""Bytes of a request beside what stands in the step."""
_NEEDS: Mapping[str, tuple[str, int]] = {
    "a window of 1024 below the highest sequence": ("window", 1024),
    "a ninth session pushes out the one with the earliest newest timestamp": ("sessions", 8),
    "a session that was pushed out and comes again brings back nothing": ("sessions", 8),
    "of nine epochs the lowest goes": ("epochs", 8),
}
"""Story -> the limit that must be exactly this."""


def play(subject: PortSubject, kind: str, section: str) -> str:
    """Every story of a section that the port can play. Gives why others were left out; empty: there are none.

    Raises: Unmet: with the first that fails. NotExercised: none can be played.
    """
    file = sections.files()[kind]
    by_name = {suite.wire_name: suite for suite in subject.suites}
    entries = [entry for entry in file.sections[section] if entry["suite"] in by_name]
    left_out = {entry["name"]: reason for entry in entries if (reason := cannot(subject, section, entry))}
    played = [entry for entry in entries if entry["name"] not in left_out]
    if not played:
        why = next(iter(left_out.values()), "it is told of none of its suites")
        raise NotExercised(f"the port plays no story of {section}: {why}")
    failures = [text for entry in played if (text := _FAILS[kind](subject, by_name[entry["suite"]], file, entry))]
    if failures:
        more = [f"and {len(failures) - _SHOWN} more"] if len(failures) > _SHOWN else []
        count = [f"{len(failures)} of {len(played)} stories:"] if len(failures) > 1 else []
        raise Unmet("\n".join([*count, *failures[:_SHOWN], *more]))
    return _left_out(len(played), Counter(left_out.values()))


def _left_out(played: int, reasons: Counter[str]) -> str:
    told = "; ".join(f"{count}: {reason}" for reason, count in reasons.items())
    return f"{played} of {played + reasons.total()} stories were played; left out {told}" if told else ""


def cannot(subject: PortSubject, section: str, entry: Entry) -> str:
    """Why this story is left out; empty: it is not."""
    return next(_reasons(subject, section, entry), "")


def _reasons(subject: PortSubject, section: str, entry: Entry) -> Iterator[str]:
    limits, operations = subject.limits, {step["op"] for step in entry["steps"]}
    for name in sorted(sections.needed(section, entry) - subject.capabilities):
        yield f"the capability {name!r} is not declared"
    limit, exactly = _NEEDS.get(entry["name"].partition(": ")[2], ("line", limits.line))
    if getattr(limits, limit) != exactly:
        yield f"needs the limit {limit} to be {exactly}"
    if max(len(json.dumps(step)) for step in entry["steps"]) + _STEP_MORE > limits.line:
        yield f"needs longer lines than {limits.line} bytes"
    if entry.get("skew_s", 30) > limits.skew or limits.topics < 2 or limits.peers < 2:
        yield "needs a skew of 30 s, two topics and two peers"
    if "state" in entry and (reason := cannot_begin(entry["state"])):
        yield reason
    if "random" in entry and {"hello", "command"} <= operations:
        yield "was sealed for the random bytes of one device"


def _strict_fails(subject: PortSubject, suite: Suite, file: VectorFile, entry: Entry) -> str:
    c2_private = _c2_private(file, entry["suite"])

    def devices(entry: Entry, _random: Random) -> Device:
        return begun(subject.port, suite, entry, c2_private)

    return _fails(subject, entry, strict.due(entry), partial(strict.play, entry, devices))


def _format2_fails(subject: PortSubject, suite: Suite, file: VectorFile, entry: Entry) -> str:
    def devices(suite: Suite, entry: Entry) -> Device:
        client_id, private = bytes.fromhex(entry["client_id"]), bytes.fromhex(entry["private"])
        c2_public = suite.c2.public(suite.c2.load(bytes.fromhex(entry["c2_private"])))
        skew_s, has_clock = entry.get("skew_s", 30), entry.get("clock", True)
        port = subject.port
        return PortDevice(port, entry["suite"], client_id, private, c2_public, skew_s=skew_s, has_clock=has_clock)

    file = VectorFile(file.name, file.kind, {}, lambda _name: suite)
    return _fails(subject, entry, format2.due(entry), partial(format2.play, file, entry, devices))


_FAILS: dict[str, Callable[[PortSubject, Suite, VectorFile, Entry], str]] = {
    "strict": _strict_fails,
    "format2": _format2_fails,
}


def _fails(subject: PortSubject, entry: Entry, due: Facets, observe: Callable[[], Facets]) -> str:
    """What the first wrong facet of a story is; empty: there is none."""
    _LOG.info("story: %s", entry["name"])
    reports = "reports" in subject.capabilities
    try:
        wrong = _first(_seen(due, reports), _seen(observe(), reports))
    except PortFault as error:
        raise PortFault(f"{entry['name']}: {error}") from error
    except E4Error as error:
        wrong = f"cannot begin: {error.kind}: {error}"
    return f"{entry['name']}: {wrong}" if wrong else ""


def _first(due: Facets, observed: Facets) -> str:
    """The first difference; where one side is an error, of which kind."""
    wrong, _, _ = differences(due, observed).partition("; ")
    step, asked, _ = wrong.partition(", result is ")
    kinds = [
        f"{whose} is {facets[name]}"
        for whose, facets in (("seen", observed), ("due", due))
        if (name := f"{step}, kind") in facets
    ]
    return f"{wrong} ({', '.join(kinds)})" if asked and kinds else wrong


def _seen(facets: Facets, reports: bool) -> Facets:
    """Without what only this implementation can show: its saved state, its random bytes."""
    seen: dict[str, object] = {}
    for name, value in facets.items():
        facet = name.partition(", ")[2]
        if facet in ("after", "report") or (not reports and facet.startswith(_REPORTED)):
            continue
        seen[name] = _without_nonce(value) if facet == "content" else value
    return seen


def _without_nonce(content: Any) -> Mapping[str, Any]:
    return {name: value for name, value in content.items() if name != "nonce"}


def _c2_private(file: VectorFile, suite: str) -> bytes:
    """All stories of a suite in Format 1 are of one C2."""
    c2 = next(entry["c2"] for entry in file.sections["reports"] if entry["suite"] == suite)
    return bytes.fromhex(c2["private"])
