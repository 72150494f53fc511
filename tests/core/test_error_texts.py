# SPDX-License-Identifier: Apache-2.0
"""Texts of errors read alike, whether they were given one or have that of their class."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e4core.errors import E4Error, Replayed


def _tree(kind: type[E4Error]) -> Iterator[type[E4Error]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _tree(each)


@pytest.mark.parametrize("kind", [each for each in _tree(E4Error) if each.__module__ == E4Error.__module__])
def test_a_text_of_its_class_is_a_clause(kind: type[E4Error]) -> None:
    text = str(kind())
    assert text[0].islower()
    assert text[-1] not in ".\n"


def test_what_is_said_stays_as_it_is() -> None:
    assert str(Replayed()) == "this very message was accepted before"
    assert str(Replayed("E4 said so.")) == "E4 said so."
