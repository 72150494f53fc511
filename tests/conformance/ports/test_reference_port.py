# SPDX-License-Identifier: Apache-2.0
"""The reference port meets every requirement, over each kind of line, and plays every story that a port can."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e4conformance import kit, vectorfile
from e4conformance.kit import Verdict
from e4conformance.ports import PORTS, of, stories, subject
from e4conformance.ports.client import Port
from e4conformance.ports.links import Link, raw, serial_target
from e4conformance.ports.reference import ReferencePort
from tests.conformance.ports.reach import REFERENCE, examined, here, not_passed
from tests.suites import EVERY, installed

FEW = ("E4-PORT-001", "E4-PORT-002", "E4-PORT-004", "E4-PMSG-001", "E4-PMSG-021", "E4-PMSG-111", "E4-PCMD-111")
MANY = (*FEW, "E4-PMSG-007", "E4-PMSG-008", "E4-PSTA-001", "E4-PCMD-001", "E4-PREP-001", "E4-PREP-002", "E4-PEPO-001")
TOLD = [each.id for each in PORTS if (each.needs or "").startswith("stories:")]


def test_over_standard_input_and_output_it_conforms() -> None:
    with subject(f"{REFERENCE} --suite sk --suite fips-sk", seed=3) as port:
        outcomes = list(kit.run(port, PORTS))
    assert not not_passed(outcomes)
    assert kit.conforms(outcomes)
    applied = {each.requirement.id for each in outcomes if each.verdict is Verdict.PASSED}
    assert {each.id for each in PORTS} - applied == {"E4-PMSG-007", "E4-PMSG-115", "E4-PCMD-115"}


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("sk", "fips-sk", "pq-pyca", "pq-slh")])
def test_in_every_suite_it_conforms(name: str) -> None:
    assert installed(name)
    outcomes = examined(here(ReferencePort, name), *MANY, *TOLD)
    assert not not_passed(outcomes.values())
    assert kit.conforms(outcomes.values())


def test_with_signatures_it_meets_the_rest_as_well() -> None:
    rest = {each.id for each in PORTS} - {*MANY, *TOLD}
    assert not not_passed(examined(here(ReferencePort, "fips-pk"), *rest).values())


def test_over_tcp() -> None:
    command = [*REFERENCE.split(), "--suite", "fips-sk", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            target = server.stderr.readline().split()[-1]
            for _ in range(2):  # a port of its own for each connection
                with subject(target, seed=3) as port:
                    assert not not_passed(examined(port, *FEW).values())
        finally:
            server.terminate()


@contextmanager
def terminals() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal."""
    master, slave = os.openpty()
    try:
        yield master, slave
    finally:
        os.close(master)
        os.close(slave)


def test_at_a_serial_line() -> None:
    with terminals() as (master, slave):
        target = f"serial:{os.ttyname(slave)}?baud=9600"
        raw(slave, serial_target(target)[1])
        command = [*REFERENCE.split(), "--suite", "fips-sk"]
        with subprocess.Popen(command, stdin=master, stdout=master) as server:
            try:
                with subject(target, seed=3) as port:
                    assert not not_passed(examined(port, *FEW).values())
            finally:
                server.terminate()


def test_it_serves_a_serial_line() -> None:
    with terminals() as (master, slave):
        command = [*REFERENCE.split(), "--suite", "fips-sk", f"serial:{os.ttyname(slave)}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr and server.stderr.readline().startswith("on /dev/")
                port = of(Port(lambda: Link(master, master, lambda: None)), seed=3)
                assert not not_passed(examined(port, *FEW).values())
            finally:
                server.terminate()


def test_an_address_that_is_none_is_one_line() -> None:
    command = [sys.executable, "-m", "e4conformance.ports.reference", "--suite", "sk", "carrier pigeon"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: 'carrier pigeon' is no serial line;") and ended.stderr.count("\n") == 1


def test_a_story_that_no_port_can_play_is_one_of_these() -> None:
    port = here(ReferencePort, "sk", "pk", "fips-sk", "fips-pk")
    names = {suite.wire_name for suite in port.suites}
    left_out = set()
    for file in map(vectorfile.read, vectorfile.own_files()):
        for section, entries in file.sections.items():
            if file.kind in ("strict", "format2") and section not in ("meta", "refused_states"):
                told = [entry for entry in entries if "steps" in entry and entry["suite"] in names]
                left_out |= {
                    (section, each["name"].partition(": ")[2]) for each in told if stories.cannot(port, section, each)
                }
    assert left_out == {
        ("command_order", "at or below the floor of commands nothing is obeyed, whatever was the newest"),
        ("reports", "hello until the Sync with its nonce comes"),
    }
