# SPDX-License-Identifier: Apache-2.0
"""The id of a row with a key of several parts tells where one part ends: nothing moves from one to the next unseen."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from e4c2 import resealing
from e4c2.model import link, membership, metadata
from e4c2.rows import find_all, row_id
from e4core.errors import Tampered
from tests.c2.world import World

MOVED = {
    "membership": "UPDATE membership SET topic = CAST(topic || substr(client, 1, 1) AS BLOB), client = substr(client, 2)",
    "link": "UPDATE link SET peer = CAST(substr(holder, 16) || peer AS BLOB), holder = substr(holder, 1, 15)",
}


@pytest.mark.parametrize("table", MOVED)
def test_a_byte_that_moves_from_one_id_to_the_other_is_found(pk: World, table: str) -> None:
    for name in "ab":
        pk.add(name)
    pk.befriend("a", "b")
    pk.topic("t", "a")
    keys = {str(row) for row in pk.dump()[table]}
    with closing(sqlite3.connect(pk.database)) as db, db:  # which minds no foreign key
        db.execute(MOVED[table])
    assert keys.isdisjoint({str(row) for row in pk.dump()[table]})
    with pk.refuses(Tampered):
        pk.do(find_all, metadata.tables[table])
    with pk.refuses(Tampered):
        mark = None
        while True:
            mark = pk.do(resealing.look, mark).after
            if mark is None:
                break


def test_an_id_is_its_parts_each_after_its_length() -> None:
    two = row_id(membership, {"topic": b"\1" * 17, "client": b"\2" * 15})
    assert two == b"\x11\0\0\0" + b"\1" * 17 + b"\x0f\0\0\0" + b"\2" * 15
    assert row_id(link, {"holder": b"", "peer": b"\3"}) == b"\0\0\0\0\1\0\0\0\3"
    assert row_id(metadata.tables["topic"], {"id": b"\4" * 16}) == b"\4" * 16
