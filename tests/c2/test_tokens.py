# SPDX-License-Identifier: Apache-2.0
"""Tokens come to an end, and who has none any more gets one on the machine of the C2, and nowhere else."""

from __future__ import annotations

import asyncio
import shutil
import stat
from pathlib import Path

import httpx2
import pytest

from e4c2 import ledger, tokens
from e4c2.app import recover
from e4c2.retention import KEPT_S
from e4c2.settings import Settings
from e4core.errors import Conflict, Denied, KeyNotFound, NotFound
from tests.c2.served import bearer, created, serving, settings_in
from tests.c2.test_app import start
from tests.c2.world import World
from tests.places import database_file


def names(world: World) -> set[str]:
    return {token.name for token in world.do(tokens.page)}


def recovered(settings: Settings) -> str:
    _, text = asyncio.run(recover(settings))
    assert settings.admin_token_file.read_bytes() == text + b"\n"
    assert stat.S_IMODE(settings.admin_token_file.stat().st_mode) == 0o600
    return text.decode()


def test_expired_tokens_leave_the_record_after_a_while_and_others_stay(sk: World) -> None:
    short, text = sk.do(tokens.create, "short", 60.0)
    sk.do(tokens.create, "long", 3.0 * KEPT_S)
    sk.do(tokens.create, "endless")
    sk.clock.now += 61 + KEPT_S - 2
    sk.do(tokens.prune)
    assert names(sk) == {"short", "long", "endless"}
    with sk.refuses(Denied):
        sk.do(tokens.authenticate, text.decode())
    sk.clock.now += 2
    sk.do(tokens.prune)
    assert names(sk) == {"long", "endless"}
    assert short.id not in {token.id for token in sk.do(tokens.page)}
    sk.store.run(ledger.verify, sk.realm.keyring)


def test_only_a_token_that_works_counts_as_one(sk: World) -> None:
    assert not sk.do(tokens.is_any_valid)
    sk.do(tokens.create, "short", 60.0)
    assert sk.do(tokens.is_any_valid)
    sk.clock.now += 60
    assert not sk.do(tokens.is_any_valid)
    token, _ = sk.do(tokens.create, "endless")
    assert sk.do(tokens.is_any_valid)
    sk.do(tokens.revoke, token.id)
    assert not sk.do(tokens.is_any_valid)


def test_a_start_makes_a_token_when_all_are_expired(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings) as c2:
        first = c2.token
        body = {"name": "short", "grants": [], "lifetime_s": 0.001}
        short = created(c2.http.post("/v1/tokens", json=body))
        (admin,) = [token["id"] for token in c2.http.get("/v1/tokens").json()["items"] if token["id"] != short["id"]]
        assert c2.http.delete(f"/v1/tokens/{admin}").status_code == 204
    with serving(settings) as c2:
        assert c2.token != first
        assert c2.http.get("/v1/topics").status_code == 200


def test_a_lost_token_is_replaced_and_others_stay_valid(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings) as c2:
        first = c2.token
        c2.topic("kept")
    settings.admin_token_file.unlink()
    second = recovered(settings)
    assert second != first
    with serving(settings) as c2:
        assert c2.token == second
        assert [topic["name"] for topic in c2.http.get("/v1/topics").json()["items"]] == ["kept"]
        assert {token["name"] for token in c2.http.get("/v1/tokens").json()["items"]} == {"admin"}
        assert httpx2.get(f"{c2.started.url}/v1/topics", headers=bearer(first), trust_env=False).status_code == 200


def test_none_is_made_while_the_c2_is_at_work(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2:
        before = c2.token
        with pytest.raises(Conflict, match="stop it"):
            asyncio.run(recover(c2.settings))
        assert c2.token == before
        assert len(c2.http.get("/v1/tokens").json()["items"]) == 1


def test_none_is_made_where_no_c2_ever_was(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="settings"):
        asyncio.run(recover(settings_in(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_none_is_made_for_who_has_the_database_and_not_its_key(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    start(settings)
    stolen = settings_in(tmp_path, data=tmp_path / "stolen")
    stolen.data.mkdir(0o700)
    shutil.copy(database_file(settings), database_file(stolen))
    with pytest.raises(KeyNotFound):
        asyncio.run(recover(stolen))
    assert not stolen.admin_token_file.exists()


def test_none_is_made_for_a_database_of_another_suite(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    start(settings)
    with pytest.raises(Conflict, match="of the suite sk"):
        asyncio.run(recover(settings_in(tmp_path, suite="pk")))
    recovered(settings)
