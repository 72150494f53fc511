# SPDX-License-Identifier: Apache-2.0
"""Requirements of the port protocol itself: whoever breaks it cannot be trusted in anything else."""

from __future__ import annotations

import json
from typing import Any

from e4conformance.ports.book import must
from e4conformance.ports.fleet import TOPIC, Fleet, in_each_suite, refusal, told
from e4conformance.ports.subject import LEAST, LEAST_PUBLIC_KEY, PortSubject
from e4conformance.requirement import NotExercised, Unmet, require

_QUIET_S = 0.05
_PAGE = "port-protocol.md section "
_GARBAGE: tuple[bytes, ...] = (
    b"",
    b" ",
    b"about",
    b"{",
    b"[]",
    b"7",
    b"null",
    b'"about"',
    b"\xff\xfe\x00",
    b"\x00" * 64,
    b"[" * 2000,
    b'{"do":"about"}',
    b'{"id":"1","do":"about"}',
    b'{"id":1.5,"do":"about"}',
    b'{"id":true,"do":"about"}',
    b'{"id":1}{"id":2}',
    b'{"id":1,"do":"about"',
)
"""Lines from which no id can be read, so that the answer has none."""
_WRONG: tuple[dict[str, Any], ...] = (
    {},
    {"do": 1},
    {"do": None},
    {"do": "protect"},
    {"do": "protect", "topic": TOPIC, "payload": "0", "now": 1},
    {"do": "protect", "topic": TOPIC, "payload": "0G", "now": 1},
    {"do": "protect", "topic": TOPIC, "payload": "0A", "now": 1},
    {"do": "protect", "topic": TOPIC, "payload": 7, "now": 1},
    {"do": "protect", "topic": [TOPIC], "payload": "", "now": 1},
    {"do": "protect", "topic": TOPIC, "payload": "", "now": "1"},
    {"do": "protect", "topic": TOPIC, "payload": "", "now": -1},
    {"do": "unprotect", "topic": TOPIC, "now": 1},
    {"do": "command", "data": None, "now": 1},
)
"""Requests of which a member is missing or wrong."""


@must(
    "E4-PORT-001",
    "a port says what it is: version of the protocol, name, suites, capabilities, limits no smaller than a device may have",
    source=_PAGE + "3; format2.md section 8",
    advice="answer about with all members; name suites as format2.md section 1.1 does, and no less room than its section 8 has",
)
def says_what_it_is(subject: PortSubject) -> str:
    about = subject.port.ask("about")
    require(bool(about["name"]) and bool(about["version"]), "name or version is empty")
    require(bool(about["suites"]), "there is no suite")
    require(all(limit > 0 for limit in about["limits"].values()), "a limit is not above 0")
    if "format-2" in subject.declared:
        least = LEAST_PUBLIC_KEY if "public-key" in subject.declared else LEAST
        for name, room in least.items():
            has = getattr(subject.limits, name)
            require(has >= room, f"its limit {name} is {has}; no device of Format 2 has less than {room}")
    require(subject.port.ask("about") == about, "a second about answers otherwise than the first")
    unknown = subject.about.get("suites not examined", "")
    return f"not installed here, and so not examined: {unknown}" if unknown else ""


@must(
    "E4-PORT-002",
    "each request has one answer, with its id, in order",
    source=_PAGE + "2",
    advice="write exactly one line for each line that is read, with the id that stood in it, and nothing else to standard output",
)
def one_answer_each(subject: PortSubject) -> None:
    for number in (1, 7, 7, 0, 2**31 - 1):
        answer = subject.port.exchange(json.dumps({"id": number, "do": "about"}).encode())
        require(answer.get("id") == number, f"answers id {answer.get('id')!r} where {number} was asked")
        require(subject.port.is_quiet(_QUIET_S), "sends a line that nobody asked for")


@must(
    "E4-PORT-003",
    "operations, suites and members that a port does not know do not confuse it",
    source=_PAGE + "2",
    advice="answer an unknown do or suite with the error kind unsupported, and skip members of a request that are unknown",
)
def unknown_things(subject: PortSubject) -> None:
    for do in ("fly", "", "About", "about ", "\u0000"):
        refusal(f"the operation {do!r}", lambda do=do: subject.port.ask(do), {"unsupported"})  # type: ignore[misc]
    keys = {"client_id": "00" * 16, "private": "01" * 32, "c2_public": ""}
    unknown = {**keys, "suite": "none-such", "skew_s": 30, "clock": True, "repeats": []}
    refusal("a suite that does not exist", lambda: subject.port.ask("provision", **unknown), {"unsupported"})
    about = subject.port.ask("about")
    more = subject.port.ask("about", later={"version": [1, 2, {"x": None}]}, now=1e300)
    require(about == more, "members that are unknown change an answer")


@must(
    "E4-PORT-004",
    "a line that is no request is answered as bad_request, and the port goes on",
    source=_PAGE + "2",
    advice='parse a line whole before anything is done; answer {"id": null, "error": {"kind": "bad_request"}} and read on',
)
def garbage(subject: PortSubject) -> None:
    draws = subject.random("garbage")
    drawn = [draws.randbytes(draws.randint(1, 200)).replace(b"\n", b"") for _ in range(40)]
    for line in (*_GARBAGE, *(b"\x80" + each for each in drawn)):
        answer = subject.port.exchange(line)
        require("id" in answer and answer["id"] is None, f"{line[:60]!r} is answered with an id")
        _is_bad(subject, repr(line[:60]), answer)
    for number, wrong in enumerate(_WRONG):
        answer = subject.port.exchange(json.dumps({"id": number, **wrong}).encode())
        require(answer.get("id") == number, f"{wrong} is answered without its id")
        _is_bad(subject, str(wrong), answer, {"bad_request", "not_provisioned", "closed"})
    subject.port.ask("about")


def _is_bad(subject: PortSubject, what: str, answer: Any, kinds: frozenset[str] | set[str] = frozenset()) -> None:
    refusal(what, lambda: subject.port.outcome(answer), kinds or {"bad_request"})


@must(
    "E4-PORT-005",
    "a request as long as the port's limit is answered, a longer one refused and skipped to its end",
    source=_PAGE + "2",
    advice="read at most limits.line bytes, newline included; of a longer line discard the rest before the answer bad_request",
)
def long_lines(subject: PortSubject) -> None:
    limit = subject.limits.line
    start = b'{"id":5,"do":"about","pad":"'

    def padded(length: int) -> bytes:
        return start + b"x" * (length - len(start) - 3) + b'"}'

    answer = subject.port.exchange(padded(limit))
    require(answer.get("id") == 5 and "ok" in answer, f"a line of {limit} bytes, the limit, is refused")
    for more in (1, 2, limit // 2):
        answer = subject.port.exchange(padded(limit + more))
        require("error" in answer, f"a line of {limit + more} bytes, {more} above the limit, is answered")
        require(subject.port.is_quiet(_QUIET_S), "the rest of a line that is too long is read as another request")
    subject.port.ask("about")


@must(
    "E4-PORT-006",
    "what is provisioned is a new device; a key that is none is refused",
    source=_PAGE + "4",
    advice="let provision replace all that is held, keys, topics, replay memory and sequences; refuse an all-zero key as bad_key",
)
@in_each_suite
def provisioned_anew(fleet: Fleet) -> None:
    port, suite = fleet.subject.port, fleet.suite
    fleet.meet()
    data = fleet.from_alice(b"once")
    fleet.opens(data, b"once")
    keys = {"client_id": fleet.bob.client_id.hex(), "c2_public": fleet.c2_public.hex()}
    rest = {"suite": suite.wire_name, "skew_s": 30, "clock": True, "repeats": []}
    port.ask("provision", private=fleet.bob.private.hex(), **keys, **rest)
    fleet.refuses("a message on a topic of the device before", data, kinds={"topic_key_missing"})
    shown = port.ask("show")
    require(not shown["topics"] and not shown["peers"], "a device that is new shows topics or peers")
    zero = bytes(len(fleet.bob.private))
    if suite.is_symmetric:
        refusal("an all-zero key", lambda: port.ask("provision", private=zero.hex(), **keys, **rest), {"bad_key"})
    short = fleet.bob.private[:-1].hex()
    refusal("a key cut short", lambda: port.ask("provision", private=short, **keys, **rest), {"bad_key"})


@must(
    "E4-PORT-007",
    "a device that was stopped does nothing until it is started, and stopping it twice is no error",
    source=_PAGE + "4",
    advice="answer protect, unprotect, command and hello with the error kind closed between close and restart",
)
@in_each_suite
def stopped(fleet: Fleet) -> None:
    fleet.meet()
    fleet.bob.device.close()
    fleet.bob.device.close()
    fleet.refuses("a message for a device that was stopped", fleet.from_alice(), kinds={"closed"})
    refusal("protecting by one", lambda: fleet.bob.device.protect(b"x", TOPIC, fleet.now), {"closed"})
    fleet.bob.device.restart()
    fleet.wait(10)
    fleet.opens(fleet.from_alice(b"again"), b"again")


@must(
    "E4-PORT-008",
    "the device takes now for its clock, so that days can pass while it is examined",
    source=_PAGE + "3",
    advice="let the port set what the device takes for the time from the member now of each request, and name the capability clock",
)
@in_each_suite
def takes_now(fleet: Fleet) -> None:
    if "clock" not in fleet.subject.capabilities:
        raise NotExercised("the capability 'clock' is not declared: no story was told, and no time could be let pass")
    fleet.meet()
    for seconds in (0, 7, 3600, 400 * 86400):
        fleet.wait(seconds)
        data = fleet.bob.device.protect(b"%d" % seconds, TOPIC, fleet.now)
        seen = told(lambda data=data: fleet.alice.device.unprotect(data, TOPIC, fleet.now))  # type: ignore[misc]
        if isinstance(seen, str):
            raise Unmet(f"{seconds} s later a message that it sent is refused here: {seen}")
        fleet.opens(fleet.from_alice(b"later"), b"later")
