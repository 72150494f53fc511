# SPDX-License-Identifier: Apache-2.0
"""Ids are for good: published reports name them."""

from __future__ import annotations

from collections import Counter

import pytest

from e4conformance.families import TITLES
from e4conformance.kinds import KINDS
from scripts.reference import IDS

BOOKS = {name: kind.book for name, kind in KINDS.items()}
LISTED = [line.split(" ") for line in IDS.read_text().splitlines()]


def test_every_id_is_listed_with_its_kind() -> None:
    listed = {(number, kind) for number, kind, *rest in LISTED if not rest}
    assert {(each.id, name) for name, book in BOOKS.items() for each in book} == listed, (
        "new ones: make reference; one that is gone: write 'retired' behind it"
    )


def test_no_id_has_two_meanings() -> None:
    assert [number for number, times in Counter(line[0] for line in LISTED).items() if times > 1] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_requirement_says_all(kind: str) -> None:
    book = BOOKS[kind]
    assert book.kind == kind
    assert len(book) > 10
    for each in book:
        told = (each.says, each.source, each.advice)
        assert all(text == " ".join(text.split()) and 0 < len(text) <= 160 for text in told), each.id


def test_every_family_has_a_title() -> None:
    assert {each.id.split("-")[1] for book in BOOKS.values() for each in book} == set(TITLES)
