# SPDX-License-Identifier: Apache-2.0
"""``e4 kms rotate`` and ``retire`` at a real C2: new keys, rows that follow, and former keys that are destroyed."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest

from tests.c2.served import PATIENCE_S, Served
from tests.cli.c2_server import C2, Asked, send, server
from tests.cli.command import environment, program
from tests.cli.test_c2_cli_refusals import on_a_terminal
from tests.cli.test_kms_cli import FIRST, PURPOSES, Shop, all_by, c2, keys, made, results, shop
from tests.places import database_file

__all__ = ["c2", "made", "shop"]

ALL = [word for purpose in PURPOSES for word in ("--purpose", purpose)]
FOLLOWED = {"records": "retired", "authority": "retired", "lookup": "decrypt_only", "audit": "decrypt_only"}
"""What becomes of a former key."""


class TestRotate:
    def test_new_keys_are_made_and_all_rows_put_under_them(self, c2: C2, shop: Shop) -> None:
        assert results(c2.answer("kms", "rotate", *ALL, "--dry-run")) == [("rotate", "to be done")] * 4
        assert set(keys(c2)) == set(all_by())
        assert results(c2.answer("kms", "rotate", *ALL)) == [("rotate", "done")] * 4
        made = keys(c2)
        assert {name: key["state"] for name, key in made.items()} == {
            **{(purpose, 1): FOLLOWED[purpose] for purpose in PURPOSES},
            **{(purpose, 2): "active" for purpose in PURPOSES},
        }
        behind = c2.answer("kms", "status")["behind"]
        assert (behind["records"], behind["authority"]) == (0, 0)
        # all KMSes of the settings open what is made now
        assert [wrap["uri"] for wrap in made["records", 2]["wraps"]] == [FIRST, shop.spare]
        assert c2.answer("kms", "verify")["wraps"] == 2 + 8
        assert [row["name"] for row in c2.answer("clients", "list")] == ["one", "two"]

    def test_it_acts_on_records_unless_told_otherwise_and_says_so_as_a_table(self, c2: C2) -> None:
        rows = c2.table("kms", "rotate", "--no-wait")
        assert rows == [["purpose", "version", "kms", "step", "result"], ["records", "1", "all", "rotate", "done"]]
        assert set(keys(c2)) == {*all_by(), ("records", 2)}
        rows = c2.table("kms", "rotate", "--purpose", "audit", "--purpose", "lookup")[1:]
        assert [row[0] for row in rows] == ["audit", "lookup"]

    @pytest.mark.parametrize("step", ["between two keys", "while rows follow"])
    def test_one_that_ctrl_c_ended_ends_well_when_it_is_given_again(self, c2: C2, shop: Shop, step: str) -> None:
        between = step == "between two keys"
        with held_up(c2.served, third_rotation if between else rows_that_follow) as (url, reached, go):
            command = [*program(), "kms", "rotate", *ALL, "--url", url]
            with subprocess.Popen(
                command,
                cwd=shop.folder,
                env=environment(c2.env),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            ) as process:
                try:
                    assert reached.wait(PATIENCE_S)
                    process.send_signal(signal.SIGINT)
                    assert process.wait(PATIENCE_S) == 130
                    assert process.stdout is not None
                    assert process.stdout.read() == b""
                finally:
                    go.set()
                    process.kill()
        half = {purpose for purpose, version in keys(c2) if version == 2}
        assert half == (set(PURPOSES[:2]) if between else set(PURPOSES))
        c2.ok("kms", "rotate", *ALL)
        assert {purpose for purpose, version in keys(c2) if version > 1} == set(PURPOSES)
        behind = c2.answer("kms", "status")["behind"]
        assert (behind["records"], behind["authority"]) == (0, 0)
        c2.ok("kms", "verify")
        assert len(c2.answer("clients", "list")) == 2

    def test_given_again_while_rows_follow_it_makes_no_newer_keys(self, c2: C2) -> None:
        self.stop(c2)
        rows = c2.answer("kms", "rotate", *ALL, "--no-wait")
        assert [(row["purpose"], row["result"]) for row in rows if row["result"] == "nothing to do"] == [
            ("records", "nothing to do")
        ]
        assert sorted(version for purpose, version in keys(c2) if purpose == "records") == [1, 2]

    def test_it_does_not_wait_for_rows_that_will_not_follow(self, c2: C2) -> None:
        self.stop(c2)
        assert "does not fit" in c2.refused(16, "kms", "rotate", "--purpose", "records")
        status = c2.answer("kms", "status")
        assert "does not fit" in status["stopped"]
        assert status["passed_over"] == 1
        assert "under their former keys: 1" in c2.run("kms", "status").stderr

    def stop(self, c2: C2) -> None:
        """Rotate with a row that somebody has changed in the database."""
        with contextlib.closing(sqlite3.connect(database_file(c2.served.settings))) as db:
            db.execute("UPDATE topic SET generation = generation + 1")
            db.commit()
        c2.refused(16, "kms", "rotate", "--purpose", "records")


Holds = Callable[[Asked, list[Asked]], bool]


def third_rotation(asked: Asked, before: list[Asked]) -> bool:
    return asked.method == "POST" and sum(each.path.endswith("/rotate") for each in before) == 2


def rows_that_follow(asked: Asked, before: list[Asked]) -> bool:
    return asked.method == "GET" and any(each.method == "POST" for each in before)


@contextlib.contextmanager
def held_up(served: Served, holds: Holds) -> Iterator[tuple[str, Event, Event]]:
    """The C2 behind a server that keeps a request for itself until told to go on: its URL, that it has it, and go on."""
    reached, go = Event(), Event()
    before: list[Asked] = []

    def reply(asked: Asked, http: BaseHTTPRequestHandler) -> None:
        if reached.is_set() or holds(asked, before):
            reached.set()
            assert go.wait(PATIENCE_S)
            return
        before.append(asked)
        headers = {"content-type": "application/json"}
        answer = served.http.request(asked.method, asked.path, content=asked.body, headers=headers)
        send(http, answer.status_code, answer.headers.get("content-type", "application/json"), answer.content)

    with server(reply) as (url, _):
        try:
            yield url, reached, go
        finally:
            go.set()


class TestRetire:
    def test_a_former_key_is_destroyed_once_somebody_says_that_it_is_meant(self, c2: C2) -> None:
        retire = ["kms", "retire", "--purpose", "audit", "--version", "1"]
        c2.ok("kms", "rotate", "--purpose", "audit")
        assert c2.table(*retire, "--dry-run")[1] == ["audit", "1", "all", "retire", "to be done"]
        assert "--yes" in c2.refused(2, *retire)
        shown = on_a_terminal([*program(), *retire], c2.env, until="Go on?", answer=b"n\n", code=1)
        assert "backups" in shown
        assert "nothing is done" in shown
        assert keys(c2)["audit", 1]["state"] == "decrypt_only"
        on_a_terminal([*program(), *retire], c2.env, until="done", answer=b"y\n", code=0)
        assert (keys(c2)["audit", 1]["state"], keys(c2)["audit", 1]["wraps"]) == ("retired", [])
        assert len(c2.answer("clients", "list")) == 2
        assert results(c2.answer(*retire, "--dry-run")) == [("retire", "nothing to do")]
        assert results(c2.answer(*retire, "--yes")) == [("retire", "nothing to do")]
        c2.ok("kms", "verify")

    def test_it_answers_in_json(self, c2: C2) -> None:
        c2.ok("kms", "rotate", "--purpose", "audit")
        rows = c2.answer("kms", "retire", "--purpose", "audit", "--version", "1", "--yes")
        assert rows == [{"purpose": "audit", "version": 1, "kms": "all", "step": "retire", "result": "done"}]

    def test_what_is_in_use_or_not_there_is_not_retired(self, c2: C2) -> None:
        before = keys(c2)
        for how in ("--yes", "--dry-run"):
            c2.refused(9, "kms", "retire", "--purpose", "records", "--version", "1", how)
            c2.refused(8, "kms", "retire", "--purpose", "records", "--version", "2", how)
        assert c2.run("kms", "retire", "--purpose", "records", "--version", "0", "--yes").code == 2
        assert keys(c2) == before
