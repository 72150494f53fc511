# SPDX-License-Identifier: Apache-2.0
"""Pairs in a token: made outside of the writer, never shared, and none that is not needed. Here the token is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest

from e4backends.fips import SUITE_PK
from e4c2 import c2keys
from e4c2.api import http
from e4c2.app import open_c2
from e4c2.model import Reason
from e4c2.token_keys import PairNeeded, TokenKeys
from e4core.errors import Conflict, KmsUnavailable
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4core.suite import PrivateKey, TakesHandles
from e4core.token_pairs import PASSED_OVER_MAX
from tests.c2.served import PATIENCE_S, bearer, operation, problem, settings_in
from tests.c2.world import World

PK = load_suite("pk")
URI = "memory:c2-{version}"


@dataclass
class Token:
    """Pairs by name; with ``asked``, making one goes on only when ``go`` is set."""

    pairs: dict[str, PrivateKey] = field(default_factory=dict)
    available: bool = True
    slow: bool = False
    asked: Event = field(default_factory=Event)
    go: Event = field(default_factory=Event)
    handles: int = 0

    def open(self, uri: str, algorithm: str) -> Handle:
        assert algorithm == "X25519"
        self.handles += 1
        return Handle(self, uri)

    def keys(self) -> TokenKeys:
        return TokenKeys(URI, PK, self.open)


@dataclass
class Handle:
    token: Token
    uri: str

    def create(self) -> None:
        self._require()
        if self.token.slow:
            self.token.asked.set()
            assert self.token.go.wait(PATIENCE_S)
        if self.uri in self.token.pairs:
            raise Conflict("there is one")
        self.token.pairs[self.uri] = PK.c2.load(PK.c2.generate())

    def public(self) -> bytes:
        self._require()
        return PK.c2.public(self.token.pairs[self.uri])

    def agree(self, peer_public: bytes, /) -> Secret:
        raise NotImplementedError

    def sign(self, message: bytes, /) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        self.token.handles -= 1

    def _require(self) -> None:
        if not self.token.available:
            raise KmsUnavailable("the token does not answer")


@pytest.fixture
def token() -> Iterator[Token]:
    token = Token()
    yield token
    token.go.set()


def test_the_first_name_that_is_free_is_taken_and_said(token: Token, caplog: pytest.LogCaptureFixture) -> None:
    assert token.keys().make(0).version == 1
    assert caplog.records == []
    foreign = dict(token.pairs)
    pair = token.keys().make(0)
    assert pair.version == 2
    assert pair.public == PK.c2.public(token.pairs["memory:c2-2"])
    assert foreign.items() <= token.pairs.items()
    assert "version 2" in caplog.text
    assert token.handles == 0


@dataclass
class Uses:
    """What was asked of a token that holds no pair; ``taken`` exists already."""

    taken: tuple[str, ...] = ()
    asked: list[tuple[str, str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    open_handles: int = 0

    def open(self, uri: str, algorithm: str) -> UseHandle:
        self.asked.append((uri, algorithm))
        self.open_handles += 1
        return UseHandle(self, uri)


@dataclass
class UseHandle:
    uses: Uses
    uri: str

    def create(self) -> None:
        if self.uri in self.uses.taken:
            raise Conflict("there is one")
        self.uses.made.append(self.uri)

    def public(self) -> bytes:
        return self.uri.encode()

    def agree(self, peer_public: bytes, /) -> Secret:
        raise NotImplementedError

    def sign(self, message: bytes, /) -> bytes:
        return self.uri.encode() + message

    def close(self) -> None:
        self.uses.open_handles -= 1


def test_a_suite_with_two_pairs_names_them_by_their_use() -> None:
    assert isinstance(SUITE_PK.c2, TakesHandles)
    uses = Uses()
    keys = TokenKeys(URI, SUITE_PK, uses.open)
    pair = keys.make(0)
    assert uses.asked == [("memory:c2-1-sign", "P-256 (ECDSA)"), ("memory:c2-1-kem", "P-256 (ECDH)")]
    assert (pair.version, pair.public) == (1, b"memory:c2-1-signmemory:c2-1-kem")
    assert uses.open_handles == 0
    private = keys.open(1)
    assert SUITE_PK.c2.public(private) == pair.public
    assert SUITE_PK.signature is not None
    assert SUITE_PK.signature.signer(private).sign(b"x") == b"memory:c2-1-signx"
    keys.open(1)
    assert uses.open_handles == 2
    keys.close()
    assert uses.open_handles == 0


@pytest.mark.parametrize("use", ["sign", "kem"])
def test_a_version_of_which_one_pair_is_there_is_passed_over(use: str) -> None:
    uses = Uses(taken=(f"memory:c2-1-{use}",))
    pair = TokenKeys(URI, SUITE_PK, uses.open).make(0)
    assert pair.version == 2
    assert pair.public == b"memory:c2-2-signmemory:c2-2-kem"
    assert uses.open_handles == 0


def test_a_token_in_which_all_names_are_taken_is_refused(token: Token) -> None:
    taken = PK.c2.load(PK.c2.generate())
    token.pairs = {f"memory:c2-{version}": taken for version in range(1, PASSED_OVER_MAX + 1)}
    with pytest.raises(Conflict, match="choose another name in the URI"):
        token.keys().make(0)
    assert len(token.pairs) == PASSED_OVER_MAX
    assert token.keys().make(1).version == PASSED_OVER_MAX + 1
    assert token.handles == 0


def test_a_change_asks_for_its_pair_only_when_nothing_else_is_in_its_way(pk: World, token: Token) -> None:
    pk.realm = replace(pk.realm, token_keys=token.keys())
    with pytest.raises(PairNeeded) as needed:
        pk.do(c2keys.new, Reason.ROUTINE)
    assert token.pairs == {}
    assert [key.version for key in pk.do(c2keys.all_versions)] == [1]
    pk.do(c2keys.new, Reason.ROUTINE, needed.value.make())
    with pk.refuses(Conflict):
        pk.do(c2keys.new, Reason.ROUTINE)
    assert [(key.version, key.in_token) for key in pk.do(c2keys.all_versions)] == [(1, False), (2, True)]


def test_a_pair_that_came_too_late_is_not_used(pk: World, token: Token) -> None:
    pk.realm = replace(pk.realm, token_keys=token.keys())
    first, second = (token.keys().make(1) for _ in range(2))
    pk.do(c2keys.new, Reason.COMPROMISED, second)
    with pytest.raises(PairNeeded) as needed:
        pk.do(c2keys.new, Reason.COMPROMISED, first)
    assert needed.value.make().version == 4
    assert [key.version for key in pk.do(c2keys.all_versions)] == [1, 3]


@asynccontextmanager
async def api(folder: Path, token: Token) -> AsyncIterator[httpx2.AsyncClient]:
    """A C2 with its first key in the database, and the next ones in ``token``."""
    settings = settings_in(folder, suite="pk")
    async with open_c2(settings) as (c2, text):
        assert text is not None
        app = http.build(replace(c2, realm=replace(c2.realm, token_keys=token.keys())))
        transport, headers = httpx2.ASGITransport(app), bearer(text.decode())
        async with httpx2.AsyncClient(transport=transport, headers=headers, base_url="http://c2") as client:
            yield client


async def new_key(client: httpx2.AsyncClient, reason: str = "routine", **headers: str) -> httpx2.Response:
    return await client.post("/v1/c2/key", json={"reason": reason}, headers=headers)


async def shown(client: httpx2.AsyncClient) -> list[Any]:
    keys = (await client.get("/v1/c2")).json()["c2_keys"]
    return [(key["version"], key["state"], key["in_token"]) for key in keys]


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(work, PATIENCE_S)

    asyncio.run(limited())


def test_a_slow_token_keeps_nobody_waiting(tmp_path: Path, token: Token) -> None:
    async def work() -> None:
        async with api(tmp_path, token) as client:
            token.slow = True
            change = asyncio.create_task(new_key(client))
            assert await asyncio.to_thread(token.asked.wait, PATIENCE_S)
            for name in "ab":
                assert (await client.post("/v1/topics", json={"name": name})).status_code == 201
            assert await shown(client) == [(1, "active", False)]
            assert not change.done()
            token.go.set()
            assert operation(await change)["subject"] == "2"
            assert await shown(client) == [(1, "active", False), (2, "pending", True)]

    run(work())


def test_a_change_that_is_sent_again_makes_no_other_pair(tmp_path: Path, token: Token) -> None:
    async def work() -> None:
        async with api(tmp_path, token) as client:
            key = {"Idempotency-Key": "once"}
            first, again = [operation(await new_key(client, **key)) for _ in range(2)]
            assert first == again
            problem(await new_key(client), 409, "conflict")
            assert list(token.pairs) == ["memory:c2-2"]

    run(work())


def test_two_changes_at_once_make_a_pair_each(tmp_path: Path, token: Token) -> None:
    async def work() -> None:
        async with api(tmp_path, token) as client:
            answers = await asyncio.gather(*[new_key(client, "compromised") for _ in range(3)])
            subjects = {operation(answer)["subject"] for answer in answers}
            keys = await shown(client)
            assert len(subjects) == 3
            assert {str(version) for version, *_ in keys} == {"1", *subjects}
            assert [state for _, state, _ in keys] == ["compromised"] * 3 + ["active"]
            assert [in_token for *_, in_token in keys] == [False] * 3 + [True]

    run(work())


def test_a_token_that_does_not_answer_is_told_and_nothing_is_changed(tmp_path: Path, token: Token) -> None:
    async def work() -> None:
        async with api(tmp_path, token) as client:
            token.available = False
            for reason in ("routine", "compromised"):
                problem(await new_key(client, reason), 503, "kms_unavailable")
            assert await shown(client) == [(1, "active", False)]
            token.available = True
            assert operation(await new_key(client))["subject"] == "2"

    run(work())


def test_nobody_without_a_token_of_the_api_makes_a_pair(tmp_path: Path, token: Token) -> None:
    async def work() -> None:
        async with api(tmp_path, token) as client:
            client.headers.pop("authorization")
            problem(await new_key(client), 401)
            assert token.pairs == {}

    run(work())
