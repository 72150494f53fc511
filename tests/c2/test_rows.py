# SPDX-License-Identifier: Apache-2.0
"""What somebody can do who writes to the database: delete, but neither forge, nor swap, nor roll back (`design.md` section 4)."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import approvals, c2keys, clients, deks, epochs, identities, links, plans, sequences, tokens, topics
from e4c2.access.marks import FoundBy, Mark
from e4c2.audit import chain, checkpoints
from e4c2.audit.records import Act
from e4c2.enrolment import tokens as enrolments
from e4c2.events import webhooks
from e4c2.model import GRANTING, Reason, metadata
from e4c2.recovery import restored
from e4c2.rows import Realm, find_all
from e4core.errors import Conflict, Denied, E4Error, NotFound, Tampered
from e4core.keys import Secret
from tests.c2 import waiting
from tests.c2.conftest import Worlds
from tests.c2.waiting import SECOND
from tests.c2.world import World
from tests.core.suites2 import SIV_PK

FORGED: dict[str, Any] = {
    "name": "other",
    "status": "suspended",
    "key": b"\x01" * 67,
    "pending_key": b"\x01" * 67,
    "pending_private": b"\x01" * 99,
    "c2_key": 9,
    "reports": 0,
    "state": "retired",
    "backup": bytes(16),
    "made": 1.5,
    "since": 2.5,
    "private": b"\x01" * 67,
    "public": b"\x09" + bytes(31),
    "check_value": bytes(16),
    "lookup": b"\x01" * 36,
    "expires": 4e9,
    "hash": bytes(32),
    "last": 2**32 - 1,
    "confirmed": 1,
    "grants": b"[[]]",
    "found_by": "group",
    "issuer": "https://other.example",
    "value": "other",
    "clients": "*",
    "topics": b"[]",
    "uses": 99,
    "used": 99,
    "number": 99,
    "base_number": 99,
    "base_hash": bytes(32),
    "algorithm": "other",
    "url": "https://other.example",
    "kinds": "other",
    "secret": b"\x01" * 67,
    "requester": "token/2",
    "digest": b"\x01" * 32,
    "about": b"{}",
    "decider": b"{}",
    "generation": 77,
    "mac": b"\x01\0\0\0" + bytes(32),
}
TOPICS = ("t", "u", "planned")
CERTIFICATE = Mark(FoundBy.SAN, "", "dns:press.example")
UNIQUE = {("client", "name"): "name || :it", ("topic", "name"): "name || :it"}
CELLS = [
    (table, column) for table, columns in GRANTING.items() for column in (*columns, "generation", "mac") if columns
] + [(table, column) for table in ("membership", "link") for column in ("generation", "mac")]


def peopled(world: World) -> None:
    for name in "ab":
        world.add(name)
    for holder, peer in (("a", "b"), ("b", "a")):
        world.do(links.send, holder, peer)
    world.topic("t", "a", "b")
    world.topic("u", "a")


def in_all_tables(world: World) -> None:
    peopled(world)
    world.topic("planned", "a", "b")
    world.do(plans.begin, "planned", plans.Terms())
    world.do(enrolments.create, "line 1", "plant/*", ["t"], 2, 600.0)
    world.do(webhooks.create, "hook", "https://receiver.example/")
    world.do(identities.create, "somebody", CERTIFICATE)
    waiting.decided(world)


@pytest.fixture
def fleet(worlds: Worlds) -> World:
    """Of Format 2, which has something in every table."""
    return worlds.peopled(SIV_PK.name, peopled)


@pytest.fixture
def whole(worlds: Worlds) -> World:
    """With a row in every table."""
    return worlds.peopled(SIV_PK.name, in_all_tables)


@pytest.fixture
def fleet1(worlds: Worlds) -> World:
    return worlds.peopled("pk", peopled)


def ids(db: sa.Connection, table: str) -> list[str]:
    return [each.hex() for each in db.scalars(sa.select(metadata.tables[table].c.id))]


def use(db: sa.Connection, realm: Realm, table: str, token: str) -> None:
    """Act on all rows of a table, old and forged names included; only a row that was tampered with may stop it."""
    uses: dict[str, list[Callable[[], object]]] = {
        "client": [partial(clients.show, db, realm, name) for name in ("other", "a", "b")],
        "topic": [partial(topics.rotate, db, realm, name) for name in ("other", *TOPICS)],
        "topic_epoch": [partial(topics.rotate, db, realm, name) for name in TOPICS],
        "command_sequence": [partial(sequences.held, db, realm, [realm.suite.derive_id(name) for name in "ab"])],
        "membership": [partial(topics.join, db, realm, name, ["a", "b"]) for name in TOPICS],
        "link": [partial(links.remove, db, realm, *pair) for pair in ("ab", "ba")],
        "c2_key": [partial(c2keys.all_versions, db, realm), partial(c2keys.finish, db, realm)],
        "dek": [partial(deks.verify, db, realm)],
        "token": [partial(tokens.authenticate, db, realm, token)],
        "recovery": [partial(restored.is_paused, db, realm)],
        "topic_next": [partial(epochs.of, db, realm, [bytes.fromhex(each) for each in ids(db, "topic")])],
        "approval": [partial(approvals.show, db, realm, (each, SECOND)) for each in ids(db, "approval")],
        "identity": [partial(identities.show, db, realm, each) for each in ids(db, "identity")],
        "enrolment": [partial(enrolments.show, db, realm, each) for each in ids(db, "enrolment")],
        "webhook": [partial(webhooks.show, db, realm, each) for each in ids(db, "webhook")],
        "audit_head": [partial(chain.append, db, realm, Act("test"))],
        "audit_key": [partial(checkpoints.public_key, db, realm)],
    }
    for each in uses[table]:
        with suppress(NotFound, Conflict):
            each()


@pytest.mark.parametrize(("table", "column"), [cell for cell in CELLS if cell != ("token", "lookup")])
def test_changed_cell_of_a_granting_row_is_found_when_it_is_used(whole: World, table: str, column: str) -> None:
    token = whole.do(tokens.create, "admin", 60.0)[1].decode()
    whole.do(c2keys.new, Reason.ROUTINE)
    whole.settle_down()
    key = ", ".join(column.name for column in metadata.tables[table].primary_key)
    whole.sql(
        f"UPDATE {table} SET {column} = :it WHERE ({key}) = (SELECT {key} FROM {table} LIMIT 1)", it=FORGED[column]
    )
    with whole.refuses(Tampered):
        whole.do(find_all, metadata.tables[table])
    with whole.refuses(Tampered):
        whole.do(use, table, token)


def test_token_moved_to_another_text_is_found(sk: World) -> None:
    rows = [sk.do(tokens.create, name)[1].decode() for name in ("viewer", "admin")]
    first, second = _copy(sk, "token")
    sk.sql("DELETE FROM token WHERE id = :id", id=first["id"])
    _put(sk, "token", second, {"lookup": first["lookup"]})
    for text in rows:
        with sk.refuses(Tampered, Denied):
            sk.do(tokens.authenticate, text)


@pytest.mark.parametrize(("table", "column"), [c for c in CELLS if c[0] in ("client", "topic", "membership", "link")])
def test_nothing_is_sealed_while_a_row_it_needs_is_forged(fleet: World, table: str, column: str) -> None:
    fleet.settle_down()
    if table == "link":
        fleet.do(links.send, "b", "a")
    else:
        fleet.do(topics.rotate, "t")
        fleet.do(topics.rotate, "u")
    waiting = len(fleet.states())
    fleet.sql(f"UPDATE {table} SET {column} = {UNIQUE.get((table, column), ':it')}", it=FORGED[column])
    assert fleet.claim() == []
    assert [each.refusal for each in fleet.deliveries() if each.state == "refused"] == ["tampered"] * waiting


@pytest.mark.parametrize("column", [column for table, column in CELLS if table == "c2_key"])
def test_nothing_is_sealed_while_the_c2_key_is_forged(fleet: World, column: str) -> None:
    fleet.do(topics.rotate, "t")
    fleet.sql(f"UPDATE c2_key SET {column} = :it", it=FORGED[column])
    with fleet.refuses(Tampered):
        fleet.claim()


def test_device_whose_row_is_forged_does_not_stop_the_others(fleet: World, caplog: pytest.LogCaptureFixture) -> None:
    fleet.settle_down()
    fleet.do(topics.rotate, "t")
    fleet.sql("UPDATE client SET reports = 1 - reports WHERE name = 'a'")
    fleet.settle_down()
    assert [(each.client, each.state) for each in fleet.deliveries()[-2:]] == [("a", "refused"), ("b", "confirmed")]
    assert [fleet.devices[name].key("t") == fleet.topic_key("t") for name in "ab"] == [False, True]
    assert "is refused: the MAC of row" in caplog.text


@pytest.mark.parametrize(
    ("table", "column"), [("command_sequence", "last"), ("topic_epoch", "last"), ("topic_epoch", "hash")]
)
def test_number_that_is_forged_stops_nobody_else(fleet: World, table: str, column: str) -> None:
    fleet.settle_down()
    fleet.do(topics.rotate, "t")
    fleet.do(topics.rotate, "u")
    of, it = {"command_sequence": ("client", "a"), "topic_epoch": ("topic", "u")}[table]
    fleet.sql(f"UPDATE {table} SET {column} = :it WHERE {of} = :of", it=FORGED[column], of=fleet.suite.derive_id(it))
    fleet.settle_down()
    assert (lambda each: (each.client, each.kind, each.state))(
        max((each for each in fleet.deliveries("b")), key=lambda each: each.id)
    ) == ("b", "topic", "confirmed")
    assert {each.refusal for each in fleet.deliveries("a") if each.state == "refused"} == {"tampered"}
    assert fleet.devices["b"].key("t") == fleet.topic_key("t")
    assert fleet.devices["a"].key("u") != fleet.topic_key("u")


def test_cells_swapped_between_rows_are_found_C_10(fleet: World) -> None:
    for table, column in (
        ("client", "key"),
        ("topic", "key"),
        ("client", "mac"),
        ("topic", "mac"),
        ("membership", "mac"),
    ):
        fleet.do(topics.rotate, "t")
        saved = _copy(fleet, table)
        (first, second), name = saved[:2], column
        _put(fleet, table, first, {name: second[name]})
        _put(fleet, table, second, {name: first[name]})
        assert fleet.claim() == []
        _put(fleet, table, first, first)
        _put(fleet, table, second, second)
        fleet.settle_down()


def test_whole_rows_swapped_are_found_C_10(fleet: World) -> None:
    for table in ("client", "topic"):
        fleet.do(topics.rotate, "t")
        first, second = saved = _copy(fleet, table)[:2]
        for row, other in ((first, second), (second, first)):
            _put(fleet, table, row, {name: value for name, value in other.items() if name not in ("id", "name")})
        assert fleet.claim() == []
        for row in saved:
            _put(fleet, table, row, row)
    fleet.settle_down()


def test_cell_rolled_back_to_an_older_value_is_found(fleet: World) -> None:
    old = _copy(fleet, "topic")[0]
    fleet.do(topics.rotate, old["name"])
    fleet.settle_down()
    for changes in ({"key": old["key"]}, {"generation": old["generation"]}, {"mac": old["mac"]}):
        present = next(row for row in _copy(fleet, "topic") if row["id"] == old["id"])
        _put(fleet, "topic", old, changes)
        with fleet.refuses(Tampered):
            fleet.do(topics.rotate, old["name"])
        _put(fleet, "topic", old, present)


def test_forged_membership_is_never_served(fleet: World) -> None:
    t, u = (fleet.suite.derive_id(name) for name in "tu")
    b = fleet.devices["b"]
    mine = next(row for row in _copy(fleet, "membership") if row["topic"] == t and row["client"] == b.id)
    fleet.sql(
        "INSERT INTO membership (topic, client, generation, mac, created) VALUES (:t, :c, 1, :m, 0)",
        t=u,
        c=bytes(b.id),
        m=mine["mac"],
    )
    fleet.do(topics.rotate, "u")
    assert b.id not in {each.client for each in fleet.claim()}
    with fleet.refuses(Tampered):
        fleet.do(topics.join, "u", ["b"])


def test_forged_link_is_never_served(fleet1: World) -> None:
    c = fleet1.add("c")
    fleet1.sql(
        "INSERT INTO link (holder, peer, generation, mac, created) SELECT holder, :c, 1, mac, 0 FROM link LIMIT 1",
        c=bytes(c.id),
    )
    fleet1.do(clients.new_key, "c", Reason.ROUTINE)
    fleet1.do(clients.confirm_key, "c")
    assert fleet1.claim() == []


def test_enrolment_of_a_foreign_key_by_sql_is_found(fleet1: World) -> None:
    """The key sealed for one client is no key for another, nor for another column."""
    rows = {row["name"]: row for row in _copy(fleet1, "client")}
    fleet1.do(clients.new_key, "a", Reason.ROUTINE)
    pending = {row["name"]: row for row in _copy(fleet1, "client")}["a"]["pending_key"]
    _put(fleet1, "client", rows["b"], {"key": pending})
    with fleet1.refuses(Tampered):
        fleet1.do(clients.show, "b")


@pytest.mark.parametrize("version", [1, 2])
def test_deleted_c2_key_is_an_error_of_ours(fleet: World, version: int) -> None:
    fleet.do(c2keys.new, Reason.ROUTINE)
    fleet.settle_down()
    fleet.do(topics.rotate, "t")
    fleet.sql("DELETE FROM c2_key WHERE version = :v OR :v = 1", v=version)
    with fleet.refuses(E4Error):
        fleet.claim()
    with fleet.refuses(E4Error):
        fleet.do(c2keys.finish)


def test_two_c2_keys_in_one_state_are_an_error_of_ours(fleet: World) -> None:
    fleet.do(c2keys.new, Reason.ROUTINE)
    fleet.sql("UPDATE c2_key SET state = 'pending'")
    with fleet.refuses(E4Error):
        fleet.do(c2keys.finish)


def test_tokens_are_refused_whatever_text_comes(sk: World) -> None:
    token, text = sk.do(tokens.create, "admin")
    assert sk.do(tokens.authenticate, text.decode()) == token
    for wrong in ("", "e4_", text.decode()[:-1], text.decode() + "x", "é", "\udc80", "\ud800", "\0"):
        with sk.refuses(E4Error, kind="unauthenticated"):
            sk.do(tokens.authenticate, wrong)


def test_no_key_is_ever_in_the_database_file(world: World) -> None:
    """Not in the file, the write-ahead log or a freed page; raw, in hexadecimal or base64."""
    a = world.add("a")
    world.add("b")
    secrets: list[bytes] = list(itertools.chain(*world.privates.values()))
    world.topic("t", "a", "b")
    secrets.append(world.topic_key("t"))
    world.do(topics.rotate, "t")
    secrets.append(world.topic_key("t"))
    world.do(clients.new_key, "a", Reason.ROUTINE)
    _files(world, secrets)
    world.settle_down()
    secrets.append(a.client.state.private)
    world.do(topics.leave, "t", ["b"])
    secrets.append(world.topic_key("t"))
    world.do(clients.new_key, "b", Reason.COMPROMISED)
    world.do(
        clients.enrol, "b", world.public(new := Secret(world.suite.device.generate())), world.do(c2keys.active_version)
    )
    secrets.append(new)
    if not world.suite.is_symmetric:
        world.do(c2keys.new, Reason.ROUTINE)
    secrets.append(world.do(tokens.create, "admin")[1])
    world.settle_down()
    world.do(clients.remove, "b")
    for key in list(world.realm.keyring._openers.values()):
        secrets.append(bytes(key._raw))
    _files(world, secrets)
    world.store.close()
    _files(world, secrets)
    world.open()


def _files(world: World, secrets: list[bytes]) -> None:
    names = [world.database.with_name(world.database.name + end) for end in ("", "-wal", "-journal")]
    data = b"".join(path.read_bytes() for path in names if path.exists())
    assert len(data) > 4096
    for secret in secrets:
        parts = [bytes(secret)] if len(secret) != 64 else [bytes(secret[:32])]  # the public half of a pair may be there
        for part in parts:
            for form in (part, part.hex().encode(), part.hex().upper().encode(), base64.b64encode(part)[:40]):
                assert form not in data


def _copy(world: World, table: str) -> list[dict[str, Any]]:
    return world.store.run(lambda db: [dict(row) for row in db.execute(sa.select(metadata.tables[table])).mappings()])


def _put(world: World, table: str, row: dict[str, Any], values: dict[str, Any]) -> None:
    of = metadata.tables[table]
    where = [column == row[column.name] for column in of.primary_key]
    world.store.run(lambda db: db.execute(sa.update(of).where(*where).values(**values)) and None)
