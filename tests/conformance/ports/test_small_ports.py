# SPDX-License-Identifier: Apache-2.0
"""What a small port may leave out is not held against it; what it declares is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from e4conformance.kit import Verdict
from e4conformance.played import Own
from e4conformance.ports import subject
from e4conformance.ports.links import opener
from e4conformance.ports.reference import ReferencePort
from e4conformance.ports.request import Request
from e4core import formats
from e4core.errors import E4Error, InvalidInput, TransportError, UnsupportedSuite
from tests.conformance.ports.broken import BrokenPort, OnItsClock
from tests.conformance.ports.reach import examined, here, not_passed

Ok = dict[str, Any]


class Crashes(Own):
    """Keeps no replay memory when it stops."""

    def restart(self) -> None:
        state: Any = formats.load(self._saved)
        self._saved = formats.dump(replace(state, clean=False, seen=()))
        super().restart()


class SmallPort(BrokenPort):
    device_type: type[Own] = Crashes
    limits: ClassVar[Ok] = {
        "line": 4096,
        "payload": 256,
        "command": 1024,
        "topics": 2,
        "peers": 2,
        "epochs": 2,
        "window": 64,
    }
    capabilities: ClassVar[tuple[str, ...]] = ("clock",)

    def about(self, request: Request) -> Ok:
        return {**super().about(request), "limits": self.limits, "capabilities": list(self.capabilities)}

    def answer(self, line: bytes) -> bytes:
        return super().answer(line if len(line) <= self.limits["line"] else b"")

    def protect(self, device: Own, request: Request) -> Ok:
        if len(request.hexed("payload")) > self.limits["payload"]:
            raise InvalidInput(kind="bad_length")
        return super().protect(device, request)

    def command(self, device: Own, request: Request) -> Ok:
        return {**super().command(device, request), "reports": []}

    def hello(self, device: Own, request: Request) -> Ok:
        raise UnsupportedSuite

    def show(self, device: Own, request: Request) -> Ok:
        shown = super().show(device, request)
        return {name: shown[name] for name in ("topics", "peers")}


class Clockless(SmallPort):
    device_type: type[Own] = OnItsClock
    capabilities: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[Ok] = {"line": 65536, "payload": 4096}


@pytest.mark.parametrize("suite", ["sk", "fips-pk"])
def test_a_small_port_conforms(suite: str) -> None:
    outcomes = examined(here(SmallPort, suite))
    assert not not_passed(outcomes.values())
    assert outcomes["E4-PSTA-001"].verdict is Verdict.PASSED
    assert outcomes["E4-PREP-002"].verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(("suite", "unproven"), [("pk", ["E4-PORT-008"]), ("fips-sk", ["E4-PORT-008", "E4-PMSG-011"])])
def test_a_port_on_its_own_clock_is_examined_in_real_time_and_proves_too_little(
    suite: str, unproven: list[str]
) -> None:
    outcomes = examined(here(Clockless, suite))
    assert [number for number, each in outcomes.items() if each.is_in_the_way] == unproven
    assert {outcomes[number].verdict for number in unproven} == {Verdict.NOT_EXERCISED}
    assert outcomes["E4-PORT-008"].detail.startswith("the capability 'clock' is not declared")
    assert [outcomes[number].verdict for number in ("E4-PMSG-008", "E4-PCMD-002")] == [Verdict.PASSED] * 2
    assert {each.requirement.needs for each in outcomes.values() if each.verdict is Verdict.NOT_APPLICABLE} >= {"clock"}


@pytest.mark.parametrize(
    ("limit", "suite", "is_enough"),
    [
        ({"window": 63}, "fips-sk", False),
        ({"epochs": 1}, "fips-pk", False),
        ({"sessions": 7}, "fips-sk", False),
        ({"sessions": 1}, "fips-pk", True),
        ({"window": 1, "epochs": 1, "sessions": 1}, "sk", True),
    ],
)
def test_no_limit_is_smaller_than_a_device_may_choose(limit: Ok, suite: str, is_enough: bool) -> None:
    class Tiny(SmallPort):
        limits: ClassVar[Ok] = {**SmallPort.limits, **limit}

    outcome = examined(here(Tiny, suite), "E4-PORT-001")["E4-PORT-001"]
    assert outcome.verdict is (Verdict.PASSED if is_enough else Verdict.FAILED)
    assert is_enough or outcome.detail.startswith(f"its limit {next(iter(limit))} is ")


def test_stories_that_are_left_out_are_told_of_a_pass() -> None:
    played = examined(here(SmallPort, "fips-sk"), "E4-PMSG-113")["E4-PMSG-113"]
    assert (played.verdict, played.detail) == (Verdict.PASSED, "")
    assert re.fullmatch(
        r"\d+ of \d+ stories were played; left out .*\d+: needs the limit window to be 1024.*", played.note
    )
    assert examined(here(ReferencePort, "fips-sk"), "E4-PMSG-113")["E4-PMSG-113"].note == ""


def test_a_capability_that_is_declared_and_missing_fails() -> None:
    class Boasts(SmallPort):
        capabilities: ClassVar[tuple[str, ...]] = ("clock", "reports")

    outcomes = examined(here(Boasts, "fips-sk"), "E4-PREP-001", "E4-PREP-002", "E4-PREP-111")
    assert [each.verdict for each in outcomes.values()] == [Verdict.FAILED] * 3
    assert outcomes["E4-PREP-002"].detail.startswith("fips-sk: unsupported: ")


BAD_TARGETS = [
    "",
    "'",
    "tcp:host",
    "tcp://host",
    "tcp://host:99999",
    "serial:",
    "serial:/dev/null?baud=1",
    "serial:/dev/x?speed=9",
]


@pytest.mark.parametrize("target", BAD_TARGETS)
def test_a_target_that_is_none_says_how_one_is_written(target: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        opener(target)
    assert raised.value.kind == "bad_uri"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/no/such/port", "does not start"),
        ("tcp://127.0.0.1:9", "nobody answers"),
        ("serial:/dev/null", "cannot be used as a serial line"),
        ("serial:/dev/no-such-line", "cannot be used as a serial line"),
        ("true", "does not say what it is"),
        ("echo hello", "does not say what it is"),
        ("sh -c 'echo no licence >&2; exit 3'", "it told: no licence"),
    ],
)
def test_a_port_that_cannot_be_had_is_one_line(target: str, text: str) -> None:
    with pytest.raises(TransportError, match=re.escape(text)) as raised, subject(target, seed=1):
        pass
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "about",
    [
        {"protocol": 2},
        {"suites": "sk"},
        {"suites": [7]},
        {"limits": {}},
        {"limits": {"line": 100}},
        {"limits": {"line": 10**12}},
        {"limits": {"line": "long"}},
        {"name": None},
    ],
)
def test_a_port_that_says_nonsense_of_itself_is_refused(about: Ok) -> None:
    class Talks(ReferencePort):
        def about(self, request: Request) -> Ok:
            return {**super().about(request), **about}

    with pytest.raises(E4Error, match="does not say what it is"):
        here(Talks, "sk")


def test_suites_that_are_not_installed_here_are_named() -> None:
    class Exotic(ReferencePort):
        def about(self, request: Request) -> Ok:
            return {**super().about(request), "suites": ["sk", "acme-sk-9"]}

    port = here(Exotic, "sk")
    assert [suite.name for suite in port.suites] == ["sk"]
    assert port.about["suites not examined"] == "acme-sk-9"
    outcome = examined(port, "E4-PORT-001")["E4-PORT-001"]
    assert (outcome.verdict, outcome.note) == (Verdict.PASSED, "not installed here, and so not examined: acme-sk-9")
