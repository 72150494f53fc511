# SPDX-License-Identifier: Apache-2.0
"""Checks of the sections about what this project is stricter in than e4go (`wire.md` section 13), and its reports.

Each entry is the story of one device: ``suite``, ``state`` (the JSON form of `e4core.state`), ``skew_s``, ``repeats`` (topics
that deliver repeated messages), ``random`` (what the device draws, in order), ``c2`` (keys with which the C2 reads reports) and
``steps``. A step is an operation with its arguments and the clock ``now``, and what must come of it: ``result`` and ``kind``,
what it gives, and under ``after`` members of the state that is then saved. ``unique`` says that the bytes were not sent before.
``restart`` starts the device anew from what it saved last, ``close`` stops it in order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from e4conformance.played import Device, Own, Random
from e4conformance.vectorfile import TOPIC, Check, Entry, Facets, VectorFile, named
from e4core import report
from e4core.client import Tolerance
from e4core.errors import E4Error
from e4core.keys import ClientId
from e4core.plugins import load_suite

ARGUMENTS = {
    "command": ("protected",),
    "protect": ("topic", "payload"),
    "unprotect": ("topic", "protected"),
}
"""Operation -> fields of a step that are given; all others but ``op``, ``now`` and ``why`` are due."""


Devices = Callable[[Entry, Random], Device]
"""Makes the device of a story, from its entry and what the device is to draw."""


def own(entry: Entry, random: Random) -> Device:
    """Raises: E4Error: the state of ``entry`` is refused."""
    suite = load_suite(entry["suite"])
    tolerance = Tolerance(entry.get("skew_s", 30), frozenset(entry.get("repeats", ())))
    return Own(suite, json.dumps(entry["state"]).encode(), tolerance, random=random)


def scenarios(_file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """One check an entry; a wrong facet is named by its step."""
    for name, entry in named(section):
        yield Check(name, due(entry), partial(play, entry))


def due(entry: Entry) -> Facets:
    """What must come of the steps of ``entry``."""
    return {
        f"step {number} ({step['op']}), {name}": value
        for number, step in enumerate(entry["steps"])
        for name, value in step.items()
        if name not in ("op", "now", "why", *ARGUMENTS.get(step["op"], ()))
    }


def play(entry: Entry, devices: Devices = own) -> Facets:
    """What comes of them."""
    story = Story(entry, devices)
    facets = {}
    for number, step in enumerate(entry["steps"]):
        for name, value in story.facets(step).items():
            facets[f"step {number} ({step['op']}), {name}"] = value
    return facets


class Story:
    """One device that lives through the steps of an entry."""

    def __init__(self, entry: Entry, devices: Devices) -> None:
        self._suite = load_suite(entry["suite"])
        self._make = partial(devices, entry, self._draw)
        self._draws = iter(entry.get("random", ()))
        self._c2 = entry.get("c2")
        self._client_id = ClientId(bytes.fromhex(entry["state"]["client_id"])) if self._c2 else None
        self._sent: set[bytes] = set()
        self._device: Device
        if entry["steps"][0]["op"] != "start":
            self._device = self._make()

    def facets(self, step: Entry) -> Facets:
        """What comes of ``step``."""
        act = _OPERATIONS[step["op"]]
        try:
            facets = {"result": "ok", **act(self, step)}
        except E4Error as error:
            facets = {"result": "error", "kind": error.kind}
        if "after" in step:
            state = self._device.dump()
            facets["after"] = {name: state.get(name) for name in step["after"]}
        return facets

    def _draw(self, length: int) -> bytes:
        """The next value of ``random``; zeros where the entry does not care."""
        drawn = bytes.fromhex(next(self._draws, "")) or bytes(length)
        assert len(drawn) == length
        return drawn

    def _start(self, _step: Entry) -> Facets:
        self._device = self._make()
        return {}

    def _restart(self, _step: Entry) -> Facets:
        self._device.restart()
        return {}

    def _close(self, _step: Entry) -> Facets:
        self._device.close()
        return {}

    def _protect(self, step: Entry) -> Facets:
        protected = self._device.protect(bytes.fromhex(step["payload"]), step.get("topic", TOPIC), step["now"])
        unique = protected not in self._sent
        self._sent.add(protected)
        return {"protected": protected.hex(), "timestamp": int.from_bytes(protected[:8], "little"), "unique": unique}

    def _unprotect(self, step: Entry) -> Facets:
        message = self._device.unprotect(bytes.fromhex(step["protected"]), step.get("topic", TOPIC), step["now"])
        return {
            "returned": message.payload.hex(),
            "sender": None if message.sender is None else message.sender.hex(),
            "authenticated": message.authenticated,
            "repeated": message.repeated,
            "timestamp": message.timestamp,
        }

    def _command(self, step: Entry) -> Facets:
        obeyed = self._device.command(bytes.fromhex(step["protected"]), step["now"])
        facets = {"outcome": obeyed.outcome, **self._reported(obeyed.reports)}
        if obeyed.kind:
            facets |= {"result": "error", "kind": obeyed.kind}
        return {**facets, "synchronised": obeyed.synchronised}

    def _hello(self, step: Entry) -> Facets:
        data, synchronised = self._device.hello(step.get("now", 0))
        return {**self._reported((data,)), "synchronised": synchronised}

    def _reported(self, reports: tuple[bytes, ...]) -> dict[str, object]:
        """The report that goes out, and what the C2 reads in it."""
        if not reports or self._c2 is None or self._client_id is None:
            return {"report": reports[0].hex() if reports else None}
        c2 = self._suite.c2.load(bytes.fromhex(self._c2["private"]))
        channel = self._suite.control.at_c2(c2, bytes.fromhex(self._c2["device_public"]))
        content = report.open_report(self._suite, channel, self._client_id, reports[0])
        return {"report": reports[0].hex(), "content": _content(content)}


def _content(content: report.Report) -> Mapping[str, Any]:
    common = {"last_sequence": content.last_sequence, "digest": content.digest.hex()}
    if isinstance(content, report.Hello):
        return {"kind": "hello", **common, "nonce": content.nonce.hex()}
    assert isinstance(content, report.Ack), "Format 1 has no offers"
    outcome = content.outcome.name.lower()
    return {"kind": "ack", **common, "subject": content.subject.hex(), "outcome": outcome, "refusal": content.refusal}


_OPERATIONS: dict[str, Callable[[Story, Entry], Facets]] = {
    "start": Story._start,
    "restart": Story._restart,
    "close": Story._close,
    "protect": Story._protect,
    "unprotect": Story._unprotect,
    "command": Story._command,
    "hello": Story._hello,
}
