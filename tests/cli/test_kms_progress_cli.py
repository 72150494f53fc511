# SPDX-License-Identifier: Apache-2.0
"""Whoever changes the wraps of a database at a terminal sees how far it is; nobody else is told."""

from __future__ import annotations

import signal

import pytest

from tests.cli.c2_server import C2, Asked
from tests.cli.command import program
from tests.cli.test_c2_cli_refusals import on_a_terminal
from tests.cli.test_kms_cli import Shop, c2, made, shop
from tests.cli.test_kms_rotation_cli import held_up

__all__ = ["c2", "made", "shop"]


def third_change(asked: Asked, before: list[Asked]) -> bool:
    return asked.method == "POST" and sum(each.method == "POST" for each in before) == 2


@pytest.mark.parametrize("change", ["add-wrap", "rewrap"])
def test_a_change_of_wraps_shows_how_many_keys_are_done(c2: C2, shop: Shop, change: str) -> None:
    named = [shop.spare] if change == "add-wrap" else []
    with held_up(c2.served, third_change) as (url, _, go):
        run = [*program(), "kms", change, *named, "--url", url]
        shown = on_a_terminal(run, c2.env, until="2/4", then=signal.SIGINT, code=130)
        go.set()
    assert "keys " in shown
    quiet = c2.run("kms", change, *named)
    assert (quiet.code, quiet.stderr) == (0, "")
