# SPDX-License-Identifier: Apache-2.0
"""Lines of the port protocol: what a kit sends to a port, what a port answers, and the addresses at which ports are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from e4conformance.ports.client import Port, Refusal
from e4conformance.ports.links import PortFault, opener, serial_target, tcp_target
from e4conformance.ports.reference import ReferencePort
from e4core.errors import InvalidInput
from fuzz.target import Target, accepted, always, must, quoted, text
from fuzz.targets.fleet import NOW, TOPIC, Fleet, every_fleet


def _provision(fleet: Fleet) -> bytes:
    state = fleet.state("bob")
    members = {
        "id": 1,
        "do": "provision",
        "suite": fleet.suite.wire_name,
        "client_id": state.client_id.hex(),
        "private": state.private.hex(),
        "c2_public": state.c2_public.hex(),
        "skew_s": 30,
        "clock": True,
        "repeats": [TOPIC],
    }
    return json.dumps(members).encode() + b"\n"


def _requests(data: bytes) -> None:
    """Lines to a port that is new, and to one that holds a device of each suite."""
    suites = {fleet.suite.wire_name: fleet.suite for fleet in every_fleet()}
    for before in (None, *every_fleet()):
        port = ReferencePort(suites)
        if before:
            must(b'"ok"' in port.answer(_provision(before)), "a device cannot be provisioned")
        for line in data.splitlines(keepends=True):
            answer = port.answer(line)
            must(answer.endswith(b"\n") and answer.count(b"\n") == 1, "an answer is not one line")
            body = json.loads(answer)
            must(set(body) in ({"id", "ok"}, {"id", "error"}), "an answer is neither ok nor an error")


@dataclass
class _Line:
    """A port that has said all that it will ever say."""

    rest: bytes

    def close(self) -> None: ...
    def told(self) -> bytes:
        return self.rest

    def send(self, _data: bytes, _deadline_s: float) -> None: ...
    def line(self, _deadline_s: float) -> bytes:
        line, newline, self.rest = self.rest.partition(b"\n")
        if not newline:
            raise PortFault("the port has ended")
        return line

    def is_quiet(self, _wait_s: float) -> bool:
        return not self.rest


def _answers(data: bytes) -> None:
    port = Port(lambda: _Line(data))
    for _ in range(3):
        try:
            answer = port.ask("about")
        except (Refusal, PortFault):
            continue
        must(isinstance(answer, dict), "what is ok in an answer is no object")


def _addresses(data: bytes) -> None:
    target = text(data)
    for parse in (tcp_target, serial_target, opener):
        accepted(partial(parse, target), InvalidInput)


def _request_seeds() -> Iterable[bytes]:
    held = {"now": NOW, "topic": TOPIC}
    acts: tuple[dict[str, object], ...] = (
        {"do": "about"},
        {"do": "show"},
        {"do": "restart"},
        {"do": "close"},
        {"do": "hello", "now": NOW},
        {"do": "protect", "payload": "00ff", **held},
        {"do": "unprotect", "data": "00" * 60, **held},
        {"do": "command", "data": "00" * 60, "now": NOW},
    )
    lines = [json.dumps({"id": number, **act}).encode() + b"\n" for number, act in enumerate(acts)]
    yield from lines
    yield b"".join(lines)
    yield from map(_provision, every_fleet())


def _answer_seeds() -> Iterable[bytes]:
    yield b'{"id":1,"ok":{"protocol":1}}\n{"id":2,"error":{"kind":"bad_key","text":"no"}}\n{"id":3,"ok":{}}\n'
    yield b'{"id":1,"ok":{},"error":null}\n{"id":7,"ok":{}}\n{"id":1,"error":{"kind":1}}\n'


_WORDS = quoted("id do now topic payload data suite private skew_s clock repeats")
_NUMBERS = (b"1e999", b"NaN", b"-1", b"9223372036854775807", b"9.3e18", b"true", b"null", b'"\\ud800"', b"\n")

TARGETS = {
    "port-request": Target(always(_requests), _request_seeds, (*_WORDS, *_NUMBERS)),
    "port-answer": Target(always(_answers), _answer_seeds, (b'"ok"', b'"error"', b'"kind"', b'"text"', *_NUMBERS)),
    "port-address": Target(
        always(_addresses),
        lambda: (b"tcp://127.0.0.1:7000", b"tcp://[::1]:7", b"serial:/dev/ttyUSB0?baud=9600", b"./port 'a b' --flag"),
        (b"tcp://", b"serial:", b"?baud=", b"[", b"]", b"%", b"'"),
    ),
}
