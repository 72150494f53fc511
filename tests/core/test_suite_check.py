# SPDX-License-Identifier: Apache-2.0
"""A suite that cannot work is refused when it is loaded; and the core, like its tests, knows no suite by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e4backends import pk, sk
from e4core.plugins import SUITES, names
from e4core.suite import AeadKey
from e4core.suite_check import fault
from tests.core.suites2 import GCM_SK, SIV_PK

ROOT = Path(__file__).parents[2]
ROOMS = ("e4core", "backends", "kms", "transports", "conformance", "device", "c2", "cli", "bench", "examples", "tests")
NAMES = set(names(SUITES))
_NEAR = rf"suite\b.*['\"]({'|'.join(NAMES)})['\"]"
"""A suite and the name of one in one line."""


class Part:
    """A part of a suite with some of its members replaced, or left out where that is None."""

    def __init__(self, part: Any, **other: Any) -> None:
        self._part = part
        self._other = other

    def __getattr__(self, name: str) -> Any:
        value = self._other.get(name, getattr(self._part, name))
        if value is None:
            raise AttributeError(name)
        return value


class _Key:
    """Adds 16 bytes, and gives back whatever it is told to."""

    def __init__(self, plaintext: bytes) -> None:
        self._plaintext = plaintext

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        return plaintext + bytes(16)

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        return self._plaintext


class _Panic(BaseException):
    """Of a library in Rust: no Exception."""


def _panics(_: bytes) -> AeadKey:
    raise _Panic("boom")


def _short(_: bytes) -> AeadKey:
    return Part(_Key(b""), seal=lambda _nonce, plaintext, _header: plaintext)


AEAD = GCM_SK.aead
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a format of tomorrow": ({"format": 3}, "is of format 3; there are 1 and 2"),
    "a format that is no number": ({"format": [2]}, "is of format [2]"),
    "a format that is a truth": ({"format": True}, "is of format True"),
    "no wire name": ({"wire_name": ""}, "1 to 32 printable ASCII"),
    "33 characters": ({"wire_name": "x" * 33}, "1 to 32 printable ASCII"),
    "a lone surrogate": ({"wire_name": "\ud800"}, "1 to 32 printable ASCII"),
    "an umlaut": ({"wire_name": "ä"}, "1 to 32 printable ASCII"),
    "a line break": ({"wire_name": "a\n"}, "1 to 32 printable ASCII"),
    "a wire name of bytes": ({"wire_name": b"x"}, "1 to 32 printable ASCII"),
    "no AEAD": ({"aead": None}, "lacks aead.key_len"),
    "no KDF": ({"kdf": None}, "lacks kdf.__call__"),
    "no control": ({"control": None}, "lacks control.overhead"),
    "a device that cannot load": ({"device": Part(GCM_SK.device, load=None)}, "lacks device.load"),
    "a signature that cannot verify": (
        {"signature": Part(SIV_PK.signature, verifier=None)},
        "lacks signature.verifier",
    ),
    "no key": ({"aead": Part(AEAD, key_len=0)}, "key_len 0; in Format 2 it is 1 to 64"),
    "a long key": ({"aead": Part(AEAD, key_len=65)}, "key_len 65; in Format 2 it is 1 to 64"),
    "a short nonce": ({"aead": Part(AEAD, nonce_len=3)}, "nonce_len 3; in Format 2 it is 0, or 4 and more"),
    "a short tag": ({"aead": Part(AEAD, tag_len=12)}, "tag_len 12; in Format 2 it is 16"),
    "a length that is text": ({"aead": Part(AEAD, tag_len="16")}, "tag_len '16'"),
    "a nonce in Format 1": ({"format": 1}, "nonce_len 12; in Format 1 it is 0"),
    "an overhead that is none": ({"control": Part(GCM_SK.control, overhead=-1)}, "has no length in control.overhead"),
    "a signature of no length": (
        {"signature": Part(SIV_PK.signature, signature_len="64")},
        "has no length in signature.signature_len",
    ),
    "a key that is refused": ({"aead": Part(AEAD, key_len=31)}, "fails when it is tried"),
    "a key without open": ({"aead": Part(AEAD, key=lambda _: Part(_Key(b""), open=None))}, "fails when it is tried"),
    "a key that panics": ({"aead": Part(AEAD, key=_panics)}, "fails when it is tried: _Panic('boom')"),
    "a tag that is not there": ({"aead": Part(AEAD, key=_short)}, "does not make a plaintext longer by tag_len"),
    "another plaintext": ({"aead": Part(AEAD, key=lambda _: _Key(b"other"))}, "does not open what it has sealed"),
}
"""What is replaced in a suite, and what is said of it."""


@pytest.mark.parametrize("wrong", FAULTS)
def test_what_cannot_work_is_found(wrong: str) -> None:
    change, said = FAULTS[wrong]
    found = fault(replace(GCM_SK, **change))
    assert found is not None
    assert said in found


@pytest.mark.parametrize("change", [{"wire_name": "x"}, {"wire_name": "x" * 32}, {"wire_name": "acme pk/1"}])
def test_what_may_work_is_taken(change: dict[str, Any]) -> None:
    assert [fault(replace(suite, **change)) for suite in (GCM_SK, SIV_PK, sk.SUITE, pk.SUITE)] == [None] * 4


def test_the_core_names_no_suite() -> None:
    named = [
        f"{path.name}:{node.lineno}: {node.value}"
        for path, tree in _trees("e4core")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMES
    ]
    assert not named


def test_nothing_branches_on_the_name_of_a_suite() -> None:
    """Suites are asked for what they are: `Suite.is_symmetric`, `Suite.format`, `Suite.signature`."""
    branches = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path, tree in _trees(*ROOMS, about=_NEAR)
        for node in _decisions(tree)
        if _names_a_suite(node)
    ]
    assert not branches


@pytest.mark.parametrize(
    "text",
    [
        'if suite == "sk": ...',
        'x = 1 if state.suite != "pk" else 2',
        'y = [x for x in z if suite.name in ("sk", "pk")]',
    ],
)
def test_a_branch_on_a_name_would_be_found(text: str) -> None:
    assert any(map(_names_a_suite, _decisions(ast.parse(text))))


def _trees(*folders: str, about: str = "") -> Iterator[tuple[Path, ast.Module]]:
    """Of files that match ``about``, as it takes seconds to parse them all."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if re.search(about, text := path.read_text()):
                yield path, ast.parse(text)


def _decisions(tree: ast.AST) -> Iterator[ast.Compare]:
    """Comparisons that no test merely asserts."""
    asserted = {inner for node in ast.walk(tree) if isinstance(node, ast.Assert) for inner in ast.walk(node.test)}
    conditional = {inner for node in asserted if isinstance(node, ast.IfExp) for inner in ast.walk(node.test)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and node not in asserted - conditional:
            yield node


def _names_a_suite(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    asked = any(ast.unparse(side).removesuffix(".name").endswith("suite") for side in sides)
    constants = (inner for side in sides for inner in ast.walk(side) if isinstance(inner, ast.Constant))
    return asked and any(constant.value in NAMES for constant in constants if isinstance(constant.value, str))
