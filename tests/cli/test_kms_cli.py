# SPDX-License-Identifier: Apache-2.0
"""``e4 kms`` at a real C2: who can open its database is shown and changed, and nothing that was interrupted is lost."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.c2.served import PATIENCE_S, Served, serving, settings_in
from tests.cli.c2_server import C2
from tests.places import database_file

FIRST = "file:kek.json"
PURPOSES = ["audit", "authority", "lookup", "records"]
Wraps = dict[tuple[str, int], list[str]]


class Shop:
    """A C2 that began with one KMS and may now use a ``spare`` one too, and commands for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spare = f"file://{folder}/spare.json"

    @contextlib.contextmanager
    def open(self, *kmses: str) -> Iterator[C2]:
        with serving(settings_in(self.folder, kms=kmses or (FIRST, self.spare))) as served:
            yield C2(served, self.folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all of them begin with; to be copied."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    with serving(settings_in(shop.folder)) as served:
        for name in ("one", "two"):
            served.client(name)
        served.topic("t")
        C2(served, shop.folder).ok("kms", "init-token-key", shop.spare)
    return shop.folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Shop:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Shop(tmp_path)


@pytest.fixture
def c2(shop: Shop) -> Iterator[C2]:
    with shop.open() as c2:
        yield c2


def keys(c2: C2) -> dict[tuple[str, int], Any]:
    return {(key["purpose"], key["version"]): key for key in c2.answer("kms", "status")["deks"]}


def wraps(c2: C2) -> Wraps:
    """Which KMSes open each key that is in use, in the order in which they are asked."""
    return {name: [wrap["uri"] for wrap in key["wraps"]] for name, key in keys(c2).items() if key["state"] != "retired"}


def all_by(*uris: str) -> Wraps:
    return {(purpose, 1): list(uris) for purpose in PURPOSES}


def results(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["step"], row["result"]) for row in rows]


class TestStatus:
    def test_it_shows_each_key_who_opens_it_and_which_kms_answers(self, c2: C2, shop: Shop) -> None:
        status = c2.answer("kms", "status")
        assert {(key["purpose"], key["state"], len(key["wraps"])) for key in status["deks"]} == {
            (purpose, "active", 1) for purpose in PURPOSES
        }
        assert status["providers"] == [{"uri": uri, "failure": None} for uri in (FIRST, shop.spare)]
        assert (status["failure"], status["behind"]["records"]) == (None, 0)
        key_id = status["deks"][0]["wraps"][0]["key_id"]
        table = c2.table("kms", "status")
        assert [row[:4] for row in table[1:5]] == [[purpose, "1", "active", "0"] for purpose in PURPOSES]
        assert table[1][4] == f"{FIRST} ({key_id}, aes-256-gcm-siv)"
        assert table[5:] == [["kms", "answers"], [FIRST, "yes"], [shop.spare, "yes"]]

    def test_it_tells_where_the_private_keys_of_the_c2_are(self, tmp_path: Path) -> None:
        with serving(settings_in(tmp_path, suite="pk")) as served:
            c2 = C2(served, tmp_path)
            assert [key["in_token"] for key in c2.answer("kms", "status")["c2_keys"]] == [False]
            shown = [["c2 key", "state", "private key"], ["1", "active", "in the database"]]
            assert c2.table("kms", "status")[-2:] == shown
            c2.ok("c2", "new-key", "--reason", "compromised", "--yes")
            assert c2.table("kms", "status")[-1] == ["2", "active", "in the database"]
            assert [row[0] for row in c2.table("kms", "status")].count("1") == 0

    def test_a_kms_that_does_not_answer_is_named_with_why(self, shop: Shop) -> None:
        missing = f"file://{shop.folder}/missing.json"
        with shop.open(FIRST, missing) as c2:
            (failure,) = [each["failure"] for each in c2.answer("kms", "status")["providers"] if each["uri"] == missing]
            assert "missing.json" in failure
            assert c2.table("kms", "status")[-1][:2] == [missing, failure]
            c2.refused(15, "kms", "add-wrap", missing)
            assert wraps(c2) == all_by(FIRST)


class TestWraps:
    def test_one_more_kms_opens_the_database_also_when_the_first_is_lost(self, shop: Shop) -> None:
        with shop.open() as c2:
            planned = c2.answer("kms", "add-wrap", shop.spare, "--dry-run")
            assert results(planned) == [("add", "to be done")] * 4
            assert wraps(c2) == all_by(FIRST)
            assert results(c2.answer("kms", "add-wrap", shop.spare)) == [("add", "done")] * 4
            assert wraps(c2) == all_by(FIRST, shop.spare)
            assert results(c2.answer("kms", "add-wrap", shop.spare)) == [("add", "nothing to do")] * 4
            c2.served.settings.data.joinpath("kek.json").rename(shop.folder / "lost.json")
        with shop.open(shop.spare) as c2:
            assert len(c2.answer("clients", "list")) == 2

    def test_it_can_be_asked_first_and_for_one_purpose(self, c2: C2, shop: Shop) -> None:
        (row,) = c2.answer("kms", "add-wrap", shop.spare, "--purpose", "records", "--first")
        assert row == {"purpose": "records", "version": 1, "kms": shop.spare, "step": "add", "result": "done"}
        assert wraps(c2) == {**all_by(FIRST), ("records", 1): [shop.spare, FIRST]}
        assert c2.table("kms", "add-wrap", shop.spare)[0] == ["purpose", "version", "kms", "step", "result"]
        assert all(shop.spare in uris for uris in wraps(c2).values())

    def test_a_kms_that_the_settings_do_not_name_is_refused(self, c2: C2, shop: Shop) -> None:
        other = f"file://{shop.folder}/other.json"
        assert shop.spare in c2.refused(3, "kms", "add-wrap", other)
        c2.refused(3, "kms", "migrate", "--to", other)
        assert wraps(c2) == all_by(FIRST)

    def test_a_wrap_is_removed_and_never_the_last_one(self, c2: C2, shop: Shop) -> None:
        assert FIRST in c2.refused(9, "kms", "remove-wrap", FIRST)
        assert FIRST in c2.refused(9, "kms", "remove-wrap", FIRST, "--dry-run")
        c2.ok("kms", "add-wrap", shop.spare)
        assert results(c2.answer("kms", "remove-wrap", FIRST, "--dry-run")) == [("remove", "to be done")] * 4
        assert wraps(c2) == all_by(FIRST, shop.spare)
        c2.ok("kms", "remove-wrap", FIRST, "--purpose", "audit")
        assert wraps(c2) == {**all_by(FIRST, shop.spare), ("audit", 1): [shop.spare]}
        assert [row[4] for row in c2.table("kms", "remove-wrap", FIRST)[1:]] == [
            "nothing to do",
            "done",
            "done",
            "done",
        ]
        assert wraps(c2) == all_by(shop.spare)

    def test_a_wrap_stays_while_nothing_else_opens_the_key(self, shop: Shop) -> None:
        with shop.open() as c2:
            c2.ok("kms", "add-wrap", shop.spare)
        (shop.folder / "spare.json").rename(shop.folder / "lost.json")
        with shop.open() as c2:
            c2.refused(9, "kms", "remove-wrap", FIRST)
            assert wraps(c2) == all_by(FIRST, shop.spare)

    @pytest.mark.parametrize("change", ["rewrap", "remove-wrap"])
    def test_a_kms_that_opens_nothing_is_not_passed_over_in_silence(self, c2: C2, shop: Shop, change: str) -> None:
        assert "opens no key" in c2.refused(8, "kms", change, f"{shop.spare}x")

    def test_rewrap_touches_what_is_named_and_all_still_opens(self, c2: C2, shop: Shop) -> None:
        c2.ok("kms", "add-wrap", shop.spare)
        assert results(c2.answer("kms", "rewrap", "--dry-run")) == [("rewrap", "to be done")] * 8
        assert results(c2.answer("kms", "rewrap")) == [("rewrap", "done")] * 8
        assert {row["kms"] for row in c2.answer("kms", "rewrap", shop.spare)} == {shop.spare}
        assert len(c2.answer("kms", "rewrap", shop.spare, "--purpose", "audit")) == 1
        assert wraps(c2) == all_by(FIRST, shop.spare)
        assert c2.answer("kms", "verify")["wraps"] == 8

    def test_the_blob_of_a_wrap_is_another_after_rewrap_and_the_same_after_a_dry_run(self, c2: C2) -> None:
        before = blobs(c2.served)
        c2.ok("kms", "rewrap", "--dry-run")
        assert blobs(c2.served) == before
        c2.ok("kms", "rewrap")
        assert not set(blobs(c2.served)) & set(before)


def blobs(served: Served) -> list[bytes]:
    with contextlib.closing(sqlite3.connect(database_file(served.settings), timeout=PATIENCE_S)) as db:
        return [blob for (blob,) in db.execute("SELECT blob FROM dek_wrap")]


class TestNotNamed:
    """Of a spare that opens the database, and was taken out of the settings."""

    @pytest.fixture
    def c2(self, shop: Shop) -> Iterator[C2]:
        with shop.open() as c2:
            c2.ok("kms", "add-wrap", shop.spare)
        with shop.open(FIRST) as c2:
            yield c2

    def test_rewrap_goes_on_with_the_others_and_says_so(self, c2: C2, shop: Shop) -> None:
        before = dict(by_uri(c2.served))
        for how, result in (("--dry-run", "to be done"), ("", "done")):
            done = c2.run("kms", "rewrap", "--output", "json", *([how] if how else []))
            assert (done.code, shop.spare in done.stderr) == (0, True)
            told = {(row["kms"], row["result"]) for row in json.loads(done.stdout)}
            assert told == {(FIRST, result), (shop.spare, "not asked")}
        after = dict(by_uri(c2.served))
        assert not after[FIRST] & before[FIRST]
        assert after[shop.spare] == before[shop.spare]

    def test_rewrap_of_it_alone_is_refused(self, c2: C2, shop: Shop) -> None:
        assert shop.spare in c2.refused(3, "kms", "rewrap", shop.spare)

    @pytest.mark.parametrize("how", [("--dry-run",), (), ("--purpose", "records")])
    def test_rotate_is_refused_before_any_key_is_made(self, c2: C2, shop: Shop, how: tuple[str, ...]) -> None:
        assert shop.spare in c2.refused(9, "kms", "rotate", *how)
        assert set(keys(c2)) == set(all_by())

    def test_rotate_goes_on_where_it_is_not_needed_or_was_given_up(self, c2: C2, shop: Shop) -> None:
        c2.ok("kms", "remove-wrap", shop.spare, "--purpose", "audit")
        assert results(c2.answer("kms", "rotate", "--purpose", "audit")) == [("rotate", "done")]
        c2.refused(9, "kms", "rotate")
        c2.ok("kms", "remove-wrap", shop.spare)
        assert results(c2.answer("kms", "rotate")) == [("rotate", "done")]


def by_uri(served: Served) -> Iterator[tuple[str, set[bytes]]]:
    with contextlib.closing(sqlite3.connect(database_file(served.settings), timeout=PATIENCE_S)) as db:
        for (uri,) in db.execute("SELECT DISTINCT uri FROM dek_wrap").fetchall():
            yield uri, {blob for (blob,) in db.execute("SELECT blob FROM dek_wrap WHERE uri = ?", (uri,))}


class TestMigrate:
    def test_the_database_moves_and_opens_without_the_former_kms(self, shop: Shop) -> None:
        with shop.open() as c2:
            planned = c2.answer("kms", "migrate", "--to", shop.spare, "--dry-run")
            assert {result for _, result in results(planned)} == {"to be done"}
            assert wraps(c2) == all_by(FIRST)
            done = c2.run("kms", "migrate", "--to", shop.spare)
            assert done.code == 0
            assert f"take {FIRST} out" in done.stderr
            assert wraps(c2) == all_by(shop.spare)
            again = c2.run("kms", "migrate", "--to", shop.spare)
            assert (again.code, again.stderr) == (0, "")
        with shop.open(shop.spare) as c2:
            assert c2.answer("kms", "verify")["wraps"] == 4

    def test_it_goes_on_where_it_was_interrupted(self, c2: C2, shop: Shop) -> None:
        c2.ok("kms", "add-wrap", shop.spare, "--purpose", "lookup")
        c2.ok("kms", "add-wrap", shop.spare, "--purpose", "audit", "--first")
        c2.ok("kms", "remove-wrap", FIRST, "--purpose", "audit")
        steps = c2.answer("kms", "migrate", "--to", shop.spare)
        assert results(steps)[:4] == [("add", each) for each in ("nothing to do", "done", "nothing to do", "done")]
        assert wraps(c2) == all_by(shop.spare)


class TestVerify:
    def test_it_counts_what_it_has_opened(self, c2: C2, shop: Shop) -> None:
        rows = c2.answer("kms", "status")["rows"]
        assert c2.answer("kms", "verify") == {"wraps": 4, "not_asked": [], "lost_shares": [], "rows": rows}
        c2.ok("kms", "add-wrap", shop.spare)
        told = [["wraps", "8"], ["not asked", "-"], ["lost shares", "-"], ["rows", str(rows)]]
        assert c2.table("kms", "verify") == told

    def test_what_a_kms_opens_that_the_settings_do_not_name_is_said(self, shop: Shop) -> None:
        with shop.open() as c2:
            c2.ok("kms", "add-wrap", shop.spare)
        with shop.open(FIRST) as c2:
            assert c2.answer("kms", "verify")["not_asked"] == [shop.spare]

    def test_a_share_that_is_lost_is_named_and_no_failure_while_enough_are_left(self, shop: Shop) -> None:
        shares = [f"file://{shop.folder}/share-{number}.json" for number in range(3)]
        several = "shamir:2?" + "&".join(f"share={uri}" for uri in shares)
        with shop.open() as c2:
            for uri in shares:
                c2.ok("kms", "init-token-key", uri)
        with shop.open(FIRST, several) as c2:
            c2.ok("kms", "add-wrap", several)
        (shop.folder / "share-1.json").unlink()
        with shop.open(FIRST, several) as c2:
            (lost,) = c2.answer("kms", "verify")["lost_shares"]
            assert lost.startswith(f"{several}: 2 of 3 shares")
            assert shares[1] in lost
            assert ["lost shares", lost] in c2.table("kms", "verify")
            moved = c2.run("kms", "migrate", "--to", several)
            assert (moved.code, lost in moved.stderr) == (0, True)
            assert wraps(c2) == all_by(several)

    def test_a_row_that_was_changed_behind_its_back_is_an_alarm(self, c2: C2) -> None:
        with contextlib.closing(sqlite3.connect(database_file(c2.served.settings), timeout=PATIENCE_S)) as db, db:
            assert db.execute("UPDATE client SET status = 'suspended' WHERE name = 'one'").rowcount == 1
        assert "in client does not fit" in c2.refused(16, "kms", "verify")

    def test_a_wrap_that_does_not_open_any_more_is_found(self, shop: Shop) -> None:
        with shop.open() as c2:
            c2.ok("kms", "add-wrap", shop.spare)
        (shop.folder / "spare.json").unlink()
        with shop.open() as c2:
            c2.ok("kms", "init-token-key", shop.spare)
            c2.refused(15, "kms", "verify")


class TestInitTokenKey:
    def test_a_key_is_made_once_and_for_its_owner_alone(self, c2: C2, tmp_path: Path) -> None:
        path = tmp_path / "made.json"
        done = c2.run("kms", "init-token-key", f"file://{path}")
        assert (done.code, done.stdout) == (0, "")
        assert f"file://{path}" in done.stderr
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        before = path.read_bytes()
        c2.refused(9, "kms", "init-token-key", f"file://{path}")
        assert path.read_bytes() == before

    def test_a_dry_run_makes_no_key_and_refuses_what_would_be_refused(self, c2: C2, tmp_path: Path) -> None:
        uri = f"file://{tmp_path}/made.json"
        done = c2.run("kms", "init-token-key", uri, "--dry-run")
        assert (done.code, done.stdout, done.stderr) == (0, "", f"to be made: {uri}\n")
        assert not (tmp_path / "made.json").exists()
        c2.ok("kms", "init-token-key", uri)
        before = (tmp_path / "made.json").read_bytes()
        assert uri in c2.refused(9, "kms", "init-token-key", uri, "--dry-run")
        assert (tmp_path / "made.json").read_bytes() == before

    def test_a_kms_that_makes_no_keys_or_is_not_there_is_told(self, c2: C2, tmp_path: Path) -> None:
        secret = tmp_path / "passphrase"
        secret.touch(0o600)
        secret.write_text("correct horse battery staple\n")
        assert "passphrase:" in c2.refused(13, "kms", "init-token-key", f"passphrase://{secret}")
        c2.refused(13, "kms", "init-token-key", f"passphrase://{secret}", "--dry-run")
        c2.refused(12, "kms", "init-token-key", "nonesuch:key")
        c2.refused(3, "kms", "init-token-key", "file:")
        c2.refused(13, "kms", "init-token-key", f"file://{tmp_path}/no/folder/key.json")
