# SPDX-License-Identifier: Apache-2.0
"""The port in C conforms: with its limits and smaller ones, under sanitizers, over every kind of line; and its report is true."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e4conformance import kit
from e4conformance.kit import Outcome, Verdict
from e4conformance.ports import PORTS, of, subject
from e4conformance.ports.client import Port
from e4conformance.ports.links import Link
from tests.conformance.ports.reach import examined, not_passed
from tests.examples.port_c import SOURCES, built, make

PUBLIC_KEY = {"E4-PMSG-007", "E4-PMSG-115", "E4-PCMD-115"}
"""What speaks of public-key suites alone."""
FEW = ("E4-PORT-001", "E4-PORT-004", "E4-PMSG-001", "E4-PMSG-111", "E4-PCMD-111")
TABLE = re.compile(r"^\| (.+?) \| ([\d,]+) \|", re.M)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp()


@pytest.fixture
def sanitized(base: Path) -> Path:
    return built(base, "asan") / "e4-port-asan"


def check(outcomes: list[Outcome]) -> None:
    assert not not_passed(outcomes)
    assert kit.conforms(outcomes)
    applied = {each.requirement.id for each in outcomes if each.verdict is Verdict.PASSED}
    assert {each.id for each in PORTS} - applied == PUBLIC_KEY


def test_it_conforms(base: Path) -> None:
    with subject(str(built(base, "all") / "e4-port"), seed=3) as port:
        check(list(kit.run(port, PORTS)))


def test_it_conforms_under_sanitizers(sanitized: Path) -> None:
    with subject(str(sanitized), seed=4) as port:
        check(list(kit.run(port, PORTS)))
        assert not port.port.told()


def test_it_conforms_with_less_than_2_kib_of_state(base: Path) -> None:
    with subject(str(built(base, "size", is_2k=True) / "small" / "e4-port"), seed=3) as port:
        assert (port.limits.topics, port.limits.epochs, port.limits.payload) == (2, 2, 256)
        outcomes = list(kit.run(port, PORTS))
    assert not not_passed(outcomes)


def test_it_serves_a_serial_line(sanitized: Path) -> None:
    master, slave = os.openpty()
    with subprocess.Popen([sanitized, os.ttyname(slave)], stderr=subprocess.PIPE, text=True) as server:
        try:
            # it has made the line raw once it says so
            assert server.stderr and server.stderr.readline().startswith("serving ")
            port = of(Port(lambda: Link(master, master, lambda: None)), seed=3)
            check(list(kit.run(port, PORTS)))
        finally:
            server.terminate()
            os.close(master)
            os.close(slave)


def test_it_serves_tcp(sanitized: Path) -> None:
    with subprocess.Popen([sanitized, "tcp://127.0.0.1:0"], stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            target = server.stderr.readline().split()[-1]
            for _ in range(2):  # one connection after the other
                with subject(target, seed=3) as port:
                    assert not not_passed(examined(port, *FEW).values())
        finally:
            server.terminate()


def test_an_address_that_is_none_is_one_line(sanitized: Path) -> None:
    for arguments, status in ((["/nonexistent/tty"], 1), (["tcp://127.0.0.1:0", "more"], 2)):
        ended = subprocess.run([sanitized, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stderr.count("\n")) == (status, 1)


def requests() -> list[bytes]:
    """Well-formed ones of every operation."""
    named = {"topic": "a/\u00e9/\U0001f600", "now": 1.7e9}
    asked: list[dict[str, object]] = [
        {"do": "about"},
        {"do": "provision", "suite": "sk", "client_id": "01" * 16, "private": "02" * 32, "skew_s": 30, "clock": True},
        {"do": "provision", "suite": "fips-sk", "client_id": "01" * 16, "private": "02" * 32, "c2_public": ""},
        {"do": "protect", **named, "payload": "00ff"},
        {"do": "unprotect", **named, "data": "02" * 60},
        {"do": "command", "data": "0201" + "00" * 60, "now": 1_700_000_000},
        {"do": "hello", "now": 0.5},
    ]
    asked += [{"do": each} for each in ("show", "restart", "close", "restart")]
    return [json.dumps({"id": number, **each}).encode() for number, each in enumerate(asked)]


def garbled(draw: random.Random) -> Iterator[bytes]:
    """Lines that are almost requests, and some that are."""
    pieces = b'{}[]",:-\0\xff\\'
    words = [bytes([each]) for each in pieces] + [rb"\u", rb"\ud800", rb"\udc00", b"null", b"1e999", b'"id"']
    for _ in range(4000):
        line = bytearray(draw.choice(requests()))
        for _ in range(draw.choice([0, 1, 1, 2, 8])):
            at = draw.randrange(len(line) + 1)
            line[at : at + draw.choice([0, 0, 1, 5, 40])] = draw.choice(words) * draw.choice([1, 1, 1, 9, 300])
        yield bytes(line).replace(b"\n", b" ")


def test_no_line_brings_it_down(sanitized: Path) -> None:
    lines = list(garbled(random.Random(5)))
    ended = subprocess.run(
        [sanitized], input=b"\n".join([*lines, b'{"id":1,"do":"about"}', b""]), capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(answers) == len(lines) + 1 and answers[-1]["ok"]["protocol"] == 1
    assert all(("ok" in each) != ("error" in each) for each in answers)
    kinds = {each["error"]["kind"] if "error" in each else "ok" for each in answers}
    assert {"ok", "bad_request", "unsupported", "closed", "topic_key_missing", "bad_topic"} <= kinds


def test_nothing_is_allocated(base: Path) -> None:
    objects = sorted((built(base, "size") / "small").glob("e4_*.o"))
    assert len(objects) == len(list(SOURCES.glob("e4_*.c")))
    needed = subprocess.run(["nm", "--undefined-only", *objects], capture_output=True, text=True, check=True).stdout
    assert not re.findall(r"\b(?:malloc|calloc|realloc|free|alloca)\b", needed)


@pytest.mark.parametrize("is_2k", [False, True], ids=["usual", "2k"])
def test_the_readme_reports_what_it_costs(base: Path, is_2k: bool) -> None:
    told = (built(base, "size", is_2k=is_2k) / "told").read_text()
    measured = {what: int(number.replace(",", "")) for what, number in TABLE.findall(told)}
    page = (SOURCES / "README.md").read_text()
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \|", page, re.M)
    reported = {what: int((small if is_2k else usual).replace(",", "")) for what, usual, small in rows}
    assert reported.keys() == measured.keys()
    for what, number in measured.items():
        # another release of the compiler may give a little more or less; what is in the struct it may not
        assert reported[what] == pytest.approx(number, rel=0 if "sizeof" in what else 0.1), what
    if is_2k:
        assert measured["RAM: the state, `sizeof(e4_device)`"] < 2048
        assert make("-s", "limits-2k").strip() in page
