# SPDX-License-Identifier: Apache-2.0
"""The keys of the database by the API: who opens them, and that what is asked for is so in the database and after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from e4c2.model import GRANTING, SEALED
from e4c2.settings import Settings
from e4kms.deks import Purpose
from tests.c2.served import Served, created, problem, serving, settings_in
from tests.c2.served_kms import (
    FIRST,
    FOLLOWED,
    SECOND,
    URIS,
    beginnings,
    deks,
    done,
    looked,
    path,
    rotated,
    sql,
    uris,
    with_rows,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path, kms=URIS)


@pytest.fixture
def c2(settings: Settings) -> Iterator[Served]:
    with with_rows(settings) as served:
        yield served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One that no test changes."""
    with with_rows(settings_in(tmp_path_factory.mktemp("shared"), kms=URIS)) as served:
        yield served


# Status


def test_at_first_all_kmses_open_all_keys_in_the_order_of_the_settings(shared: Served) -> None:
    status = shared.http.get("/v1/kms").json()
    assert set(status) == {"held_s", "failure", "stopped", "waits", "behind", "passed_over", "rows", "deks"}
    assert 0 < status["held_s"] <= shared.settings.keys_held_s
    assert (status["failure"], status["stopped"], status["waits"], status["passed_over"]) == (None, None, None, 0)
    assert status["behind"] == dict.fromkeys(Purpose, 0)
    assert status["rows"] > 0
    assert {(dek["purpose"], dek["version"], dek["state"]) for dek in status["deks"]} == {
        (purpose, 1, "active") for purpose in Purpose
    }
    keys = [json.loads((shared.settings.data / uri.removeprefix("file:")).read_text())["key_id"] for uri in URIS]
    for dek in status["deks"]:
        assert dek["wraps"] == [
            {"uri": uri, "key_id": key, "mechanism": "aes-256-gcm-siv"} for uri, key in zip(URIS, keys, strict=True)
        ]


def test_the_providers_are_those_of_the_settings(shared: Served) -> None:
    listed = shared.http.get("/v1/kms/providers").json()
    assert listed == {"items": [{"uri": uri, "failure": None} for uri in URIS], "next": None}


# Rotation


@pytest.mark.parametrize("purpose", Purpose)
def test_a_rotation_makes_a_version_that_all_kmses_open(c2: Served, purpose: str) -> None:
    made = rotated(c2, purpose)
    assert (made["purpose"], made["version"], made["state"], uris(made)) == (purpose, 2, "active", list(URIS))
    after = deks(c2)
    assert after[purpose, 2] == made
    assert after[purpose, 1]["state"] == ("retired" if purpose in FOLLOWED else "decrypt_only")
    assert {each: dek["state"] for each, dek in after.items() if each[0] != purpose} == {
        (other, 1): "active" for other in Purpose if other != purpose
    }


def test_sealed_columns_are_under_the_new_version_after_a_rotation(c2: Served) -> None:
    columns = {table: names for table, names in SEALED.items() if table != "idempotency"}
    assert beginnings(c2, 7, columns) == {b"\1\1\0\1\0\0\0"}
    before = sql(c2, "SELECT key FROM topic")
    rotated(c2, "records")
    assert beginnings(c2, 7, columns) == {b"\1\1\0\2\0\0\0"}
    assert sql(c2, "SELECT key FROM topic") != before
    rotated(c2, "records", 2)
    assert beginnings(c2, 7, columns) == {b"\1\1\0\3\0\0\0"}


def test_macs_are_under_the_new_version_after_a_rotation(c2: Served) -> None:
    columns = dict.fromkeys(GRANTING, ("mac",))
    assert beginnings(c2, 4, columns) == {b"\1\0\0\0"}
    rotated(c2, "authority")
    assert beginnings(c2, 4, columns) == {b"\2\0\0\0"}


def test_after_a_rotation_new_tokens_are_found_by_the_new_key_and_old_ones_still(c2: Served) -> None:
    rotated(c2, "lookup")
    created(c2.http.post("/v1/tokens", json={"name": "new", "grants": []}))
    found = dict(sql(c2, "SELECT name, substr(lookup, 1, 4) FROM token"))
    assert found == {"admin": b"\1\0\0\0", "spare": b"\1\0\0\0", "new": b"\2\0\0\0"}
    assert c2.http.get("/v1/topics").status_code == 200


def test_what_was_rotated_serves_after_a_restart(settings: Settings) -> None:
    with serving(settings) as c2:
        topic = c2.topic("kept", c2.client("member"))
        for purpose in Purpose:
            rotated(c2, purpose)
        before = deks(c2)
    with serving(settings) as c2:
        assert deks(c2) == before
        assert c2.http.get(f"/v1/topics/{topic}").json()["members"] == 1
        assert c2.http.post(f"/v1/topics/{topic}/rotate").status_code == 202
        assert sum(looked(c2, 1000)) == c2.http.get("/v1/kms").json()["rows"]


def test_only_the_active_version_is_rotated(c2: Served) -> None:
    rotated(c2, "audit")
    before = deks(c2)
    for version in (1, 3, 2**32 - 1):
        problem(c2.http.post(path("audit", version, "rotate")), 409, "conflict")
    assert deks(c2) == before


def test_a_rotation_waits_for_rows_that_are_behind(c2: Served) -> None:
    sql(c2, "UPDATE token SET mac = CAST(X'09000000' || substr(mac, 5) AS BLOB) WHERE name = 'spare'")
    behind = c2.http.get("/v1/kms").json()["behind"]
    assert behind == {purpose: int(purpose is Purpose.AUTHORITY) for purpose in Purpose}
    body = problem(c2.http.post(path("authority", 1, "rotate")), 409, "conflict")
    assert "wait" in body["detail"]
    assert (Purpose.AUTHORITY, 2) not in deks(c2)


# Wraps


def test_a_wrap_is_taken_away_and_added_again_in_either_place(c2: Served) -> None:
    for first, order in ((True, [FIRST, SECOND]), (False, [SECOND, FIRST])):
        left = done(c2.http.post(path("records", 1, "wraps/remove"), json={"uri": FIRST}), 200)
        assert uris(left) == [SECOND]
        again = done(c2.http.post(path("records", 1, "wraps"), json={"uri": FIRST, "first": first}), 201)
        assert uris(again) == order
        assert deks(c2)["records", 1] == again
        assert c2.http.post(path("records", 1, "wraps/check"), json={"uri": FIRST}).json() == {"lost": None}


def test_a_wrap_is_made_anew_in_its_place(c2: Served) -> None:
    before, others = deks(c2), "SELECT blob FROM dek_wrap WHERE purpose != 'lookup' OR uri != ? ORDER BY blob"
    mine = "SELECT blob FROM dek_wrap WHERE purpose = 'lookup' AND uri = ?"
    old, kept = sql(c2, mine, FIRST), sql(c2, others, FIRST)
    assert done(c2.http.post(path("lookup", 1, "wraps/rewrap"), json={"uri": FIRST}), 200) == before["lookup", 1]
    assert sql(c2, mine, FIRST) != old
    assert sql(c2, others, FIRST) == kept
    checked = c2.http.post(path("lookup", 1, "wraps/check"), json={"uri": FIRST})
    assert (checked.status_code, checked.json()) == (200, {"lost": None})


def test_a_wrap_that_is_there_is_not_added_again(shared: Served) -> None:
    before = deks(shared)
    for first in (True, False):
        refused = shared.http.post(path("audit", 1, "wraps"), json={"uri": SECOND, "first": first})
        assert SECOND in problem(refused, 409, "conflict")["detail"]
    assert deks(shared) == before


def test_the_last_wrap_is_not_taken_away(c2: Served) -> None:
    done(c2.http.post(path("records", 1, "wraps/remove"), json={"uri": FIRST}), 200)
    problem(c2.http.post(path("records", 1, "wraps/remove"), json={"uri": SECOND}), 409, "conflict")
    assert uris(deks(c2)["records", 1]) == [SECOND]


def test_a_wrap_is_not_taken_away_while_no_other_opens(c2: Served) -> None:
    sql(c2, "UPDATE dek_wrap SET key_id = ? WHERE purpose = 'records' AND uri = ?", "0" * 32, SECOND)
    problem(c2.http.post(path("records", 1, "wraps/remove"), json={"uri": FIRST}), 409, "conflict")
    assert uris(deks(c2)["records", 1]) == list(URIS)


@pytest.mark.parametrize("act", ["remove", "rewrap", "check"])
def test_a_wrap_that_is_not_there_is_not_found(c2: Served, act: str) -> None:
    done(c2.http.post(path("records", 1, "wraps/remove"), json={"uri": SECOND}), 200)
    problem(c2.http.post(path("records", 1, f"wraps/{act}"), json={"uri": SECOND}), 404, "not_found")


@pytest.mark.parametrize("act", ["", "/rewrap", "/check"])
def test_a_kms_that_is_not_configured_is_not_asked(shared: Served, act: str) -> None:
    uri = "file:third.json"
    body = problem(shared.http.post(path("records", 1, f"wraps{act}"), json={"uri": uri}), 422, "invalid_input")
    assert uri in body["detail"]
    assert not (shared.settings.data / "third.json").exists()


# Retirement


def test_a_former_version_that_nothing_is_under_is_destroyed(settings: Settings) -> None:
    with serving(settings) as c2:
        topic = c2.topic("kept")
        rotated(c2, "audit")
        gone = done(c2.http.post(path("audit", 1, "retire")), 200)
        assert (gone["state"], gone["wraps"]) == ("retired", [])
        assert sql(c2, "SELECT count(*) FROM dek_wrap WHERE purpose = 'audit' AND version = 1") == [(0,)]
        assert done(c2.http.post(path("audit", 1, "retire")), 200) == gone
        problem(c2.http.post(path("audit", 1, "wraps"), json={"uri": FIRST}), 409, "conflict")
        problem(c2.http.post(path("audit", 1, "wraps/rewrap"), json={"uri": FIRST}), 409, "conflict")
    with serving(settings) as c2:
        assert deks(c2)["audit", 1] == gone
        assert c2.http.post(f"/v1/topics/{topic}/rotate").status_code == 202


def test_a_dry_run_destroys_nothing_and_refuses_what_would_be_refused(c2: Served) -> None:
    rotated(c2, "lookup")
    rotated(c2, "audit")
    before = deks(c2)
    dry = {"dry_run": "true"}
    assert done(c2.http.post(path("audit", 1, "retire"), params=dry), 200) == before["audit", 1]
    problem(c2.http.post(path("audit", 2, "retire"), params=dry), 409, "conflict")
    problem(c2.http.post(path("lookup", 1, "retire"), params=dry), 409, "conflict")
    problem(c2.http.post(path("audit", 3, "retire"), params=dry), 404, "not_found")
    for query in ({"dry_run": "x"}, {"dry-run": "true"}):
        problem(c2.http.post(path("audit", 1, "retire"), params=query), 422, "invalid_input")
    assert deks(c2) == before


@pytest.mark.parametrize("purpose", Purpose)
def test_the_active_version_is_not_destroyed(shared: Served, purpose: str) -> None:
    problem(shared.http.post(path(purpose, 1, "retire")), 409, "conflict")
    assert deks(shared)[purpose, 1]["state"] == "active"


def test_a_version_is_not_destroyed_while_something_is_under_it(c2: Served) -> None:
    rotated(c2, "lookup")
    problem(c2.http.post(path("lookup", 1, "retire")), 409, "conflict")
    assert c2.http.get("/v1/topics").status_code == 200, "the first token is still found"
