# SPDX-License-Identifier: Apache-2.0
"""The home-made vectors: made by one implementation, verified by another (`tests.conformance.witness`)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e4conformance.strict import ARGUMENTS
from tests.conformance.strict.__main__ import SECTIONS, TARGET, text
from tests.conformance.witness import Witness

VECTORS: dict[str, Any] = json.loads(TARGET.read_text())
STORIES = [
    pytest.param(story, id=f"{section}: {story['name']}")
    for section, stories in VECTORS.items()
    if section != "meta"
    for story in stories
]


def due(step: dict[str, Any]) -> dict[str, Any]:
    given = ("op", "now", "why", *ARGUMENTS.get(step["op"], ()))
    return {name: value for name, value in step.items() if name not in given}


def test_the_file_is_what_the_script_writes() -> None:
    assert TARGET.read_text() == text()


def test_each_section_tells_stories_of_both_suites() -> None:
    assert set(VECTORS) == {"meta", *(section.__name__ for section in SECTIONS)}
    for section in SECTIONS:
        assert {story["suite"] for story in VECTORS[section.__name__]} == {"sk", "pk"}


@pytest.mark.parametrize("story", STORIES)
def test_an_independent_device_lives_the_same_story(story: dict[str, Any]) -> None:
    witness = Witness(story)
    for number, step in enumerate(story["steps"]):
        seen, expected = witness.facets(step), due(step)
        assert {name: seen.get(name) for name in expected} == expected, f"step {number} ({step['op']})"
