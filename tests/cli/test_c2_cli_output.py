# SPDX-License-Identifier: Apache-2.0
"""Commands that ask a C2: what they print, and what they never do."""

from __future__ import annotations

import base64
import re
import stat
from pathlib import Path

import pytest

from e4cli.api_client import Api
from e4cli.connection import Token
from e4core.keys import Secret
from tests.cli.c2_server import C2
from tests.cli.devices import loaded
from tests.cli.test_c2_cli import client, fresh, topic


class Small(Api):
    page_len = 2


class TestLists:
    @pytest.mark.parametrize("limit", [None, 1, 2, 3, 4, 5, 6])
    def test_a_list_has_all_there_is_however_many_pages_that_is(self, sk: C2, limit: int | None) -> None:
        names = sorted(client(sk) for _ in range(5))
        on = sk.answer("topics", "show", topic(sk, *names))["id"]
        with Small(sk.served.started.url, Token(Secret(sk.served.token.encode()), "the test")) as api:
            assert [row["name"] for row in api.items(f"/v1/topics/{on}/members", limit)] == names[:limit]

    @pytest.mark.parametrize("what", ["clients", "topics"])
    def test_everything_is_listed_by_name(self, sk: C2, what: str) -> None:
        made = [client(sk) if what == "clients" else topic(sk) for _ in range(2)]
        names = [row["name"] for row in sk.answer(what, "list")]
        assert set(made) <= set(names)
        assert names == sorted(names, key=str.encode)
        assert [row["name"] for row in sk.answer(what, "list", "--limit", "1")] == names[:1]


class TestTokens:
    def test_a_token_is_made_used_and_revoked(self, sk: C2) -> None:
        file = sk.folder / fresh("token")
        made = sk.answer("token", "create", "ci pipeline", "--role", "viewer", "--days", "1.5", "--out", file)
        assert made.keys() == {"id", "name", "created", "expires", "grants", "generation", "file"}
        assert made["expires"] == pytest.approx(made["created"] + 1.5 * 24 * 3600)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        listed = {row["id"]: row for row in sk.answer("token", "list")}
        assert sk.answer("token", "show", made["id"]) == listed[made["id"]]
        assert listed[made["id"]]["name"] == "ci pipeline"
        assert sk.run("c2", "show", "--token-file", file).code == 0
        sk.ok("token", "revoke", made["id"])
        assert sk.run("c2", "show", "--token-file", file).code == 10
        assert file.read_text().strip() not in "".join(sk.told)

    def test_a_token_that_cannot_be_written_is_nobodys(self, sk: C2) -> None:
        before = sk.answer("token", "list")
        file = sk.folder / fresh("token")
        file.write_text("something else")
        sk.refused(9, "token", "create", "a", "--role", "viewer", "--out", file)
        assert file.read_text() == "something else"
        assert sk.answer("token", "list") == before

    def test_a_token_is_not_shown_where_nobody_looks(self, sk: C2) -> None:
        before = sk.answer("token", "list")
        assert "--out" in sk.refused(3, "token", "create", "a", "--role", "viewer")
        assert sk.answer("token", "list") == before


class TestTables:
    def test_a_record_is_a_line_for_each_field_with_times_that_people_read(self, sk: C2) -> None:
        name = client(sk)
        lines = dict(row for row in sk.table("clients", "show", name) if len(row) == 2)
        assert lines["name"] == name
        assert lines["status"] == "active"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", lines["created"])
        assert lines["last report"] == "-"

    def test_a_list_has_one_header(self, sk: C2) -> None:
        on = topic(sk, client(sk), client(sk))
        header, *rows = sk.table("topics", "members", on)
        assert header[:3] == ["name", "id", "status"]
        assert len(rows) == 2
        assert sk.table("commands", "list", "--limit", "1")[0][0] == "id"

    def test_an_operation_shows_its_counts(self, sk: C2) -> None:
        on = topic(sk, client(sk))
        lines = dict(sk.table("topics", "rotate", on, "--wait"))
        assert lines["counts"] == "sent 1"

    def test_an_empty_list_says_so_beside_the_result(self, sk: C2) -> None:
        done = sk.run("topics", "members", topic(sk))
        assert (done.stdout, done.stderr) == ("", "none\n")


def secrets_in(path: Path) -> list[str]:
    private = bytes(loaded(path).private[:32]) if path.suffix == ".state" else path.read_bytes()
    return [private.hex(), base64.b64encode(private)[:42].decode(), repr(private)[2:-1]]


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_no_command_prints_a_secret(c2: C2, output: str) -> None:
    """The whole life of two clients, told twice, and searched for each of its keys."""
    one, two, on = fresh("client"), fresh("client"), fresh("topic")
    private, registered = c2.key_file(fresh("key"))
    anew, anew_registered = c2.key_file(fresh("key"))
    files = [private, anew, c2.folder / f"{two}.state"]
    story: list[list[str | Path]] = [
        ["clients", "create", one, "--key", registered],
        ["clients", "create", one, "--key", registered],
        ["clients", "create", two, "--generate"],
        ["topics", "create", on],
        ["topics", "join", on, one, two, "--wait"],
        ["links", "send", one, two],
        ["clients", "new-key", one, "--reason", "routine"],
        ["clients", "confirm-key", one],
        ["clients", "new-key", one, "--reason", "compromised"],
        ["clients", "enrol", one, "--key", registered],
        ["clients", "enrol", one, "--key", anew_registered],
        ["topics", "rotate", on, "--wait"],
        ["clients", "show", one],
        ["clients", "list"],
        ["topics", "members", on],
        ["commands", "list"],
        ["token", "list"],
        ["c2", "show"],
        ["c2", "show", "--token-file", registered],
        ["c2", "show", "--ca", private],
        ["clients", "create", fresh("client"), "--key", c2.served.settings.admin_token_file],
    ]
    told = "".join(
        part for step in story for done in [c2.run(*step, "-o", output)] for part in (done.stdout, done.stderr)
    )
    secrets = [secret for file in files for secret in secrets_in(file)]
    assert not [secret for secret in (*secrets, c2.served.token) if secret in told]
