# SPDX-License-Identifier: Apache-2.0
"""``e4 kms ... --dry-run`` tells of nothing that the C2 would refuse, as it asks it or knows what it names in its settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.c2.served import serving, settings_in
from tests.cli.c2_server import C2


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[C2]:
    """Opened by two KMSes, of which the settings name one."""
    folder = tmp_path_factory.mktemp("c2")
    spare = spare_in(folder)
    with serving(settings_in(folder)) as served:
        C2(served, folder).ok("kms", "init-token-key", spare)
    with serving(settings_in(folder, kms=("file:kek.json", spare))) as served:
        C2(served, folder).ok("kms", "add-wrap", spare)
    with serving(settings_in(folder)) as served:
        yield C2(served, folder)


def spare_in(folder: Path) -> str:
    return f"file://{folder}/spare.json"


@pytest.mark.parametrize(
    ("change", "uri"),
    [(("add-wrap",), "file:another.json"), (("migrate", "--to"), ""), (("rewrap",), "")],
    ids=["add-wrap", "migrate", "rewrap"],
)
def test_what_the_c2_would_refuse_is_refused(c2: C2, change: tuple[str, ...], uri: str) -> None:
    command = ("kms", *change, uri or spare_in(c2.folder))
    said = c2.refused(3, *command, "--dry-run")
    assert said == c2.refused(3, *command)
    assert said.endswith("is not among the KMSes of the settings: file:kek.json")


def test_what_is_done_already_needs_no_kms(c2: C2) -> None:
    planned = c2.answer("kms", "add-wrap", spare_in(c2.folder), "--dry-run")
    assert {row["result"] for row in planned} == {"nothing to do"}


def test_a_wrap_is_not_to_be_removed_while_nothing_else_opens_the_key(c2: C2) -> None:
    """The other KMS has a wrap, and is not in the settings: only the C2 can tell that it opens nothing now."""
    command = ("kms", "remove-wrap", "file:kek.json")
    said = c2.refused(9, *command, "--dry-run")
    assert said == c2.refused(9, *command)
    assert "nothing opens version 1 of the" in said
