# SPDX-License-Identifier: Apache-2.0
"""What a subject says besides its checks: it may fail, and it may say what must not be published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from e4conformance import border
from e4conformance.credentials import held_by, without
from e4conformance.examination import examined
from e4conformance.kinds import Kind
from e4conformance.kit import Verdict, examine
from e4conformance.report import Report
from e4conformance.requirement import RUNNING, NotExercised, Unmet
from e4core.errors import PluginError, TransportError
from tests.conformance.core.test_kit import Panic, raising
from tests.conformance.core.tiny import BOOK, Lamp

KIND = Kind("suite", "tests.conformance.core.tiny", "BOOK", "name of a lamp")
PASSWORD = b"hunter2 & co"


@dataclass
class Marked(Lamp):
    """A lamp that needs a password."""

    credentials: tuple[bytes, ...] = (PASSWORD,)
    lacks: Mapping[str, str] = field(default_factory=lambda: {"colour": f"no, {PASSWORD.decode()} does not buy it"})


def _panicking() -> object:
    raise Panic("no word")


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"firmware": 3.1}, {"firmware": "3.1"}),
        (None, {}),
        ("3.1", {}),
    ],
)
def test_what_a_part_tells_of_itself_is_text_or_nothing(about: object, told: Mapping[str, str]) -> None:
    assert border.told_by(SimpleNamespace(about=about)) == told


@pytest.mark.parametrize("part", [object(), type("Panics", (), {"about": property(lambda _: _panicking())})()])
def test_a_part_that_tells_nothing_is_no_error(part: object) -> None:
    assert border.told_by(part) == {}


class Mute(Exception):
    def __str__(self) -> str:
        raise Panic("no word")


class Secretive(Lamp):
    """It tells nothing of itself without failing."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def __getattribute__(self, name: str) -> object:
        if name in ("declared", "about"):
            raise object.__getattribute__(self, "_error")
        return super().__getattribute__(name)


def report_of(lamp: Lamp, name: str = "hall") -> Report:
    return examined(KIND, name, lamp, 7)


@pytest.mark.parametrize("error", [RuntimeError("broken"), Panic("broken"), SystemExit("broken")])
def test_a_subject_that_does_not_tell_what_it_can_do_is_one_error(error: BaseException) -> None:
    text = f"the subject does not tell what it can do: raised {type(error).__name__}: broken"
    with pytest.raises(PluginError, match=text):
        report_of(Secretive(error))
    with pytest.raises(PluginError, match=text):
        examine(Secretive(error), BOOK["E4-KDF-002"])


def test_an_error_of_ours_stays_what_it_is() -> None:
    with pytest.raises(TransportError, match="nobody there"):
        report_of(Secretive(TransportError("nobody there")))


def test_ctrl_c_while_it_is_asked_ends_the_run() -> None:
    with pytest.raises(KeyboardInterrupt):
        report_of(Secretive(KeyboardInterrupt()))


@pytest.mark.parametrize("error", [RuntimeError("broken"), Panic("broken")])
def test_a_report_is_made_without_what_cannot_be_told(error: BaseException) -> None:
    assert border.about(Secretive(error)) == {"about": f"it cannot be told: raised {type(error).__name__}: broken"}


def test_an_error_that_cannot_say_what_is_wrong_is_a_failed_check() -> None:
    outcome = examine(Lamp(switch=raising(Mute())), BOOK["E4-AEAD-001"])
    assert outcome.verdict is Verdict.FAILED
    assert outcome.detail.startswith("raised Mute: it cannot say what is wrong: Panic (test_kit.py, line ")


def test_a_subject_that_does_not_open_is_one_error() -> None:
    lamp = Kind("lamp", __name__, "BOOK", "").subject("hall", 1)
    with pytest.raises(PluginError, match="the lamp cannot be had: raised KeyError: 'off'"), lamp:
        raise AssertionError


def subject(_target: str, *, seed: int) -> Lamp:
    """As a module of a kind has it."""
    raise KeyError("off")


# Credentials


@pytest.mark.parametrize(
    "spelt",
    [
        str,
        lambda text: text.encode().hex(),
        lambda text: text.encode().hex(":").upper(),
        lambda text: repr(text.encode()),
        lambda text: str(list(text.encode())),
        lambda text: "hunter2%20%26%20co",
        lambda text: "dXNlcjpodW50ZXIyICYgY286",
    ],
)
@pytest.mark.parametrize("error", [OSError, Unmet, NotExercised])
def test_no_credential_is_in_a_report(spelt: Callable[[str], str], error: type[Exception]) -> None:
    text = spelt(PASSWORD.decode())
    lamp = Marked(switch=raising(error(f"logging in with {text} at the socket")), about={"bulb": f"E27 {text}"})
    report = report_of(lamp, f"lamp:{PASSWORD.decode()}@hall")
    for written in (report.json(), report.junit(), report.html()):
        assert text not in written
        assert PASSWORD.decode() not in written
        assert "(hidden)" in written
    first = report.document()["requirements"][0]
    assert "logging in with " in first["detail"]
    assert " at the socket" in first["detail"]


def test_a_reason_is_told_with_what_is_not_declared() -> None:
    assert examine(Marked(), BOOK["E4-KDF-002"]).detail == (
        "the capability 'colour' is not declared: no, (hidden) does not buy it"
    )


@pytest.mark.parametrize(
    ("target", "published", "held"),
    [
        ("mqtt://amy:pw1@hall:1883", "mqtt://amy:(hidden)@hall:1883", {b"pw1"}),
        ("pkcs11:token=t;object=k?pin-value=1234", "pkcs11:token=t;object=k?pin-value=(hidden)", {b"1234"}),
        ("vault://h/k?token=hvs.x&timeout=2", "vault://h/k?token=(hidden)&timeout=2", {b"hvs.x"}),
        ("x:?db-password=a%20b", "x:?db-password=(hidden)", {b"a%20b", b"a b"}),
        ("shamir:2?share=x%3A%3Fpin%3D99", "shamir:2?share=x%3A%3Fpin%3D(hidden)", {b"99"}),
        ("./port --pin 1234 --fast", "./port --pin (hidden) --fast", {b"1234"}),
        ("mqtt://amy@hall?password-file=/run/pw", "mqtt://amy@hall?password-file=/run/pw", set()),
        ("vault://h/k?token=env:TOKEN", "vault://h/k?token=env:TOKEN", set()),
        ("passphrase:env:FLEET", "passphrase:env:FLEET", set()),
        ("pkcs11:token=t;object=k?pin-source=file:/p", "pkcs11:token=t;object=k?pin-source=file:/p", set()),
    ],
)
def test_secrets_in_a_name_are_hidden(target: str, published: str, held: set[bytes]) -> None:
    assert without(target, "(hidden)") == published
    assert set(held_by(target)) == held


def test_a_password_that_stands_in_the_name_is_hidden_where_an_error_quotes_it() -> None:
    lamp = Marked(switch=raising(OSError("no way for hunter2")), credentials=(b"hunter2",))
    assert "hunter2" not in report_of(lamp, "mqtt://amy:hunter2@hall").html()
    assert report_of(Lamp(), "mqtt://amy:pw1@hall").subject == "mqtt://amy:(hidden)@hall"


def test_a_check_knows_which_requirement_it_is_for() -> None:
    seen: list[str] = []

    def switch() -> bool:
        seen.append(RUNNING.get())
        return True

    report_of(Lamp(switch=switch))
    assert seen == ["E4-AEAD-001", "E4-AEAD-002"]
    assert RUNNING.get() == ""


def test_what_ends_the_process_leaves_a_report_of_it() -> None:
    left: list[Report] = []
    examined(KIND, "hall", Lamp(), 7, lambda so_far, _of, _next: left.append(so_far))
    last = cast(dict[str, str], left[2].document()["requirements"][-1])
    assert [(each.conforms, each.complete) for each in left] == [(False, False)] * len(BOOK)
    assert (last["id"], last["verdict"]) == ("E4-AEAD-003", "failed")
    assert last["detail"].startswith("the process ended while this was checked")
