# SPDX-License-Identifier: Apache-2.0
"""The numbers of the page on Format 2, and every byte of its worked example, are those of this project's code."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from typing import Any

import pytest

from e4core import formats, report
from e4core.client2 import Client2
from e4core.command2 import ISSUED_LEN, Command2, SetPubKey, SetTopicKey, encode
from e4core.control2 import LONGEST
from e4core.errors import E4Error
from e4core.keys import ClientId, FullTopicHash, Secret, TopicKey
from e4core.plugins import load_suite
from e4core.report import Ack, Outcome
from e4core.sending2 import OwnSession
from e4core.state2 import new_state
from e4core.suite import Suite
from tests.docs.session import ROOT
from tests.suites import EVERY, installed

PAGE = (ROOT / "docs" / "reference" / "format2.md").read_text()
WIRE_NAMES = tuple(name for name in EVERY if name not in ("sk", "pk", "pq-pyca"))
NOBODY, NO_TOPIC, NO_KEY = ClientId(bytes(16)), FullTopicHash(bytes(32)), TopicKey(bytes(31) + b"\x01")


def table(first: str) -> dict[str, list[str]]:
    """Rows of the table whose head begins with ``first``, by their first cell."""
    _, _, rest = PAGE.partition(f"| {first} |")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return {name.strip("`"): rest for name, *rest in cells}


def numbers(cell: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", cell.rpartition("(")[2]))


def lengths(suite: Suite) -> list[str]:
    around = [str(length) for length in formats.overheads(suite)]
    of_a_client = entry(SetPubKey(NOBODY, bytes(suite.signature.public_len))) if suite.signature else ""
    return [*around, entry(SetTopicKey(NO_TOPIC, 1, NO_KEY)), of_a_client, str(report.longest(suite))]


def entry(command: Command2) -> str:
    return str(len(encode([command], 0)) - ISSUED_LEN)


def test_both_tables_are_of_every_suite() -> None:
    sizes, ways = table("wire name | AEAD (key, nonce, tag)"), table("wire name | message, more than its payload")
    assert set(sizes) == set(ways) == set(WIRE_NAMES)


@pytest.mark.parametrize("name", WIRE_NAMES)
def test_the_numbers_of_a_suite_are_those_of_the_code(name: str) -> None:
    suite = installed(name)
    aead, signature, kem = map(numbers, table("wire name | AEAD (key, nonce, tag)")[name])
    assert suite.wire_name == name
    assert aead == (suite.aead.key_len, suite.aead.nonce_len, suite.aead.tag_len)
    signed = (suite.signature.public_len, suite.signature.signature_len) if suite.signature else (0, 0)
    public = 0 if suite.is_symmetric else suite.device.public_len
    assert (signature or (0, 0)) == signed
    assert (kem or (0, 0)) == (public - signed[0] if signed[0] else 0, suite.control.overhead - 16 - signed[1])
    assert table("wire name | message, more than its payload")[name] == lengths(suite)


def test_every_part_that_a_suite_names_is_said_to_be_what_it_is() -> None:
    parts = ", ".join(table("part"))
    named = {part for row in table("wire name | AEAD (key, nonce, tag)").values() for part in row}
    names = {re.sub(r" ?\(.*", "", part) for part in named} - {"none"}
    assert sorted(name for name in names if name not in parts) == []


def test_the_longest_command_is_that_of_the_code() -> None:
    assert PAGE.count(f"{LONGEST:,}") >= 4


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """What its Python has made, names to values; that it gives what is shown is tested elsewhere."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.partition("## 11. Worked example")[2], re.S | re.M)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "example", None, 0)
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, clear_globs=False)
    return test.globs


@pytest.fixture
def lamp(example: dict[str, Any]) -> tuple[Suite, Client2]:
    suite = load_suite("fips-sk")
    state = new_state(suite, ClientId(example["lamp"]), Secret(example["device_key"]))
    return suite, Client2(suite, state, lambda _state: None, random=lambda _length: bytes(range(80, 96)))


def test_a_device_obeys_the_command_answers_as_shown_and_reads_the_message(
    example: dict[str, Any], lamp: tuple[Suite, Client2], capsys: pytest.CaptureFixture[str]
) -> None:
    suite, client = lamp
    now = example["issued"] + 1.0
    handled = client.command(example["command"], now)
    assert handled.outcome is Outcome.APPLIED
    assert handled.reports == (example["acknowledgement"],)
    channel = suite.control.at_c2(suite.c2.load(b""), Secret(example["device_key"]))
    said = report.open_report(suite, channel, ClientId(example["lamp"]), example["acknowledgement"])
    assert isinstance(said, Ack)
    message = client.unprotect(example["message"], "home/light", now + 1)
    assert (message.payload, message.sender, message.sequence) == (b"on", example["lamp"], 2)


@pytest.mark.parametrize("name", ["command", "acknowledgement", "message"])
def test_no_byte_of_the_example_can_be_another(name: str, example: dict[str, Any], lamp: tuple[Suite, Client2]) -> None:
    suite, client = lamp
    channel = suite.control.at_c2(suite.c2.load(b""), Secret(example["device_key"]))
    now = example["issued"] + 2.0
    if name == "message":
        client.command(example["command"], now)
    reading: dict[str, Callable[[bytes], object]] = {
        "command": lambda data: client.command(data, now),
        "acknowledgement": lambda data: report.open_report(suite, channel, ClientId(example["lamp"]), data),
        "message": lambda data: client.unprotect(data, "home/light", now),
    }
    for place in range(len(example[name])):
        changed = bytearray(example[name])
        changed[place] ^= 1
        with pytest.raises(E4Error):
            reading[name](bytes(changed))


def test_the_session_is_that_of_the_example(example: dict[str, Any]) -> None:
    drawn = example["random"], example["clock"], example["starts"]
    own = OwnSession(load_suite("fips-sk"), ClientId(example["lamp"]), *drawn)
    assert f"'{own.who[16:].hex()}'" in PAGE


def test_each_weakness_of_format_1_is_answered_once_in_both_formats() -> None:
    wire = (ROOT / "docs" / "reference" / "wire.md").read_text()
    weak = wire.partition("\n## 12. Weaknesses\n")[2].partition("\n## ")[0]
    answers = PAGE.partition("\n## 10. ")[2].partition("\n## ")[0]
    row = r"^\| (\d+) \| .* \| (.*) \|$"
    in_format1, in_format2 = re.findall(row, weak, re.M), re.findall(row, answers, re.M)
    assert [number for number, _ in in_format1] == [number for number, _ in in_format2] == [*map(str, range(1, 32))]
    said = "closed|mitigated|open|not here"
    assert [answer for _, answer in in_format1 if not re.match(rf"({said})\b", answer)] == []
    assert [answer for _, answer in in_format2 if not re.match(rf"\*\*({said})\*\*", answer, re.I)] == []
