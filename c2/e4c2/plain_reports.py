# SPDX-License-Identifier: Apache-2.0
"""Reports as nearly all are, of many devices by a handful of statements; whatever is not quite so is left to who looks at each."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from e4c2 import c2keys, plain_acks, plain_hellos, sequences
from e4c2.model import Status, client
from e4c2.plain import Case
from e4c2.present import channel
from e4c2.rows import Realm, Row, find_ids, update_all
from e4core import report
from e4core.errors import AuthenticationFailed, Tampered
from e4core.keys import ClientId
from e4core.report import Report


def take(db: sa.Connection, realm: Realm, keys: c2keys.Versions, reports: Mapping[bytes, bytes]) -> set[bytes]:
    """Take the plain ones; of which devices they were.

    Args: reports: id of the client that each claims to be of, and its payload.
    """
    try:
        cases = _cases(db, realm, keys, reports)
        done = [*plain_acks.fitting(db, realm, cases), *plain_hellos.fitting(db, realm, cases)]
        if done:
            _write(db, realm, done)
    except Tampered:  # by one of these or by what one shares with others; who looks at each says so
        return set()
    return {each.device["id"] for each in done}


def _cases(db: sa.Connection, realm: Realm, keys: c2keys.Versions, reports: Mapping[bytes, bytes]) -> list[Case]:
    opened: dict[bytes, tuple[Row, Report]] = {}
    for row in find_ids(db, realm, client, client.c.id, reports):
        if row["status"] == Status.ACTIVE and row["pending_key"] is None and row["c2_key"] == keys.newest:
            content = _opened(realm, keys, row, reports[row["id"]])
            if content is not None:
                opened[row["id"]] = row, content
    held = sequences.held(db, realm, opened) if opened else {}
    return [Case(row, content, held.get(of)) for of, (row, content) in opened.items()]


def _opened(realm: Realm, keys: c2keys.Versions, row: Row, payload: bytes) -> Report | None:
    """What opens under the key in use."""
    way = channel(realm, keys, row, "key", row["c2_key"])
    try:
        content: Report = report.open_report(realm.suite, way, ClientId(row["id"]), payload)
    except AuthenticationFailed:
        return None
    return content


def _write(db: sa.Connection, realm: Realm, done: Collection[Case]) -> None:
    """What follows from them: all of it, or nothing."""
    with db.begin_nested():
        _learn(db, realm, done)
        plain_acks.write(db, realm, done)
        plain_hellos.write(db, realm, done)


def _learn(db: sa.Connection, realm: Realm, done: Collection[Case]) -> None:
    """Who reports for the first time is one that does."""
    new = [(each.device, {"reports": True}) for each in done if not each.device["reports"]]
    update_all(db, realm, client, new)
