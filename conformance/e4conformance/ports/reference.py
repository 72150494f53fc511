# SPDX-License-Identifier: Apache-2.0
"""This implementation as a port: ``python -m e4conformance.ports.reference [--suite NAME]... [tcp://HOST:PORT | serial:/dev/...]``.

Without an address it speaks over standard input and output. It is what the kit is proven with, and what a client of the port
protocol (``docs/reference/port-protocol.md``) is debugged against.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from e4conformance.played import Obeyed, Own
from e4conformance.ports.request import Request, answered
from e4conformance.ports.serving import LINE, run
from e4conformance.ports.shown import shown
from e4core import formats
from e4core.client import Tolerance
from e4core.control2 import LONGEST
from e4core.errors import E4Error, InvalidInput, PluginError, UnsupportedSuite
from e4core.keys import ClientId, Secret
from e4core.plugins import SUITES, load_suite, names
from e4core.suite import Suite

PAYLOAD = 65536
"""Bytes of the longest payload."""

_OF_FORMAT = {1: "repeats", 2: "clockless"}

Ok = dict[str, Any]


class ReferencePort:
    """One port: what it holds is gone with it."""

    def __init__(self, suites: Mapping[str, Suite]) -> None:
        """Args: suites: by wire name."""
        self.suites = suites
        self.device: Own | None = None
        self.is_closed = False

    def answer(self, line: bytes) -> bytes:
        """Of one request, newlines included."""
        return answered(line, self._act)

    def _act(self, request: Request) -> Ok:
        do = request.text("do")
        if do in _ALWAYS:
            return _ALWAYS[do](self, request)
        if do not in _HELD:
            raise UnsupportedSuite(f"there is no operation {do!r}")
        if self.device is None:
            raise InvalidInput("provision the device first", kind="not_provisioned")
        if self.is_closed and do in _RUNNING:
            raise InvalidInput("the device was stopped; restart it", kind="closed")
        return _HELD[do](self, self.device, request)

    def about(self, _request: Request) -> Ok:
        return {
            "protocol": 1,
            "name": "e4 reference port",
            "version": version("e4core"),
            "suites": sorted(self.suites),
            "capabilities": [
                "clock",
                "memory",
                "reports",
                *sorted({_OF_FORMAT[suite.format] for suite in self.suites.values()}),
            ],
            "limits": {"line": LINE, "payload": PAYLOAD, "command": LONGEST},
        }

    def provision(self, request: Request) -> Ok:
        suite = self.suites.get(request.text("suite"))
        if suite is None:
            raise UnsupportedSuite(f"the suite {request.text('suite')!r} is not here")
        client_id, private = ClientId(request.hexed("client_id")), Secret(request.hexed("private"))
        state = formats.new_state(suite, client_id, private, request.hexed("c2_public"))
        tolerance = Tolerance(request.time("skew_s"), frozenset(request.texts("repeats")))
        self.device = self.started(suite, formats.dump(state), tolerance, request.flag("clock", True))
        self.is_closed = False
        return {}

    def started(self, suite: Suite, saved: bytes, tolerance: Tolerance, has_clock: bool) -> Own:
        if suite.format == 1 and not has_clock:
            raise UnsupportedSuite("a device of Format 1 needs a clock")
        return Own(suite, saved, tolerance, has_clock=has_clock)

    def restart(self, device: Own, _request: Request) -> Ok:
        device.restart()
        self.is_closed = False
        return {}

    def close(self, device: Own, _request: Request) -> Ok:
        device.close()
        self.is_closed = True
        return {}

    def protect(self, device: Own, request: Request) -> Ok:
        payload, topic, now = request.hexed("payload"), request.text("topic"), request.time("now")
        if len(payload) > PAYLOAD:
            raise InvalidInput(f"a payload of more than {PAYLOAD} bytes", kind="bad_length")
        return {"data": device.protect(payload, topic, now).hex()}

    def unprotect(self, device: Own, request: Request) -> Ok:
        message = device.unprotect(request.hexed("data"), request.text("topic"), request.time("now"))
        return {
            "payload": message.payload.hex(),
            "sender": None if message.sender is None else message.sender.hex(),
            "authenticated": message.authenticated,
            "timestamp": message.timestamp,
            "epoch": message.epoch,
            "sequence": message.sequence,
            "repeated": message.repeated,
        }

    def command(self, device: Own, request: Request) -> Ok:
        return _obeyed(device.command(request.hexed("data"), request.time("now")))

    def hello(self, device: Own, request: Request) -> Ok:
        data, synchronised = device.hello(request.time("now"))
        return {"reports": [data.hex()], "synchronised": synchronised}

    def show(self, device: Own, _request: Request) -> Ok:
        return shown(device.suite, device.state)


_RUNNING = frozenset({"protect", "unprotect", "command", "hello"})


def _obeyed(obeyed: Obeyed) -> Ok:
    answer = {"outcome": obeyed.outcome, "reports": [each.hex() for each in obeyed.reports]}
    error = {"error": obeyed.kind} if obeyed.kind else {}
    return {**answer, "synchronised": obeyed.synchronised, **error}


_ALWAYS: dict[str, Callable[[ReferencePort, Request], Ok]] = {
    "about": lambda port, request: port.about(request),
    "provision": lambda port, request: port.provision(request),
}
_HELD: dict[str, Callable[[ReferencePort, Own, Request], Ok]] = {
    "restart": lambda port, device, request: port.restart(device, request),
    "close": lambda port, device, request: port.close(device, request),
    "protect": lambda port, device, request: port.protect(device, request),
    "unprotect": lambda port, device, request: port.unprotect(device, request),
    "command": lambda port, device, request: port.command(device, request),
    "hello": lambda port, device, request: port.hello(device, request),
    "show": lambda port, device, request: port.show(device, request),
}


def installed(chosen: Sequence[str]) -> dict[str, Suite]:
    """Suites by wire name. Args: chosen: names; empty: all that load. Raises: PluginError: one of them does not."""
    if chosen:
        return {suite.wire_name: suite for suite in map(load_suite, chosen)}
    found: dict[str, Suite] = {}
    for name in names(SUITES):
        try:
            suite = load_suite(name)
        except PluginError:
            continue
        found.setdefault(suite.wire_name, suite)
    return found


def main(
    make: Callable[[Mapping[str, Suite]], ReferencePort] = ReferencePort, argv: Sequence[str] | None = None
) -> int:
    """Run the command line. Args: make: of another port than the reference. Returns: 2: what was asked for cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m e4conformance.ports.reference", description=__doc__)
    parser.add_argument("--suite", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("address", nargs="?", default="", help="default: standard input and output")
    chosen = parser.parse_args(argv)
    try:
        suites = installed(chosen.suite)
        run(lambda: make(suites).answer, chosen.address)
    except (E4Error, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
