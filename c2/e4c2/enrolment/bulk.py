# SPDX-License-Identifier: Apache-2.0
"""Clients and topics registered many at a time: a handful of statements, however many they are.

Each has a result of its own, and what one is refused for keeps no other back. Whoever sends the same again after a crash finds
what is there already, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa

from e4c2 import c2keys, clients, commands, events, topics
from e4c2.clients import Client
from e4c2.commands import Operation
from e4c2.model import Status, client, topic
from e4c2.rows import Realm, Row, find_ids, insert_all, reveal
from e4c2.topics import Topic
from e4core.errors import Conflict, E4Error, NotFound
from e4core.keys import Secret

T = TypeVar("T")
N = TypeVar("N")


@dataclass(frozen=True, slots=True)
class New:
    """A client to register, as `clients.create` describes it."""

    name: str
    key: Secret = field(repr=False)
    c2_key: int
    id: bytes | None = None


class Made(NamedTuple, Generic[T]):
    """What is there now; ``is_new``: and was not before."""

    what: T
    is_new: bool


Result = Made[T] | E4Error


def create_clients(db: sa.Connection, realm: Realm, new: Sequence[New | E4Error]) -> list[Result[Client]]:
    """In this order; what is refused already stays so. Who is registered with the very same key and id already stays as it is."""
    asked = {each.c2_key for each in new if isinstance(each, New)}
    versions: dict[int, E4Error | None] = {each: _version(db, realm, each) for each in asked}

    def row_of(each: New) -> dict[str, Any]:
        clients.check(realm, each.name, each.key)
        if refusal := versions[each.c2_key]:
            raise refusal
        return clients.fresh(realm, each.name, each.key, each.c2_key, each.id)

    def is_same(present: Row, fresh: Row) -> bool:
        known = (present["name"], present["id"], present["status"])
        is_known = known == (fresh["name"], fresh["id"], Status.ACTIVE.value)
        return is_known and reveal(realm, client, present, "key") == fresh["key"]

    results, made = _create(db, realm, client, [_tried(row_of, each) for each in new], is_same)
    commands.tell_c2_keys(db, realm, made)
    told = [row["name"] for row in made]
    events.tell_each(db, realm, events.Kind.CLIENT_ENROLLED, clients=told, anew=False)
    return [_viewed(each, clients.view) for each in results]


def create_topics(db: sa.Connection, realm: Realm, names: Sequence[str | E4Error]) -> list[Result[Topic]]:
    """In this order; what is refused already stays so. Each with a fresh key and no members. A topic that exists stays as it is."""
    rows = [_tried(lambda name: topics.fresh(realm, name), name) for name in names]
    results, made = _create(db, realm, topic, rows, lambda present, fresh: present["name"] == fresh["name"])
    realm.format.renewed(db, realm, made)
    events.tell_each(db, realm, events.Kind.TOPIC_CREATED, topics=[row["name"] for row in made])
    counts = topics.count_members(db, [each.what["id"] for each in results if isinstance(each, Made)])
    return [_viewed(each, lambda row: topics.view(row, counts.get(row["id"], 0))) for each in results]


class Changed(NamedTuple):
    """One operation for all that was done, None: nothing; and of each client its name, or why not."""

    operation: Operation | None
    results: list[Result[str]]


def remove_clients(db: sa.Connection, realm: Realm, names: Sequence[str | E4Error], rekey: bool = True) -> Changed:
    """Forget these clients, as `clients.remove` does; what is refused already stays so."""
    rows = _by_name(db, realm, names)
    operation = clients.remove_all(db, realm, list(rows), rekey) if rows else None
    return Changed(operation, [_found(rows, each) for each in names])


def join(db: sa.Connection, realm: Realm, name: str, client_names: Sequence[str | E4Error]) -> Changed:
    """Make these clients members of a topic, as `topics.join` does. Raises: NotFound: the topic."""
    topics.require(db, realm, name)
    rows = _by_name(db, realm, client_names)
    results = [_found(rows, each, _require_active) for each in client_names]
    able = [each.what for each in results if isinstance(each, Made)]
    return Changed(topics.join(db, realm, name, able) if able else None, results)


def require_all(results: Sequence[Result[T]]) -> None:
    """Raises: E4Error: the first refusal, with the place of what was refused."""
    for place, each in enumerate(results):
        if isinstance(each, E4Error):
            raise type(each)(f"item {place}: {each}; nothing was changed", kind=each.kind)


def _create(
    db: sa.Connection,
    realm: Realm,
    table: sa.Table,
    rows: Sequence[dict[str, Any] | E4Error],
    is_same: Callable[[Row, Row], bool],
) -> tuple[list[Result[Row]], list[Row]]:
    """Results in the order of ``rows``, and the rows that are new."""
    wanted = [row for row in rows if not isinstance(row, E4Error)]
    present: dict[object, Row] = {}
    for key in ("name", "id"):
        for known in find_ids(db, realm, table, table.c[key], [each[key] for each in wanted]):
            present |= {known["name"]: known, known["id"]: known}
    fresh: list[dict[str, Any]] = []
    results: list[Result[Row] | int] = []
    for row in rows:
        if isinstance(row, E4Error):
            results.append(row)
        elif (other := present.get(row["name"]) or present.get(row["id"])) is None:
            results.append(len(fresh))
            fresh.append(row)
            present |= {row["name"]: row, row["id"]: row}
        elif "mac" in other and is_same(other, row):
            results.append(Made(other, is_new=False))
        else:
            results.append(Conflict(_taken(table, other, row)))
    made = insert_all(db, realm, table, fresh)
    return [Made(made[each], is_new=True) if isinstance(each, int) else each for each in results], made


def _taken(table: sa.Table, known: Row, row: Row) -> str:
    if "mac" not in known:
        return f"this {table.name} comes twice in the batch; leave one out"
    if known["name"] != row["name"]:
        return f"this id belongs to another {table.name}; choose another one"
    return f"a {table.name} of this name exists with another key or id, or is suspended; nothing is overwritten"


def _tried(make: Callable[[N], T], of: N | E4Error) -> T | E4Error:
    if isinstance(of, E4Error):
        return of
    try:
        return make(of)
    except E4Error as error:
        return error


def _version(db: sa.Connection, realm: Realm, version: int) -> E4Error | None:
    return _tried(lambda each: c2keys.check_version(db, realm, each), version)


def _viewed(result: Result[Row], view: Callable[[Row], T]) -> Result[T]:
    return result if isinstance(result, E4Error) else Made(view(result.what), result.is_new)


def _by_name(db: sa.Connection, realm: Realm, names: Sequence[str | E4Error]) -> dict[str, Row]:
    wanted = [each for each in names if not isinstance(each, E4Error)]
    return {row["name"]: row for row in find_ids(db, realm, client, client.c.name, wanted)}


def _require_active(row: Row) -> None:
    if row["status"] != Status.ACTIVE:
        raise Conflict(f"{row['name']} is suspended; enrol it anew")


def _found(rows: dict[str, Row], name: str | E4Error, check: Callable[[Row], None] = lambda _row: None) -> Result[str]:
    def made(name: str) -> Made[str]:
        if name not in rows:
            raise NotFound(f"there is no client {name!r}")
        check(rows[name])
        return Made(name, is_new=True)

    return _tried(made, name)
