# SPDX-License-Identifier: Apache-2.0
"""Every suite of this project conforms; of what is expensive a thin sample, as `e4 conformance suite` takes the full one."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

from e4conformance.kit import conforms, run
from e4conformance.suites import SUITES, SuiteSubject, of, subject
from e4conformance.suites.algorithms import ALGORITHMS, recognised
from e4conformance.suites.entries import GROUPS
from e4conformance.suites.subject import THIN
from e4conformance.vectorfile import own_files, read
from tests.suites import EVERY, installed

SLOW = {"pq-slh": ("E4-SIG-001", "E4-SIG-005", "E4-SIG-006", "E4-SIG-007", "E4-VEC-102", "E4-VEC-103", "E4-MSG-101")}
"""To sign with SLH-DSA takes a tenth of a second; all else it has in common with others."""

ELSEWHERE = {"sk", "fips-pk", "pq-hybrid"}
"""Those that are asked in another process too: each costs a new interpreter; all others are made of the same parts."""


@cache
def examined(name: str) -> SuiteSubject:
    return replace(of(installed(name), seed=1), effort=THIN, installed=name in ELSEWHERE)


@pytest.mark.parametrize("name", EVERY)
def test_it_conforms(name: str) -> None:
    outcomes = list(run(examined(name), SUITES, only=SLOW.get(name, ())))
    assert conforms(outcomes), [each for each in outcomes if each.is_in_the_way]


@pytest.mark.parametrize("name", EVERY)
def test_every_capability_that_is_declared_is_exercised(name: str) -> None:
    needed = {requirement.needs for requirement in SUITES} - {None}
    told = {"format-1"}  # what a report says, though no requirement speaks of it alone
    assert examined(name).declared <= needed | told


@pytest.mark.parametrize("name", EVERY)
def test_the_aead_of_a_wire_name_is_recognised_by_its_bytes_too(name: str) -> None:
    suite = installed(name)
    assert recognised(suite.aead) is ALGORITHMS.get(suite.wire_name)


@pytest.mark.parametrize("name", ["pq", "pq-falcon", "pq-slh"])
def test_a_report_names_the_version_of_liboqs(name: str) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", examined(name).about["liboqs"])


def test_the_seed_alone_decides_what_is_drawn() -> None:
    one, same, other = (subject("sk", seed) for seed in (1, 1, 2))
    assert one.random("x").randbytes(8) == same.random("x").randbytes(8) != other.random("x").randbytes(8)
    assert one.random("x").randbytes(8) != one.random("y").randbytes(8)


def test_what_is_cheap_is_tried_in_full_and_what_is_dear_by_sample() -> None:
    cheap = subject("sk", 1)
    assert len(cheap.sample(range(1000), 1e-6, "cheap")) == 1000
    assert len(cheap.sample(range(1000), 0.01, "dear")) == 20
    assert len(cheap.sample(range(1000), 100.0, "dearest")) == cheap.effort.least


def test_no_section_of_the_vectors_is_forgotten() -> None:
    grouped = {name for names in GROUPS.values() for name in names}
    left = {"meta", "key_from_password", "receiver_bob_state", "state_with_low_order_c2key_reload"}
    for file in map(read, own_files()):
        if file.kind != "state":
            assert set(file.sections) <= grouped | left


@pytest.mark.parametrize("name", EVERY)
def test_there_are_vectors_of_every_wire_name(name: str) -> None:
    assert examined(name).declared >= {"vectors-messages", "vectors-commands"}
