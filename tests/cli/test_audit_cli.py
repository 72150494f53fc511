# SPDX-License-Identifier: Apache-2.0
"""``e4 audit``: what the client finds by itself, whatever the C2 and its database say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from e4c2.audit.records import CHANGED, CUT_OFF, MISSING, Record, beginning
from e4c2.audit.signing import ED25519, Checkpoint, PublicKey, algorithm
from e4c2.audit.statements import FORKED, Statements
from e4cli import audit_check, cef, witness
from e4cli.api_client import Document
from e4core.errors import AuthenticationFailed, E4Error, InvalidInput, Tampered

DATABASE = bytes(range(16))
PRIVATE = algorithm(ED25519).generate()
KEY = PublicKey(DATABASE, ED25519, algorithm(ED25519).public(PRIVATE))


def record(number: int) -> Record:
    return Record(number, 1.5 + number, "00" * 16, "c2", "", "", "act", ("topic:1",), "done", 1, "")


def signed(number: int, upto: bytes, private: bytes = PRIVATE) -> Checkpoint:
    made = Checkpoint(DATABASE, number, 2.5, upto)
    return replace(made, signature=algorithm(ED25519).signer(private).sign(made.message()))


@dataclass
class Honest:
    """What a C2 with nine records answers; tests make a liar of it."""

    records: list[Record] = field(default_factory=lambda: [record(n) for n in range(1, 10)])
    base: int = 0
    signs_at: tuple[int, ...] = (4, 9)
    key: PublicKey = KEY

    def hashes(self) -> dict[int, bytes]:
        found = {0: beginning(DATABASE)}
        for each in self.records:
            found[each.number] = each.follows(found.get(each.number - 1, bytes(32)))
        return found

    def __post_init__(self) -> None:
        self.truth = self.hashes()
        self.checkpoints = [signed(n, self.truth[n]) for n in self.signs_at]
        last = self.records[-1].number
        self.log = {"public_key": str(self.key), "base": 0, "base_hash": self.truth[0].hex(), "last": last}
        self.log["last_hash"] = self.truth[last].hex()

    def get(self, path: str, **_query: str | int) -> Document:
        return Document(self.log if path.endswith("log") else {"next": None})

    def items(self, path: str, *_: object) -> Iterator[Document]:
        if path.endswith("checkpoints"):
            return (Document(each.document()) for each in self.checkpoints)
        return (
            Document(json.loads(json.dumps({name: getattr(r, name) for name in Record.__slots__})))
            for r in self.records
        )


def check(c2: Honest, *witnessed: Checkpoint, pinned: PublicKey | None = KEY) -> dict[str, Any]:
    return audit_check.check(c2, pinned, witnessed, lambda *_: None)  # type: ignore[arg-type]


def test_an_honest_log_verifies() -> None:
    c2 = Honest()
    assert check(c2, c2.checkpoints[0]) == {"records": 9, "checkpoints": 2, "public_key": str(KEY)}
    c2.records, c2.log["base"], c2.log["base_hash"] = c2.records[4:], 4, c2.truth[4].hex()
    assert check(c2)["records"] == 5


def drop(number: int) -> Callable[[Honest], None]:
    def lie(c2: Honest) -> None:
        c2.records = [each for each in c2.records if each.number != number]

    return lie


def rewrite(c2: Honest) -> None:
    """All anew from record 3 on, with a head that fits, as only the C2 itself could."""
    c2.records[2] = replace(c2.records[2], principal="nobody")
    c2.log["last_hash"] = c2.hashes()[9].hex()


def rewrite_and_hide(c2: Honest) -> None:
    rewrite(c2)
    c2.checkpoints = []


def cut(c2: Honest) -> None:
    c2.records = c2.records[:6]
    c2.checkpoints = c2.checkpoints[:1]
    c2.log |= {"last": 6, "last_hash": c2.truth[6].hex()}


def begin_later(c2: Honest) -> None:
    c2.records = c2.records[5:]
    c2.log |= {"base": 5, "base_hash": c2.truth[5].hex()}


def change_last(c2: Honest) -> None:
    c2.records[8] = replace(c2.records[8], count=2)
    c2.checkpoints = []


def twice(c2: Honest) -> None:
    c2.records.insert(3, c2.records[2])


@pytest.mark.parametrize(
    ("lie", "kind", "text"),
    [
        (drop(1), MISSING, "record 1 is missing"),
        (drop(5), MISSING, "record 5 is missing"),
        (drop(9), MISSING, "record 9 is missing"),
        (rewrite, FORKED, "records 1 to 4 "),
        (rewrite_and_hide, FORKED, "records 1 to 9 "),
        (cut, CUT_OFF, "records 7 to 9 "),
        (begin_later, FORKED, "begins"),
        (change_last, CHANGED, "record 9 "),
        (twice, CHANGED, "record 3 "),
    ],
)
def test_a_lie_is_found(lie: Callable[[Honest], None], kind: str, text: str) -> None:
    c2 = Honest()
    kept = c2.checkpoints[1]
    lie(c2)
    witnessed = [] if lie is change_last else [kept]
    with pytest.raises(Tampered, match=text) as caught:
        check(c2, *witnessed)
    assert caught.value.kind == kind


def test_another_key_is_not_taken() -> None:
    other = algorithm(ED25519).generate()
    c2 = Honest(key=PublicKey(DATABASE, ED25519, algorithm(ED25519).public(other)))
    with pytest.raises(Tampered):
        check(c2)
    with pytest.raises(AuthenticationFailed):
        check(c2, pinned=None)
    with pytest.raises(AuthenticationFailed):
        check(Honest(), signed(4, Honest().truth[4], other))


def test_two_that_contradict_each_other_are_an_alarm() -> None:
    with pytest.raises(Tampered) as caught:
        Statements(KEY, [signed(4, bytes(32)), signed(4, bytes(31) + b"1")])
    assert caught.value.kind == FORKED


def test_what_a_witness_keeps_is_read_again(tmp_path: Path) -> None:
    kept = [signed(4, bytes(32)), signed(9, bytes(32))]
    for each in kept:
        witness.append(tmp_path / "kept", each)
    assert witness.load(tmp_path / "kept") == kept
    (tmp_path / "kept").write_bytes(b"no\n")
    with pytest.raises(InvalidInput):
        witness.load(tmp_path / "kept")
    for use in (lambda: witness.load(tmp_path / "none"), lambda: witness.append(tmp_path / "no" / "file", kept[0])):
        with pytest.raises(E4Error):
            use()


def test_a_line_of_cef_has_one_line_and_no_field_too_many() -> None:
    hostile = replace(record(1), principal="a=b|c\\\nd", action="x|y", outcome="conflict")
    line = cef.line({name: getattr(hostile, name) for name in Record.__slots__}, "1.0")
    assert line.startswith("CEF:0|E4|C2|1.0|x\\|y|x\\|y|6|rt=2500 externalId=1 suser=a\\=b|c\\\\\\nd outcome=conflict")
    assert "\n" not in line


def test_a_line_of_cef_has_nothing_that_steers_a_terminal() -> None:
    hostile = replace(record(1), objects=("client_name:x\x0b\x1b[31m\x85\u2028CEF:0|",), outcome="\x1b|")
    line = cef.line({name: getattr(hostile, name) for name in Record.__slots__}, "1.0\x1b")
    assert line.isprintable()
    assert r"cs2=client_name:x\x0b\x1b[31m\x85\u2028CEF:0|" in line
