# SPDX-License-Identifier: Apache-2.0
"""Errors become statuses by one table; what fails inside is told to the log and not to the caller."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from e4c2.api.status import BY_CLASS, of_error, problem, status_of
from e4core import errors
from e4core.errors import Denied, E4Error, InvalidInput, KeyNotFound, KmsError, Tampered
from tests.c2.served import Served, serving, settings_in
from tests.c2.served import problem as refused
from tests.places import database_file

LEAVES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, E4Error)]


def content(answer: Response) -> Any:
    return json.loads(bytes(answer.body))


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "stranger"])
@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_is_answered_as_a_problem(kind: type[E4Error], is_known: bool) -> None:
    answer = of_error(kind("the sentence"), is_known)
    body = content(answer)
    assert answer.status_code == body["status"] == status_of(kind()) >= 400
    assert body["kind"] == kind.kind
    told = answer.status_code < 500 or (issubclass(kind, KmsError) and (is_known or kind is not Tampered))
    assert ("the sentence" in body["detail"]) is told


def test_the_table_names_no_error_twice_and_has_a_root() -> None:
    assert BY_CLASS[E4Error] == 500
    assert status_of(KeyNotFound()) == 500
    assert status_of(Denied()) == 403
    assert status_of(Denied(kind="unauthenticated")) == 401


def test_integrity_alarms_tell_a_stranger_nothing_but_that() -> None:
    body = content(of_error(Tampered("the MAC of row ab in client does not fit"), is_known=False))
    assert "integrity" in body["detail"]
    assert "row" not in body["detail"]


def test_details_are_short_and_can_be_sent() -> None:
    assert len(content(problem(422, "x" * 10_000, "k"))["detail"]) <= 500
    assert content(of_error(InvalidInput("\ud800"), True))["detail"] == "?"


@pytest.fixture
def c2(tmp_path: Path) -> Iterator[Served]:
    with serving(settings_in(tmp_path)) as served:
        yield served


def forge(c2: Served, change: str) -> None:
    with sqlite3.connect(database_file(c2.settings)) as db:
        db.execute(change)
    db.close()


def test_a_forged_row_is_an_alarm_that_names_it_and_what_to_do(c2: Served, caplog: pytest.LogCaptureFixture) -> None:
    client = c2.client("forged")
    forge(c2, "UPDATE client SET status = 'suspended'")
    body = refused(c2.http.get(f"/v1/clients/{client}"), 500, "tampered")
    assert f"the MAC of row {client} in client does not fit" in body["detail"]
    assert body["detail"].endswith("restore it from a backup")
    assert body["detail"] in caplog.text
    assert c2.http.get("/v1/health").status_code == 200


def test_whose_token_is_forged_is_told_no_more_than_that(c2: Served, caplog: pytest.LogCaptureFixture) -> None:
    forge(c2, "UPDATE token SET expires = 99999999999")
    body = refused(c2.http.get("/v1/clients"), 500, "tampered")
    assert "in token" in caplog.text
    assert "token" not in body["detail"]


def test_a_bug_is_answered_and_logged_without_its_text(c2: Served, caplog: pytest.LogCaptureFixture) -> None:
    with sqlite3.connect(database_file(c2.settings)) as db:
        db.execute(
            "INSERT INTO operation (id, kind, subject, created) VALUES (?, 'kind', 'subject', 'no number')",
            (bytes(range(16)),),
        )
    db.close()
    body = refused(c2.http.get(f"/v1/operations/{bytes(range(16)).hex()}"), 500, "internal")
    assert "no number" not in json.dumps(body)
    assert "no number" not in caplog.text
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    assert c2.http.get("/v1/topics").status_code == 200
