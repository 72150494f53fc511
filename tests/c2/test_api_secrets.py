# SPDX-License-Identifier: Apache-2.0
"""Nothing secret leaves the C2: not in an answer, good or bad, and not in its log."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from e4c2.app import open_c2
from e4c2.model import SEALED, metadata
from e4c2.rows import Realm, reveal
from e4c2.settings import Settings
from e4core.plugins import load_suite
from tests.c2.served import Served, b64, created, device_key, serving, settings_in

PUBLIC = {("client", "key"), ("client", "pending_key")}
"""Sealed, but no secrets in public-key suites."""
REVEALED = {name: columns for name, columns in SEALED.items() if name not in ("idempotency", "ledger")}
"""An answer is what was answered, and no secret of this test; the ledger holds hashes."""


def live(c2: Served, key: bytes) -> None:
    """A bit of everything, with requests that are refused among it."""
    suite = load_suite(c2.settings.suite)
    http = c2.http
    client, other = c2.client("one", key), c2.client("other", suite=suite)
    topic = c2.topic("topic", client, other)
    http.post(f"/v1/topics/{topic}/rotate")
    http.post(f"/v1/clients/{other}/key", json={"reason": "routine"})
    http.post(f"/v1/clients/{client}/links", json={"peer": other})
    http.post("/v1/c2/key", json={"reason": "routine"})
    for body in (
        {"name": "one", "key": b64(key)},
        {"name": "two", "key": b64(key) + "!"},
        {"name": "two", "key": b64(key + b"x")},
        {"name": "\0", "key": b64(key)},
        {"name": "two", "key": [b64(key)]},
        {"name": "two", "key": b64(key), "colour": b64(key)},
        {"name": ["two"], "key": b64(key)},
    ):
        assert http.post("/v1/clients", json=body).is_client_error
    assert http.post("/v1/clients", content=f'{{"key": "{b64(key)}", "name": ').is_client_error
    http.post(f"/v1/clients/{client}/key", json={"reason": "compromised"})
    http.post(f"/v1/clients/{client}/enrol", json={"key": b64(key)})
    for path in (
        "/v1/c2",
        "/v1/clients",
        f"/v1/clients/{client}",
        f"/v1/clients/{client}/topics",
        "/v1/topics",
        f"/v1/topics/{topic}/members",
        "/v1/commands",
        "/v1/tokens",
        "/v1/openapi.json",
    ):
        assert http.get(path).status_code == 200


def forms(secret: bytes) -> list[bytes]:
    """How a secret could be written."""
    return [
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
    ]


def kept_secrets(settings: Settings) -> list[bytes]:
    """All that is sealed in the database, opened."""

    def reveal_all(db: sa.Connection, realm: Realm) -> list[bytes]:
        return [
            bytes(reveal(realm, table, row, column))
            for name, columns in REVEALED.items()
            for table in (metadata.tables[name],)
            for row in db.execute(sa.select(table)).mappings()
            for column in columns
            if row[column] is not None and (realm.suite.is_symmetric or (name, column) not in PUBLIC)
        ]

    async def story() -> list[bytes]:
        async with open_c2(settings) as (c2, _):
            return await c2.store.read(reveal_all, c2.realm)

    return asyncio.run(story())


@pytest.mark.parametrize("suite", ["sk", "pk"])
def test_no_key_is_in_any_answer_or_log(suite: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    symmetric = load_suite(suite).is_symmetric
    key = os.urandom(32) if symmetric else device_key(load_suite(suite))
    with serving(settings_in(tmp_path, suite=suite)) as c2:
        live(c2, key)
        token = c2.token
    secrets = [*kept_secrets(c2.settings), *([key] if symmetric else [])]
    assert len(secrets) >= 3
    answers, log = b"\n".join(c2.bodies), caplog.text.encode()
    assert b"one" in answers
    for secret in secrets:
        for form in forms(secret):
            assert form not in answers
            assert form not in log
    assert token.encode() not in answers
    assert token.encode() not in log


def test_the_database_holds_neither_keys_nor_tokens_in_clear(tmp_path: Path) -> None:
    key = os.urandom(32)
    with serving(settings_in(tmp_path)) as c2:
        live(c2, key)
        tokens = [c2.token, created(c2.http.post("/v1/tokens", json={"name": "another", "grants": []}))["token"]]
        stored = b"".join(file.read_bytes() for file in c2.settings.data.glob("c2.sqlite*"))
    for secret in [key, *(token.encode() for token in tokens)]:
        assert all(form not in stored for form in forms(secret))
