# SPDX-License-Identifier: Apache-2.0
"""What ``e4 doctor --online`` looks at: a C2 at work, as it tells of itself over its API, and its broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Protocol

from e4c2.recovery import look_broker
from e4c2.recovery.findings import Finding, Level, Verdict, failure, ok, unknown, warning
from e4c2.recovery.look_database import AHEAD_S, STUCK_S
from e4cli.api_client import Document
from e4core.errors import E4Error, TransportError

_HEALTH = "/v1/c2/health"
_LEVELS = {"ok": Level.OK, "degraded": Level.WARNING, "failed": Level.FAILURE}


class Asked(Protocol):
    """The part of an `e4cli.api_client.Api` that is needed."""

    def get(self, path: str, **query: str | int | list[str]) -> Document: ...


Look = Callable[[Asked], Verdict]


def examine(api: Asked) -> list[Finding]:
    """Every check of `LOOKS`, and of each part of the C2. Raises: E4Error: it does not answer, or not to this one."""
    condition = api.get(_HEALTH)
    return [*_parts(condition), *(_looked(name, look, api) for name, look in LOOKS.items())]


def release(api: Asked) -> Verdict:
    theirs, ours = str(api.get(_HEALTH)["release"]), version("e4core")
    if theirs != ours:
        return warning(f"the C2 is {theirs}, this command {ours}", "use one release everywhere")
    return ok(theirs)


def clock(api: Asked) -> Verdict:
    begun = time.time()
    theirs = _number(api.get(_HEALTH), "time")
    ended = time.time()
    apart = abs(theirs - (begun + ended) / 2)
    if apart > AHEAD_S + (ended - begun) / 2:
        return warning(f"the clock of the C2 is {apart:.0f} s away from this one", "keep both by NTP")
    return ok("the C2 has the time of this machine")


def replicas(api: Asked) -> Verdict:
    number = int(_number(api.get(_HEALTH), "replicas"))
    if not number:
        return failure("no C2 process counts as at work: its beats do not reach the database", "see its log")
    return ok(f"{number} C2 at work on the database")


def kms(api: Asked) -> Verdict:
    providers = api.get("/v1/kms/providers")["items"]
    failing = [f"{each['uri']} ({each['failure']})" for each in providers if each["failure"]]
    if len(failing) == len(providers):
        return failure(f"none answers: {', '.join(failing)}", "mend one before the keys are forgotten: e4 kms status")
    if failing:
        return warning(f"does not answer: {', '.join(failing)}", "mend it: e4 kms status")
    return ok(f"{len(providers)} in the settings, and all answer")


def outbox(api: Asked) -> Verdict:
    first = api.get("/v1/commands", state="pending", limit=1)["items"]
    age = _number(api.get(_HEALTH), "time") - _number(first[0], "created") if first else 0.0
    if age > STUCK_S:
        return failure(f"a command has been waiting for {age:.0f} s", "see broker and KMS, then: e4 commands list")
    return ok("no command waits long")


def broker(api: Asked) -> Verdict:
    return asyncio.run(look_broker.stranger(str(api.get("/v1/c2")["broker"])))


LOOKS: dict[str, Look] = {
    "release": release,
    "clock": clock,
    "replicas": replicas,
    "kms": kms,
    "outbox": outbox,
    "broker access": broker,
}


def _parts(condition: Document) -> Iterator[Finding]:
    for part in condition["parts"]:
        level = _LEVELS.get(part["state"], Level.UNKNOWN)
        yield Finding(f"c2 {part['name'].replace('_', ' ')}", level, part["detail"] or "well")


def _number(document: Document, name: str) -> float:
    """Raises: TransportError: it is none."""
    if not isinstance(number := document[name], int | float):
        raise TransportError(f"the C2 answers with a {name} that is no number")
    return number


def _looked(name: str, look: Look, api: Asked) -> Finding:
    """Of one alone: what this caller may not see, or what fails, hides nothing else."""
    try:
        return look(api).of(name)
    except E4Error as error:
        return unknown(str(error)).of(name)
