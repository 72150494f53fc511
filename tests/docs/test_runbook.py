# SPDX-License-Identifier: Apache-2.0
"""The guide to keys at rest, typed; after its runbook, who has the former keys and writes to the database forges nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.errors import KmsError, Tampered
from e4core.kms import Kms
from e4core.plugins import load_kms, load_suite
from tests.c2.thief import Thief
from tests.docs.desk import Desk, Step, desk, steps_of

KNOWN = "passphrase:env:FLEET_PASSPHRASE"
FORGED = "e4_" + "forged-" * 6 + "x"


def test_who_has_the_former_keys_forges_nothing_after_the_runbook(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = list(steps_of("keys-at-rest"))
    begin = next(number for number, step in enumerate(steps) if "second.json" in step.text)
    (passphrase,) = (step.text.split("'")[1] for step in steps if "export FLEET_PASSPHRASE" in step.text)
    monkeypatch.setenv("FLEET_PASSPHRASE", passphrase)
    with desk() as reader:
        play(reader, steps[:begin])
        database = reader.folder / "e4-data" / "c2.sqlite"
        thief, wraps = Thief(database, {KNOWN: load_kms(KNOWN)}), set[tuple[object, ...]]()
        then = copy(database, tmp_path / "then")
        for step in steps[begin:]:
            wraps |= former_wraps(database)
            play(reader, [step])
        while_it_runs(reader, thief)

        thief.database = now = copy(database, tmp_path / "now")
        kmses = {f"file:{name}": load_kms(f"file://{database.parent}/{name}") for name in ("third.json",)}
        thief.insert_token(FORGED)
        with pytest.raises(Tampered, match="behind the C2's back"):
            opened(now, kmses)
        thief.balance()
        with pytest.raises(Tampered, match="not under the newest key"):
            opened(now, kmses)

    thief.database = then  # his own database, with all ways in that he ever saw
    thief.insert_token(FORGED)
    thief.balance()
    opened(then, {KNOWN: load_kms(KNOWN)})
    for wrap in wraps:
        with closing(sqlite3.connect(then)) as db, db:
            db.execute("INSERT OR REPLACE INTO dek_wrap VALUES (?, ?, ?, ?, ?, ?, ?)", wrap)
    with pytest.raises(KmsError, match="by none of the configured KMSes"):
        opened(then, kmses)


def play(reader: Desk, steps: list[Step]) -> None:
    for step in steps:
        reader.do(step)


def while_it_runs(reader: Desk, thief: Thief) -> None:
    thief.insert_token(FORGED)
    answer = httpx2.get(
        f"http://127.0.0.1:{reader.api_port}/v1/topics", headers={"Authorization": f"Bearer {FORGED}"}, trust_env=False
    )
    assert answer.status_code == 401
    thief.sql("DELETE FROM token WHERE name = 'forged'")
    thief.insert_client(os.urandom(16), "his", os.urandom(32))
    reader.do(Step("operator", "fails", "$ e4 topics add building/7 his\n"))
    thief.sql("DELETE FROM client WHERE name = 'his'")


def opened(database: Path, kmses: Mapping[str, Kms]) -> None:
    """As a C2 does when it starts."""
    store = Store(database)
    try:
        store.run(open_realm, load_suite("sk"), kmses, time.time)
    finally:
        store.close()


def former_wraps(database: Path) -> set[tuple[object, ...]]:
    """Of the versions that he knows, as anybody reads them in the database."""
    with closing(sqlite3.connect(database, timeout=20)) as db:
        known = "version = CASE purpose WHEN 'records' THEN 2 ELSE 1 END"
        return {
            (purpose, version, 100 + slot, *rest)
            for purpose, version, slot, *rest in db.execute(f"SELECT * FROM dek_wrap WHERE {known}")
        }


def copy(database: Path, to: Path) -> Path:
    """Whole, and also while somebody writes."""
    with closing(sqlite3.connect(database, timeout=20)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    to.chmod(0o600)
    return to
