# SPDX-License-Identifier: Apache-2.0
"""``e4 c2 show``: what is said of the C2's keys reads as all else does."""

from __future__ import annotations

import re

from tests.cli.c2_server import C2


def test_its_keys_have_times_that_people_read_and_scripts_count_with(pk: C2) -> None:
    (line,) = (row for row in pk.table("c2", "show") if row[0] == "c2 keys")
    assert re.search(r"created \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", line[1])
    (key,) = pk.answer("c2", "show")["c2_keys"]
    assert isinstance(key["created"], float)
