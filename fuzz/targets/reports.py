# SPDX-License-Identifier: Apache-2.0
"""Reports of devices at the C2: their containers and topics as they come, and contents of any kind that a device has sealed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from e4c2 import reports
from e4core import report
from e4core.container import REPORT
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import report_topic
from e4core.report import Ack, Offer, Outcome
from e4core.suite import Channel
from e4core.transport import Incoming
from fuzz.target import Target, accepted, always, must, text
from fuzz.targets.fleet import NOW, SECOND, Fleet, every_fleet


def _check(data: bytes) -> None:
    for fleet in every_fleet():
        _opened(fleet, data)
        if 0 < len(data) <= report.longest(fleet.suite):
            _opened(fleet, _sealed(fleet, data))
        for topic in (report_topic(fleet.bob), text(data)):
            accepted(partial(reports.sender, fleet.suite, Incoming(topic, data)), InvalidInput)


def _opened(fleet: Fleet, data: bytes) -> None:
    suite = fleet.suite
    read = accepted(
        lambda: report.open_report(suite, fleet.channel, fleet.bob, data), InvalidInput, AuthenticationFailed
    )
    if read is None:
        return
    if isinstance(read, Offer):
        accepted(lambda: report.check_offer(suite, fleet.bob, read), InvalidInput, AuthenticationFailed)
    device = _device(fleet)
    again = report.open_report(suite, fleet.channel, fleet.bob, report.seal(suite, device, fleet.bob, read, bytes(16)))
    must(again == read, "a report that was read is written otherwise")


def _sealed(fleet: Fleet, plain: bytes) -> bytes:
    """Under the sequence that an ack of these contents would name."""
    numbered = fleet.suite.format == 2 and plain[0] == 1
    sequence = int.from_bytes(plain[25:33], "little") if numbered else 0
    return REPORT.seal(fleet.suite, _device(fleet), fleet.bob, sequence, plain, bytes(16))


def _device(fleet: Fleet) -> Channel:
    """Bob's end of the way to the C2."""
    suite = fleet.suite
    return suite.control.at_device(suite.device.load(fleet.private("bob")), fleet.state("bob").c2_public)


def _seeds() -> Iterable[bytes]:
    digest = bytes(range(16))
    for fleet in every_fleet():
        suite, device = fleet.suite, _device(fleet)
        yield fleet.client("bob").hello(NOW)
        for refusal in ("", *report.REFUSALS):
            outcome = Outcome.REFUSED if refusal else Outcome.APPLIED
            ack = Ack(digest, report.subject(SECOND if suite.format == 2 else 0), outcome, refusal)
            yield report.seal(suite, device, fleet.bob, ack, bytes(16))
    yield b"\0" + bytes(8) + digest + bytes(16)
    yield b"\1" + bytes(8) + digest + bytes(16) + b"\0\0"
    yield b"\1" + bytes(8) + digest + bytes(16) + b"\2\1"
    for fleet in every_fleet():
        if fleet.suite.signature and fleet.suite.format == 2:
            signature = bytes(fleet.suite.signature.signature_len)
            yield b"\2" + bytes(8) + digest + bytes(16) + fleet.public("new") + signature


TARGETS = {"report": Target(always(_check), _seeds, (b"\2\2", b"e4/", b"/report"))}
