# SPDX-License-Identifier: Apache-2.0
"""``e4 kms`` at a C2 that is killed amid a change of its wraps: none is lost, and the same command finishes at the next one."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.c2.served import PATIENCE_S
from tests.c2.test_app_command import Process
from tests.cli.c2_server import Asked, send, server
from tests.cli.command import answer, refused
from tests.cli.test_kms_cli import FIRST, PURPOSES, Shop, made, results, shop

__all__ = ["made", "shop"]

Wraps = dict[tuple[str, str], bytes]
"""How the key for a purpose is wrapped by the KMS at a URI."""


class Kill(NamedTuple):
    """Amid the ``nth`` request to such a path: before the change is committed, or else before its answer is sent."""

    path: str
    nth: int
    is_committed: bool
    changed: int
    """Wraps that are other than before the command."""


class Mortal:
    """A C2 in a process of its own, and a way to it on which it may be killed."""

    def __init__(self, shop: Shop) -> None:
        self._folder = shop.folder
        self._data = shop.folder / "data"
        self._settings = {"E4_DATA": str(self._data), "E4_KMS": f"{FIRST} {shop.spare}", "E4_BROKER": "memory:mortal"}
        self.start()

    def start(self) -> None:
        self._c2 = Process(self._folder, **self._settings)

    def end(self, how: signal.Signals) -> None:
        self._c2.end(how)

    def wraps(self) -> Wraps:
        with self._database() as db:
            rows = db.execute("SELECT purpose, uri, blob FROM dek_wrap").fetchall()
        return {(purpose, uri): blob for purpose, uri, blob in rows}

    @contextmanager
    def way(self, kill: Kill | None = None) -> Iterator[dict[str, str]]:
        """What tells commands the way."""
        met: list[Asked] = []

        def reply(asked: Asked, http: BaseHTTPRequestHandler) -> None:
            met.extend([asked] if kill and asked.path.partition("?")[0].endswith(kill.path) else [])
            if kill is None or len(met) < kill.nth:
                got = self._c2.http.request(asked.method, asked.path, content=asked.body, headers=_passed_on(asked))
                send(http, got.status_code, got.headers["content-type"], got.content)
            elif len(met) == kill.nth and asked is met[-1]:
                self._die(asked, kill.is_committed)

        with server(reply) as (url, _):
            yield {"E4_URL": url, "E4_TOKEN_FILE": str(self._data / "admin-token")}

    def _die(self, asked: Asked, is_committed: bool) -> None:
        url = urlsplit(self._c2.listening["url"])
        headers = {**_passed_on(asked), "authorization": f"Bearer {self._c2.token}"}
        with closing(HTTPConnection(str(url.netloc), timeout=PATIENCE_S)) as http, self._database() as db:
            if not is_committed:
                db.execute("BEGIN IMMEDIATE")  # whatever it asks of its KMSes, it cannot write
            http.request(asked.method, asked.path, asked.body, headers)
            if is_committed:
                assert http.getresponse().status in (200, 201)
            else:
                time.sleep(0.1)
            self.end(signal.SIGKILL)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._data / "c2.sqlite", timeout=PATIENCE_S)) as db:
            yield db


def _passed_on(asked: Asked) -> dict[str, str]:
    return {name: asked.headers[name] for name in ("content-type", "idempotency-key") if name in asked.headers}


def test_a_c2_that_is_killed_amid_a_change_of_its_wraps_loses_none_and_the_next_one_goes_on(shop: Shop) -> None:
    adding, removing, rewrapping = "/wraps", "/wraps/remove", "/wraps/rewrap"
    c2 = Mortal(shop)
    try:
        first = c2.wraps()
        rows = verified(c2, 4)
        rewrapped = finished(c2, ["rewrap"], [Kill(rewrapping, 3, False, 2)])
        assert (rewrapped.keys(), set(rewrapped.values()) & set(first.values())) == (first.keys(), set())
        added, removed = Kill(adding, 2, True, 2), Kill(removing, 2, False, 2 + 1)
        moved = finished(c2, ["migrate", "--to", shop.spare], [added, removed, Kill(removing, 2, True, 2)])
        assert moved.keys() == {(purpose, shop.spare) for purpose in PURPOSES}
        both = finished(c2, ["add-wrap", FIRST], [Kill(adding, 4, False, 3)])
        assert both.keys() == first.keys() | moved.keys()
        assert verified(c2, 8) == rows
    finally:
        c2.end(signal.SIGTERM)


def finished(c2: Mortal, command: list[str], kills: list[Kill]) -> Wraps:
    """What the database has when the same command was given again after each kill, and then came to its end."""
    for kill in kills:
        before = c2.wraps()
        with c2.way(kill) as env:
            assert "connection" in refused(17, "kms", *command, env=env)
        left = c2.wraps()
        assert sum(before.get(of) != left.get(of) for of in before | left) == kill.changed
        assert {purpose for purpose, _ in left} == set(PURPOSES)
        c2.start()
        verified(c2, len(left))
    with c2.way() as env:
        assert {result for _, result in results(answer("kms", *command, env=env))} <= {"done", "nothing to do"}
    return c2.wraps()


def verified(c2: Mortal, wraps: int) -> int:
    """How many rows open, as all wraps do."""
    with c2.way() as env:
        told = answer("kms", "verify", env=env)
    assert told == {"wraps": wraps, "not_asked": [], "lost_shares": [], "rows": told["rows"]}
    return int(told["rows"])
