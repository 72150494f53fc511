# SPDX-License-Identifier: Apache-2.0
"""A device of this project and one of the independent implementation, in one fleet, under either one's C2."""

from __future__ import annotations

import os

import pytest

from e4core import report
from e4core.client2 import Client2
from e4core.keys import ClientId, Secret
from e4core.state2 import new_state
from e4core.suite import Suite
from tests.conformance.format2.fleet import EPOCH, NOW, SEQUENCE, TOPIC, Entry, Fleet, plain, set_topic
from tests.conformance.format2.maker import Member
from tests.conformance.format2.project_maker import ProjectMaker
from tests.conformance.format2.sizes import SIZES
from tests.conformance.format2.witness_player import WitnessMaker, private_pair, public_of, public_pair
from tests.conformance.suites2 import suite_of
from tests.conformance.witness2 import Device
from tests.conformance.witness2_algorithms import ROWS
from tests.conformance.witness2_c2 import C2

NONCE = bytes(range(16))


class Together:
    """Bob runs this project's code, alice the other's; both are members of the topic."""

    def __init__(self, wire_name: str) -> None:
        sizes = next(each for each in SIZES if each.wire_name == wire_name)
        self.suite: Suite = suite_of(wire_name)
        self.row = ROWS[wire_name]
        self.project, self.witness = Fleet(sizes, ProjectMaker(suite_of)), Fleet(sizes, WitnessMaker())
        self.c2 = private_pair(self.row, self.project.c2())
        f = self.project
        c2_public = f.maker.public(sizes, f.c2()) if self.row.signature else b""
        bob, alice = f.bob, f.alice
        state = new_state(self.suite, ClientId(bob.client), Secret(bob.private), c2_public)
        self.bob = Client2(self.suite, state, lambda _state: None)
        self.alice = Device(self.row, alice.client, private_pair(self.row, alice.private), public_of(self.row, self.c2))

    def entries(self, other: Member) -> list[Entry]:
        return [set_topic(), *([] if self.project.symmetric else [self.project.set_peer(other)])]

    def join(self) -> tuple[bytes, bytes]:
        """Commands to each from the other's C2; gives the acknowledgements."""
        f = self.witness
        to_bob = f.sealed(SEQUENCE, plain(*self.entries(f.alice)), salt=os.urandom(8).hex())
        to_alice = self.project.sealed(
            SEQUENCE, plain(*self.entries(f.bob)), client=f.alice.client, device=f.alice.public
        )
        (from_bob,) = self.bob.command(to_bob, NOW).reports
        (from_alice,) = self.alice.command(to_alice, NOW).reports
        return from_bob, from_alice

    def at_witness(self) -> C2:
        """The other's C2, for bob."""
        return C2(self.row, self.project.bob.client, self.c2, public_pair(self.row, self.project.bob.public))

    def at_project(self, data: bytes) -> report.Report:
        """Our C2 reads what alice reports."""
        alice = self.project.alice
        channel = self.suite.control.at_c2(self.suite.c2.load(self.project.c2()), alice.public)
        return report.open_report(self.suite, channel, ClientId(alice.client), data)


@pytest.fixture(params=[sizes.wire_name for sizes in SIZES])
def both(request: pytest.FixtureRequest) -> Together:
    return Together(request.param)


def test_they_read_each_other(both: Together) -> None:
    both.join()
    for number in range(3):
        at = NOW + number / 2
        seen = both.alice.unprotect(both.bob.protect(b"from bob", TOPIC, at), TOPIC, at)
        assert (seen.payload, seen.sender, seen.epoch) == (b"from bob", both.project.bob.client, EPOCH)
        message = both.bob.unprotect(both.alice.protect(b"from alice", TOPIC, at), TOPIC, at)
        assert (message.payload, message.sequence, message.authenticated) == (b"from alice", number, seen.authenticated)
        assert message.sender == both.project.alice.client


def test_each_ones_c2_reads_the_others_reports(both: Together) -> None:
    from_bob, from_alice = both.join()
    ours, theirs = both.at_project(from_alice), both.at_witness().read(from_bob)
    assert isinstance(ours, report.Ack)
    assert (
        (ours.last_sequence, ours.outcome.name) == (theirs["last"], theirs["outcome"].upper()) == (SEQUENCE, "APPLIED")
    )
    hello = both.at_project(both.alice.hello(NOW))
    assert isinstance(hello, report.Hello)
    assert both.at_witness().read(both.bob.hello(NOW))["kind"] == "hello"
    assert hello.digest == ours.digest


def test_each_ones_c2_takes_the_others_offer(both: Together) -> None:
    if both.project.symmetric:
        return
    both.join()
    f = both.witness
    ask = f.sealed(SEQUENCE + 1, plain((0x08, NONCE)))
    to_alice = both.project.sealed(SEQUENCE + 1, plain((0x08, NONCE)), client=f.alice.client, device=f.alice.public)
    offered = both.at_witness().read(both.bob.command(ask, NOW).reports[1])
    assert (offered["kind"], offered["nonce"]) == ("offer", NONCE.hex())
    offer = both.at_project(both.alice.command(to_alice, NOW).reports[1])
    assert isinstance(offer, report.Offer)
    report.check_offer(both.suite, ClientId(f.alice.client), offer)
    # each is now spoken to under the keys it has made itself
    new = bytes.fromhex(offered["public"])
    assert both.bob.command(f.sealed(SEQUENCE + 2, plain((0x01, b"")), device=new), NOW).outcome.name == "APPLIED"
    last = both.project.sealed(SEQUENCE + 2, plain((0x01, b"")), client=f.alice.client, device=offer.public)
    assert both.alice.command(last, NOW).outcome == "applied"
