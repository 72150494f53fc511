# SPDX-License-Identifier: Apache-2.0
"""Patterns mean the same here and in a database; nobody gives what they do not have; a stored grant cannot be changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from e4c2 import principals, tokens
from e4c2.access import grants, patterns
from e4c2.access.grants import ROLES, WHOLE, Grant, Permission, Role
from e4c2.access.patterns import Patterns
from e4c2.access.principal import Access, Principal, PrincipalKind
from e4c2.model import metadata, topic
from e4core.errors import Denied, InvalidInput, Tampered
from tests.c2.world import World

NAMES = st.text("ab*/é\ud7ff\ue000\uffff\U0010ffff", max_size=4)
LISTS = st.lists(NAMES.flatmap(lambda name: st.sampled_from([name, name + "*"])).filter(bool), max_size=4)


@pytest.fixture(scope="module")
def db() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.tables["topic"].create(connection)
        yield connection
    engine.dispose()


@settings(max_examples=150, deadline=None)
@given(texts=LISTS, names=st.sets(NAMES, max_size=6))
def test_a_condition_is_true_where_a_pattern_matches(db: sa.Connection, texts: list[str], names: set[str]) -> None:
    some = Patterns(tuple(texts))
    db.execute(sa.delete(topic))
    for n, name in enumerate(names):
        row = {"id": bytes([n]), "name": name, "key": b"", "generation": 1, "mac": b"", "created": 0, "rotated": 0}
        db.execute(sa.insert(topic), row)
    assert set(db.scalars(sa.select(topic.c.name).where(some.where(topic.c.name)))) == set(filter(some.match, names))


@settings(max_examples=150, deadline=None)
@given(mine=LISTS, theirs=LISTS, name=NAMES)
def test_what_is_covered_matches_nothing_else(mine: list[str], theirs: list[str], name: str) -> None:
    if Patterns(tuple(mine)).cover(theirs) and Patterns(tuple(theirs)).match(name):
        assert Patterns(tuple(mine)).match(name)


@settings(max_examples=150, deadline=None)
@given(texts=LISTS, prefix=NAMES, name=NAMES)
def test_those_that_begin_so_are_those_that_do_both(texts: list[str], prefix: str, name: str) -> None:
    some = Patterns(tuple(texts))
    assert some.beginning(prefix).match(name) is (some.match(name) and name.startswith(prefix))


def test_patterns_that_are_none_are_refused() -> None:
    for texts in ([""], ["a\0"], ["a" * 514], ["\ud800"], [str(n) for n in range(101)]):
        with pytest.raises(InvalidInput) as caught:
            patterns.check(texts)
        assert caught.value.kind == "bad_pattern"


def principal(*of: Grant) -> Principal:
    return Principal(PrincipalKind.TOKEN, "id", "name", of)


def test_a_grant_is_given_only_by_who_has_it() -> None:
    mine = Access(principal(Grant(Role.ADMIN, ("a/*", "b"), ("t/*",))), Permission.TOKENS_ISSUE)
    mine.require_all_of([Grant(Role.OPERATOR, ("a/1*", "b"), ("t/x",)), Grant(Role.ADMIN, (), ())])
    for beyond in (("a*",), ("b*",), ("a/*", "c"), ("*",)):
        with pytest.raises(Denied):
            mine.require_all_of([Grant(Role.VIEWER, beyond, ("t/*",))])
    with pytest.raises(Denied):
        mine.require_all_of([Grant(Role.VIEWER, ("b",), ("*",))])


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_no_role_but_the_admin_gives_roles(role: Role) -> None:
    with pytest.raises(Denied):
        Access(principal(Grant(role, ("*",), ("*",))), Permission.TOKENS_ISSUE)
    assert not Grant(role, ("*",), ("*",)).covers(WHOLE[0])


def test_two_grants_do_not_add_up_to_a_third() -> None:
    two = principal(Grant(Role.OPERATOR, ("a",), ("t",)), Grant(Role.OPERATOR, ("b",), ("u",)))
    joining = Access(two, Permission.MEMBERS_JOIN)
    joining.require(["a"], ["t"])
    for clients, topics in ((["a"], ["u"]), (["a", "b"], ["t"]), (["a"], ["t", "u"])):
        with pytest.raises(Denied):
            joining.require(clients, topics)


def test_what_is_seen_and_may_not_be_touched_is_forbidden() -> None:
    both = principal(Grant(Role.VIEWER, ("*",), ("*",)), Grant(Role.OPERATOR, ("a*",), ("a*",)))
    removing = Access(both, Permission.CLIENTS_REMOVE)
    assert removing.clients.match("b")
    with pytest.raises(Denied):
        removing.require(["b"])
    removing.require(["a1"])


def test_every_permission_is_in_the_table() -> None:
    assert set(ROLES) == set(Permission)


def test_stored_grants_cannot_be_changed_or_taken_away(world: World) -> None:
    made, text = world.do(tokens.create, "t", None, [Grant(Role.VIEWER, ("a",), ("b*",))])
    shown = principals.Credentials(text.decode())
    assert world.do(principals.authenticate, shown).grants == made.grants
    for stored in (grants.dump(WHOLE), b"[]", None):
        world.sql("UPDATE token SET grants = :to", to=stored)
        with pytest.raises(Tampered):
            world.do(principals.authenticate, shown)


def test_a_token_of_before_there_were_grants_may_do_everything(world: World) -> None:
    from e4c2.model import token
    from e4c2.rows import insert

    def of_before(db: sa.Connection) -> None:
        lookup = world.realm.keyring.lookup(b"e4_old")
        insert(db, world.realm, token, id=bytes(16), name="old", lookup=lookup, expires=None, grants=None, created=0.0)

    world.store.run(of_before)
    assert world.do(principals.authenticate, principals.Credentials("e4_old")).grants == WHOLE
