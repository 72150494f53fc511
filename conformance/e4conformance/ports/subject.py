# SPDX-License-Identifier: Apache-2.0
"""A port that is examined: what it says about itself, and how it is reached."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields

from e4conformance.ports.client import Answer, Port, Refusal
from e4conformance.ports.device import member
from e4conformance.ports.links import PortFault, opener
from e4conformance.ports.sections import told_for
from e4core.errors import PluginError, TransportError
from e4core.plugins import load_equal_suite
from e4core.suite import Suite

PROTOCOL = 1
LINE_MOST = 16 * 1024 * 1024
"""Bytes of the longest line that is made up to try whether it is taken."""
_LINE_LEAST = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """What a small port may choose (`format2.md` section 8), and the longest it takes, in bytes."""

    line: int
    """Of a request, its newline included."""
    payload: int = 1 << 20
    command: int = 1_000_000
    topics: int = 1 << 20
    peers: int = 1 << 20
    epochs: int = 8
    """Of a topic."""
    window: int = 1024
    sessions: int = 8
    """Of a topic and sender that are remembered, in public-key suites."""
    skew: int = 600
    topic_name: int = 512


LEAST = {"epochs": 2, "window": 64, "sessions": 8}
"""What every device of Format 2 has room for (`format2.md` section 8)."""
LEAST_PUBLIC_KEY = {**LEAST, "sessions": 1}
"""As `LEAST`, of one with public-key suites: sessions are those of a topic and sender there."""


@dataclass(frozen=True, slots=True)
class PortSubject:
    """A port and how it is examined. ``suites``: those it has and that are installed here too."""

    port: Port
    suites: tuple[Suite, ...]
    capabilities: frozenset[str]
    limits: Limits
    told: frozenset[str]
    """Sections of stories that are told for it (`e4conformance.ports.sections`)."""
    about: Mapping[str, str]
    seed: int

    @property
    def declared(self) -> frozenset[str]:
        """Capabilities that it names, and what follows from its suites."""
        formats = {f"format-{suite.format}" for suite in self.suites}
        public_key = {"public-key" for suite in self.suites if not suite.is_symmetric}
        return self.capabilities | formats | public_key | self.told

    def random(self, label: str) -> random.Random:
        """Draws the same for the same seed and label."""
        return random.Random(f"{self.seed} {label}")  # noqa: S311  # what is tried, never a key that protects


@contextmanager
def subject(target: str, seed: int) -> Iterator[PortSubject]:
    """The port that ``target`` names: ``COMMAND ARGUMENTS``, ``tcp://HOST:PORT`` or ``serial:/dev/...[?baud=115200]``.

    Raises: InvalidInput (``bad_uri``). TransportError: it cannot be reached, or does not say what it is.
    """
    port = Port(opener(target))
    try:
        yield of(port, seed)
    finally:
        port.close()


def of(port: Port, seed: int) -> PortSubject:
    """The subject behind ``port``. Raises: TransportError: it does not say what it is."""
    try:
        about = port.ask("about")
        return _described(port, about, seed)
    except (PortFault, Refusal) as error:
        text = f"the port does not say what it is: {error}; answer the request about as the port protocol has it"
        raise TransportError(text) from error


def _described(port: Port, about: Answer, seed: int) -> PortSubject:
    if member(about, "protocol", int) != PROTOCOL:
        raise PortFault(f"it speaks version {about['protocol']} of the protocol, not {PROTOCOL}")
    wanted = _texts(about, "suites")
    suites, unknown = [], []
    for name in wanted:
        try:
            suites.append(load_equal_suite(name, name))
        except PluginError:
            unknown.append(name)
    described = {name: member(about, name, str) for name in ("name", "version")} | {"suites": ", ".join(wanted)}
    if unknown:
        described["suites not examined"] = ", ".join(unknown)
    capabilities = frozenset(_texts(about, "capabilities"))
    told = told_for({suite.wire_name for suite in suites}, capabilities)
    return PortSubject(port, tuple(suites), capabilities, _limits(about), told, described, seed)


def _limits(about: Answer) -> Limits:
    given = member(about, "limits", dict)
    known = {field.name: member(given, field.name, int) for field in fields(Limits) if field.name in given}
    if not _LINE_LEAST <= known.get("line", 0) <= LINE_MOST:
        raise PortFault(f"its limits name line, the longest request in bytes, from {_LINE_LEAST} to {LINE_MOST}")
    return Limits(**known)


def _texts(about: Answer, name: str) -> list[str]:
    values = member(about, name, list)
    if not all(isinstance(value, str) for value in values):
        raise PortFault(f"{name} is a list of names")
    return values
