# SPDX-License-Identifier: Apache-2.0
"""The C2's own private key in a token: the fleet notices nothing, and the database holds nothing of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e4backends import sk as sk_suite
from e4c2 import c2keys, clients, topics
from e4c2.app import open_c2
from e4c2.model import C2KeyState, Reason, c2_key
from e4c2.rows import find_all, reveal
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4c2.token_keys import IN_TOKEN, PairNeeded, TokenKeys
from e4core.errors import InvalidInput, KmsError, Tampered, UnsupportedSuite
from e4core.plugins import load_suite
from e4kms import file as kek_file
from e4kms.keyring import UNLIMITED
from tests.c2.devices import Witness
from tests.c2.served import settings_in
from tests.c2.world import World
from tests.kms.pkcs11.tokens import Token

PK = load_suite("pk")
with_x25519 = pytest.mark.parametrize("token", ["softhsm"], indirect=True)


class TokenWorld(World):
    """A C2 whose own key is in a token; ``keys`` are its sessions there, which are gone with its process."""

    keys: TokenKeys | None = None

    def __init__(self, folder: Path, c2_key: str | None) -> None:
        self.c2_key = c2_key
        self.prepare(folder)
        super().__init__(PK, folder / "c2.sqlite", f"file://{folder}/kek.json")

    @staticmethod
    def prepare(folder: Path) -> None:
        kek_file.create(folder / "kek.json")

    def change(self, reason: Reason) -> None:
        """As the API does."""
        try:
            self.do(c2keys.new, reason)
        except PairNeeded as needed:
            self.do(c2keys.new, reason, needed.make())

    def open(self) -> None:
        self.store = Store(self.database)
        kms = {self._kek_uri: kek_file.open_kms(self._kek_uri)}
        self.log_out()
        self.keys = TokenKeys(self.c2_key, self.suite) if self.c2_key else None
        try:
            self.realm = self.store.run(open_realm, self.suite, kms, self.clock, UNLIMITED, self.keys)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.log_out()
        self.store.close()

    def log_out(self) -> None:
        if self.keys:
            self.keys.close()


def pairs(token: Token) -> str:
    """A URI of pairs that nobody else uses."""
    return token.uri(f"object=e4-c2-{os.urandom(6).hex()}-VERSION").replace("VERSION", "{version}")


@pytest.fixture
def uri(token: Token) -> str:
    return pairs(token)


@pytest.fixture
def world(uri: str, tmp_path: Path) -> Iterator[TokenWorld]:
    world = TokenWorld(tmp_path, uri)
    yield world
    world.close()


def stored(world: World) -> list[bytes]:
    rows = world.do(lambda db, realm: [bytes(reveal(realm, c2_key, r, "private")) for r in find_all(db, realm, c2_key)])
    return list(rows)


@with_x25519
def test_a_fleet_is_driven_by_a_c2_whose_key_never_leaves_its_token(world: TokenWorld) -> None:
    for name, kind in (("a", None), ("b", None), ("w", Witness)):
        world.add(name, *([kind] if kind else []))
    world.befriend("a", "b", "w")
    world.topic("t", "a", "b", "w")
    world.clock.now += 3
    assert world.readers("t", "a") == {"b", "w"}
    world.crash()
    world.do(topics.leave, "t", ["b"])
    world.settle_down()
    world.clock.now += 3
    assert world.readers("t", "a") == {"w"}
    assert stored(world) == [IN_TOKEN]


@with_x25519
def test_the_key_is_changed_in_overlap_to_another_pair_of_the_token(world: TokenWorld) -> None:
    world.add("a")
    world.topic("t", "a")
    world.change(Reason.ROUTINE)
    world.settle_down()
    world.do(c2keys.finish)
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.digest_fits("a")
    assert world.do(clients.show, "a").c2_key == 2
    assert [key.state for key in world.do(c2keys.all_versions)] == [C2KeyState.RETIRED, C2KeyState.ACTIVE]
    assert len({key.public for key in world.do(c2keys.all_versions)}) == 2
    assert stored(world) == [IN_TOKEN] * 2


@with_x25519
def test_a_key_that_was_given_up_is_used_no_more(world: TokenWorld) -> None:
    world.add("a")
    world.change(Reason.COMPROMISED)
    assert list(world.do(c2keys.versions).privates) == [2]
    world.crash()
    assert list(world.do(c2keys.versions).privates) == [2]


@with_x25519
def test_a_database_moves_its_key_into_a_token_by_a_change(uri: str, tmp_path: Path) -> None:
    world = TokenWorld(tmp_path, None)
    world.add("a")
    world.topic("t", "a")
    assert IN_TOKEN not in stored(world)
    world.store.close()
    world.c2_key = uri
    world.open()
    world.change(Reason.ROUTINE)
    world.settle_down()
    world.do(c2keys.finish)
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.digest_fits("a")
    assert stored(world)[1:] == [IN_TOKEN]
    world.close()


@with_x25519
def test_without_the_setting_it_says_what_is_missing(world: TokenWorld) -> None:
    world.store.close()
    world.c2_key = None
    with pytest.raises(KmsError, match="c2_key"):
        world.open()


@with_x25519
def test_another_pair_of_that_name_is_an_alarm(world: TokenWorld, token: Token) -> None:
    world.store.close()
    world.c2_key = pairs(token)
    TokenKeys(world.c2_key, PK).make(0)
    with pytest.raises(Tampered):
        world.open()


@with_x25519
def test_a_start_that_fails_leaves_nobody_logged_in(uri: str, token: Token, tmp_path: Path) -> None:
    async def start(c2_key: str) -> None:
        async with open_c2(settings_in(tmp_path, suite="pk", c2_key=c2_key)):
            pass

    asyncio.run(start(uri))
    TokenKeys(other := pairs(token), PK).make(0)
    with pytest.raises(Tampered):
        asyncio.run(start(other))
    token.log_in()  # which it refuses while somebody is


@with_x25519
def test_a_pair_is_never_shared_with_another_c2(world: TokenWorld, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    other = TokenWorld(tmp_path / "other", world.c2_key)
    for each in (world, other, world):
        each.change(Reason.ROUTINE)
        each.do(c2keys.finish)
        each.crash()
    versions = [[key.version for key in each.do(c2keys.all_versions)] for each in (world, other)]
    assert versions == [[1, 3, 5], [2, 4]]
    assert len({key.public for each in (world, other) for key in each.do(c2keys.all_versions)}) == 5
    other.close()


def test_a_token_without_x25519_says_so(token: Token, tmp_path: Path) -> None:
    if token.name == "softhsm":
        TokenKeys(pairs(token), PK).make(0)
        return
    with pytest.raises(KmsError) as caught:
        TokenWorld(tmp_path, pairs(token))
    assert caught.value.kind == "kms_unsupported"


def test_a_setting_that_cannot_work_is_refused_before_anything_is_opened() -> None:
    uri = "pkcs11:token=t;object=k?module-path=/m.so&pin-source=env:P"
    with pytest.raises(InvalidInput, match="version"):
        TokenKeys(uri, PK)
    with pytest.raises(UnsupportedSuite, match="sk"):
        TokenKeys(uri.replace("object=k", "object=k-{version}"), sk_suite.SUITE)
