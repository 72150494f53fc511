# SPDX-License-Identifier: Apache-2.0
"""The keys of the database by the API: what was changed, what is refused, and KMSes that fail are told and change nothing."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from e4c2.settings import Settings
from e4core.errors import KmsError
from e4kms.deks import Purpose
from tests.c2.served import Served, problem, serving, settings_in
from tests.c2.served_kms import (
    FIRST,
    SECOND,
    URIS,
    WRAPS,
    deks,
    done,
    looked,
    path,
    rotated,
    sql,
    uris,
    with_rows,
)
from tests.servers import free_port


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


# Looking through all rows


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
    assert "in token does not fit" in body["detail"]
    assert body["detail"] in caplog.text


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
BODIES = {route: {"uri": SECOND} if "wraps" in route else None for route in ROUTES}


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


@pytest.mark.parametrize("route", [route for route in ROUTES if route != "wraps/check"])
def test_a_condition_is_refused_as_keys_have_no_versions_to_name(shared: Served, route: str) -> None:
    before = deks(shared)
    for condition in ("*", '"1-0-0"', "none"):
        answer = shared.http.post(path("records", 1, route), json=BODIES[route], headers={"If-Match": condition})
        problem(answer, 422, "bad_condition")
    assert deks(shared) == before


def test_a_change_that_is_sent_again_finds_itself_done_whatever_its_idempotency_key(c2: Served) -> None:
    headers = {"Idempotency-Key": "once"}
    for route, body, status, again in (
        ("wraps/remove", {"uri": FIRST}, 200, 404),
        ("wraps", {"uri": FIRST}, 201, 409),
        ("wraps/rewrap", {"uri": FIRST}, 200, 200),
        ("rotate", None, 202, 409),
    ):
        done(c2.http.post(path("audit", 1, route), json=body, headers=headers), status)
        assert c2.http.post(path("audit", 1, route), json=body, headers=headers).status_code == again, route


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
def test_a_wrap_that_was_changed_is_an_alarm_that_says_what_to_do(c2: Served, act: str) -> None:
    sql(c2, "UPDATE dek_wrap SET blob = zeroblob(length(blob)) WHERE purpose = 'audit' AND uri = ?", SECOND)
    body = problem(c2.http.post(path("audit", 1, f"wraps/{act}"), json={"uri": SECOND}), 500, "tampered")
    assert "restore it from a backup" in body["detail"]


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
