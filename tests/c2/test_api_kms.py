# SPDX-License-Identifier: Apache-2.0
"""The keys of the database by the API: who opens them, and that what is asked for is so in the database and after a restart."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from e4c2.model import GRANTING, SEALED
from e4c2.settings import Settings
from e4core.errors import KmsError
from e4kms.deks import Purpose
from tests.c2.served import PATIENCE_S, Served, created, problem, serving, settings_in
from tests.servers import free_port

FIRST, SECOND = URIS = ("file:kek.json", "file:second.json")
WRAPS = [("", 409), ("/remove", 404), ("/rewrap", 404), ("/check", 404)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path, kms=URIS)


@pytest.fixture
def c2(settings: Settings) -> Iterator[Served]:
    """A C2 with two KMSes, with rows under its keys, and with one that nobody uses."""
    with serving(settings) as served:
        served.topic("topic", served.client("client"))
        created(served.http.post("/v1/tokens", json={"name": "spare"}))
        yield served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One that no test changes."""
    with serving(settings_in(tmp_path_factory.mktemp("shared"), kms=URIS)) as served:
        served.topic("topic", served.client("client"))
        yield served


def deks(c2: Served) -> dict[tuple[str, int], Any]:
    return {(dek["purpose"], dek["version"]): dek for dek in c2.http.get("/v1/kms").json()["deks"]}


def uris(dek: Any) -> list[str]:
    return [wrap["uri"] for wrap in dek["wraps"]]


def path(purpose: str, version: object, rest: str) -> str:
    return f"/v1/kms/deks/{purpose}/{version}/{rest}"


def done(answer: httpx2.Response, status: int) -> Any:
    """The DEK that an answer shows."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"purpose", "version", "state", "wraps"}
    return answer.json()


def rotated(c2: Served, purpose: str, version: int = 1) -> Any:
    """The version that follows, as soon as all rows have followed too."""
    made = done(c2.http.post(path(purpose, version, "rotate")), 202)
    deadline = time.monotonic() + PATIENCE_S
    while any(c2.http.get("/v1/kms").json()["behind"][each] for each in ("records", "authority")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return made


def sql(c2: Served, statement: str, *values: object) -> list[Any]:
    """What somebody with access to the database sees or does."""
    with sqlite3.connect(c2.settings.database_file) as db:
        found = db.execute(statement, values).fetchall()
    db.close()
    return found


def beginnings(c2: Served, length: int, columns: Mapping[str, tuple[str, ...]]) -> set[bytes]:
    """How everything in these columns begins."""
    return {
        bytes(row[0])
        for table, names in columns.items()
        for name in names
        for row in sql(c2, f"SELECT substr({name}, 1, ?) FROM {table} WHERE {name} IS NOT NULL", length)
    }


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
    assert after[purpose, 1]["state"] == "decrypt_only"
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
    created(c2.http.post("/v1/tokens", json={"name": "new"}))
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
        rotated(c2, "records")
        gone = done(c2.http.post(path("records", 1, "retire")), 200)
        assert (gone["state"], gone["wraps"]) == ("retired", [])
        assert sql(c2, "SELECT count(*) FROM dek_wrap WHERE purpose = 'records' AND version = 1") == [(0,)]
        assert done(c2.http.post(path("records", 1, "retire")), 200) == gone
        problem(c2.http.post(path("records", 1, "wraps"), json={"uri": FIRST}), 409, "conflict")
        problem(c2.http.post(path("records", 1, "wraps/rewrap"), json={"uri": FIRST}), 409, "conflict")
    with serving(settings) as c2:
        assert deks(c2)["records", 1] == gone
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


# Looking through all rows


def looked(c2: Served, limit: int) -> list[int]:
    """How many rows each call looked at, from the first to the last; none looks at two tables."""
    counts, query = [], {"limit": str(limit)}
    while True:
        answer = c2.http.get("/v1/kms/rows", params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        counts.append(page["checked"])
        if page["next"] is None:
            return counts if counts[-1] else counts[:-1]
        query["cursor"] = page["next"]


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_all_rows_are_looked_at_page_by_page(shared: Served, limit: int) -> None:
    counts = looked(shared, limit)
    assert sum(counts) == shared.http.get("/v1/kms").json()["rows"]
    assert max(counts) <= limit


@pytest.mark.parametrize("limit", [1, 1000])
def test_a_row_that_was_changed_is_told(c2: Served, limit: int, caplog: pytest.LogCaptureFixture) -> None:
    sql(c2, "UPDATE token SET name = 'another' WHERE name = 'spare'")
    answer = c2.http.get("/v1/kms/rows", params={"limit": limit})
    while answer.is_success:
        answer = c2.http.get("/v1/kms/rows", params={"limit": limit, "cursor": answer.json()["next"] or pytest.fail()})
    body = problem(answer, 500, "tampered")
    assert "row" not in body["detail"]
    assert "in token" in caplog.text


def test_a_row_that_is_missing_is_told(c2: Served) -> None:
    sql(c2, "DELETE FROM token WHERE name = 'spare'")
    problem(c2.http.get("/v1/kms/rows"), 500, "tampered")


BAD_MARKS = ["", "topic", "topic/zz", "topic/00/00", "none/00", "TOPIC/00", "outbox/1", "dek/1", "dek/records/x"]


@pytest.mark.parametrize("mark", [*BAD_MARKS, f"dek/records/{2**63}"])
def test_a_cursor_that_was_not_made_here_is_refused(shared: Served, mark: str) -> None:
    cursor = base64.urlsafe_b64encode(mark.encode()).decode()
    problem(shared.http.get("/v1/kms/rows", params={"cursor": cursor}), 422, "bad_cursor")


# Whatever else is refused

ROUTES = ["rotate", "retire", *(f"wraps{act}" for act, _ in WRAPS)]


@pytest.mark.parametrize("purpose", ["0", "RECORDS", "Purpose.RECORDS", "record", "records%00", "%20records", "%C3%BC"])
@pytest.mark.parametrize("route", ROUTES)
def test_an_unknown_purpose_is_refused_and_no_alarm(
    shared: Served, purpose: str, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = problem(shared.http.post(path(purpose, 1, route), json={"uri": FIRST}), 422, "invalid_input")
    assert body["detail"] == "path.purpose: should be one of records, audit, authority, lookup"
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("version", [0, -1, 2**32, "x", "1.5", "%00"])
@pytest.mark.parametrize("route", ROUTES)
def test_a_version_that_cannot_be_is_refused(shared: Served, version: object, route: str) -> None:
    problem(shared.http.post(path("records", version, route), json={"uri": FIRST}), 422, "invalid_input")


@pytest.mark.parametrize("route", [route for route in ROUTES if route != "rotate"])
def test_a_version_that_is_not_there_is_not_found(shared: Served, route: str) -> None:
    problem(shared.http.post(path("records", 2, route), json={"uri": FIRST}), 404, "not_found")


@pytest.mark.parametrize("body", [None, {}, {"uri": 1}, {"uri": FIRST, "colour": 1}, [FIRST]])
@pytest.mark.parametrize("route", [route for route in ROUTES if "wraps" in route])
def test_a_bad_body_is_refused(shared: Served, body: object, route: str) -> None:
    before = deks(shared)
    problem(shared.http.post(path("records", 1, route), json=body), 422, "invalid_input")
    assert deks(shared) == before


# KMSes that go, and that fail


@pytest.mark.parametrize(("gone", "left"), [(FIRST, SECOND), (SECOND, FIRST)])
def test_a_kms_that_was_removed_opens_nothing_and_is_not_needed(settings: Settings, gone: str, left: str) -> None:
    with serving(settings) as c2:
        topic = c2.topic("kept")
        for purpose in Purpose:
            assert uris(done(c2.http.post(path(purpose, 1, "wraps/remove"), json={"uri": gone}), 200)) == [left]
    only_it = settings.model_copy(update={"kms": (gone,)})
    with pytest.raises(KmsError, match="by none of the configured KMSes"), serving(only_it):
        pass
    (settings.data / gone.removeprefix("file:")).unlink()
    with serving(settings.model_copy(update={"kms": (left,)})) as c2:
        assert c2.http.get("/v1/kms/providers").json()["items"] == [{"uri": left, "failure": None}]
        assert c2.http.post(f"/v1/topics/{topic}/rotate").status_code == 202
        assert sum(looked(c2, 1000)) == c2.http.get("/v1/kms").json()["rows"]


@pytest.mark.parametrize("act", ["check", "rewrap"])
def test_a_wrap_by_another_key_is_told_by_kind_and_sentence(c2: Served, act: str) -> None:
    sql(c2, "UPDATE dek_wrap SET key_id = ? WHERE purpose = 'audit' AND uri = ?", "0" * 32, SECOND)
    body = problem(c2.http.post(path("audit", 1, f"wraps/{act}"), json={"uri": SECOND}), 500, "kms_key_not_found")
    assert "use the right file" in body["detail"]
    assert c2.http.post(path("audit", 1, f"wraps/{act}"), json={"uri": FIRST}).is_success


@pytest.mark.parametrize("act", ["check", "rewrap"])
def test_a_wrap_that_was_changed_is_an_alarm_for_the_log(
    c2: Served, act: str, caplog: pytest.LogCaptureFixture
) -> None:
    sql(c2, "UPDATE dek_wrap SET blob = zeroblob(length(blob)) WHERE purpose = 'audit' AND uri = ?", SECOND)
    body = problem(c2.http.post(path("audit", 1, f"wraps/{act}"), json={"uri": SECOND}), 500, "tampered")
    assert "integrity alarm" in body["detail"]
    assert "restore it from a backup" in caplog.text


def test_a_kms_that_does_not_answer_is_told_by_kind_and_sentence_and_nothing_is_changed(
    settings: Settings, tmp_path: Path
) -> None:
    with serving(settings) as c2:
        before = deks(c2)
    token = tmp_path / "vault-token"
    token.touch(0o600)
    token.write_text("s.token\n")
    away = f"vault+http://127.0.0.1:{free_port()}/transit/keys/e4?token-file={token}&timeout=1"
    with serving(settings.model_copy(update={"kms": (*URIS, away)})) as c2:
        *_, last = c2.http.get("/v1/kms/providers").json()["items"]
        assert last["uri"] == away
        for answer in (
            c2.http.post(path("records", 1, "wraps"), json={"uri": away}),
            c2.http.post(path("records", 1, "rotate")),
        ):
            body = problem(answer, 503, "kms_unavailable")
            assert body["detail"] == last["failure"]
            assert "127.0.0.1" in body["detail"]
            assert answer.headers["retry-after"]
        assert deks(c2) == before
        assert c2.http.get("/v1/ready").status_code == 200, "the others open the keys"


def test_no_answer_and_no_log_holds_a_key_of_a_kms(c2: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rotated(c2, "records")
    for act, _ in WRAPS:
        c2.http.post(path("records", 2, f"wraps{act}"), json={"uri": SECOND})
    told = b"\n".join(c2.bodies) + caplog.text.encode()
    for uri in URIS:
        kek = json.loads((c2.settings.data / uri.removeprefix("file:")).read_text())
        assert kek["key_id"].encode() in told
        assert kek["key"].encode() not in told
        assert base64.b64decode(kek["key"]).hex().encode() not in told
