# SPDX-License-Identifier: Apache-2.0
"""A C2 starts whole or not at all, ends in order, and loses nothing when it does not."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from e4c2.app import open_c2
from e4c2.settings import Settings
from e4core.errors import (
    Conflict,
    E4Error,
    InvalidInput,
    KeyNotFound,
    KmsError,
    PluginError,
    StorageError,
    TransportError,
)
from e4core.plugins import load_transport
from e4core.transport import Transport
from e4transports.memory import named
from tests.c2.served import PATIENCE_S, serving, settings_in
from tests.places import database_file
from tests.servers import free_port


def start(settings: Settings) -> None:
    """Open a C2 and close it again."""

    async def story() -> None:
        async with open_c2(settings):
            pass

    asyncio.run(story())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_it_keeps_is_for_its_owner_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with serving(settings_in(tmp_path)) as c2:
            c2.topic("makes the database write")
            assert mode(c2.settings.data) == 0o700
            modes = {path.name: mode(path) for path in c2.settings.data.iterdir()}
    finally:
        os.umask(previous)
    assert {"c2.sqlite", "c2.sqlite-wal", "kek.json", "admin-token", "c2.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_the_first_start_makes_one_token_and_a_later_one_none(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings) as c2:
        first = c2.token
        assert c2.started.admin_token == first.encode()
        assert c2.started.admin_token_file == settings.admin_token_file
        assert first not in repr(c2.started)
    with serving(settings) as c2:
        assert c2.started.admin_token is None
        assert c2.token == first
        assert len(c2.http.get("/v1/tokens").json()["items"]) == 1


def test_a_token_file_that_was_put_away_is_not_made_again(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    start(settings)
    settings.admin_token_file.unlink()
    start(settings)
    assert not settings.admin_token_file.exists()


def test_a_crash_between_token_file_and_commit_leaves_a_token_that_works(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.data.mkdir(0o700)
    settings.admin_token_file.write_text("e4_of_a_start_that_was_never_committed\n")
    with serving(settings) as c2:
        assert c2.http.get("/v1/topics").status_code == 200
        assert mode(settings.admin_token_file) == 0o600


def test_what_was_stored_is_there_after_a_restart_and_when_the_directory_moved(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings) as c2:
        c2.topic("kept", c2.client("member"))
    settings.data.rename(tmp_path / "moved")
    with serving(settings_in(tmp_path, data=tmp_path / "moved")) as c2:
        (topic,) = c2.http.get("/v1/topics").json()["items"]
    assert (topic["name"], topic["members"]) == ("kept", 1)


@contextmanager
def refused(error: type[E4Error], settings: Settings, match: str) -> Iterator[None]:
    with pytest.raises(error, match=match) as caught:
        start(settings)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    yield


def test_two_servers_never_share_a_data_directory(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2:
        with refused(Conflict, settings_in(tmp_path), "another server"):
            pass
        assert c2.http.get("/v1/ready").status_code == 200
    start(settings_in(tmp_path))


def test_two_servers_never_share_a_database(tmp_path: Path) -> None:
    database = tmp_path / "shared.sqlite"
    with (
        serving(settings_in(tmp_path, database=database)),
        refused(Conflict, settings_in(tmp_path, data=tmp_path / "other", database=database), "another server"),
    ):
        (tmp_path / "alias").symlink_to(database)
        with refused(
            Conflict, settings_in(tmp_path, data=tmp_path / "third", database=tmp_path / "alias"), "another server"
        ):
            pass


def test_a_database_of_another_suite_is_refused(tmp_path: Path) -> None:
    start(settings_in(tmp_path))
    with refused(Conflict, settings_in(tmp_path, suite="pk"), "of the suite sk, not pk"):
        start(settings_in(tmp_path))


def test_an_unknown_suite_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with refused(PluginError, settings_in(tmp_path, suite="rot13"), "rot13"):
        assert list(tmp_path.iterdir()) == []


def test_a_lost_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    start(settings)
    (settings.data / "kek.json").unlink()
    with refused(KeyNotFound, settings, "does not exist"):
        assert not (settings.data / "kek.json").exists()


def test_a_key_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    settings = settings_in(tmp_path, kms=f"file://{tmp_path}/keys/kek.json")
    start(settings)
    start(settings)
    assert mode(tmp_path / "keys" / "kek.json") == 0o600
    assert not (settings.data / "kek.json").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    start(settings)
    for suffix in ("-wal", "-shm", ""):
        database_file(settings).with_name(f"c2.sqlite{suffix}").unlink(missing_ok=True)
    database_file(settings).touch(0o600)
    database_file(settings).write_bytes(b"not a database" * 100)
    with refused(StorageError, settings, "cannot be used as a database"):
        pass


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with refused(StorageError, settings_in(tmp_path), "data cannot be a folder for private files"):
        pass


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", StorageError),
        ("c2.sqlite", StorageError),
        ("c2.sqlite-wal", StorageError),
        ("c2.sqlite-shm", StorageError),
        ("kek.json", KmsError),
        ("admin-token", StorageError),
    ],
)
def test_what_others_may_have_read_or_changed_is_refused_with_the_remedy(
    tmp_path: Path, name: str, error: type[E4Error]
) -> None:
    settings = settings_in(tmp_path)
    start(settings)
    path = settings.data / name
    path.touch(0o600)
    private = mode(path)
    path.chmod(private | 0o040)
    with refused(error, settings, f"open to others .* run: chmod {private:o} {path}$"):
        assert mode(path) == private | 0o040
    path.chmod(private)
    start(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(
    ("name", "error"),
    [("", StorageError), ("c2.sqlite", StorageError), ("kek.json", KmsError), ("admin-token", StorageError)],
)
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path, name: str, error: type[E4Error]) -> None:
    settings = settings_in(tmp_path)
    start(settings)
    os.chown(settings.data / name, 65_534, 65_534)
    with refused(error, settings, "belongs to user 65534, not to user 0"):
        pass


def test_a_broker_out_of_reach_is_refused(tmp_path: Path) -> None:
    broker = f"mqtt://127.0.0.1:{free_port()}?timeout=0.2"
    with refused(TransportError, settings_in(tmp_path, broker=broker), "127"):
        pass


@pytest.mark.parametrize(
    "uri",
    [
        "embedded:",
        "embedded://127.0.0.1",
        "embedded://:1883",
        "embedded://127.0.0.1:x",
        "embedded://127.0.0.1:0/path",
        "embedded://me@127.0.0.1:0",
        "embedded://127.0.0.1:0?qos=2",
        "embedded://127.0.0.1:0?password-file=",
        "embedded://127.0.0.1:0?password-file=%00",
        "embedded://[::1:0",
        "embedded://localhost:0",
        "nonsense",
    ],
)
def test_a_bad_broker_uri_is_refused(tmp_path: Path, uri: str) -> None:
    with refused(InvalidInput, settings_in(tmp_path, broker=uri), "."):
        pass


EMBEDDED = "embedded://127.0.0.1:0"


async def connects(uri: str) -> None:
    async with load_transport(uri, "somebody") as transport:
        await transport.publish("t", b"x")


def test_the_embedded_broker_lets_in_those_who_know_a_password_that_the_first_start_makes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, broker=EMBEDDED)
    with serving(settings) as c2:
        password = settings.broker_password_file.read_text()
        assert mode(settings.broker_password_file) == mode(settings.broker_uri_file) == 0o600
        assert len(password.strip()) >= 43
        assert settings.broker_uri_file.read_text() == f"{c2.started.broker}\n"
        assert c2.http.get("/v1/ready").status_code == 200
        asyncio.run(connects(c2.started.broker))
        shown = c2.http.get("/v1/c2").json()["broker"]
        for uri in (shown, shown.replace("//", "//e4@")):
            with pytest.raises(TransportError, match="refused"):
                asyncio.run(connects(uri))
        assert password.strip() not in c2.started.broker
    with serving(settings) as c2:
        assert settings.broker_password_file.read_text() == password
        asyncio.run(connects(c2.started.broker))
    assert mode(settings.data) == 0o700


def test_an_embedded_broker_can_have_a_password_of_choice(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("secret\n")
    settings = settings_in(tmp_path, broker=f"{EMBEDDED}?password-file={password}")
    with serving(settings) as c2:
        shown = c2.http.get("/v1/c2").json()["broker"]
        assert c2.http.get("/v1/ready").status_code == 200
        asyncio.run(connects(c2.started.broker))
        assert str(password) in c2.started.broker
    assert shown.startswith("mqtt://127.0.0.1:")
    assert str(tmp_path) not in shown
    assert not settings.broker_password_file.exists()


def test_a_password_of_the_embedded_broker_that_others_may_have_read_is_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, broker=EMBEDDED)
    start(settings)
    settings.broker_password_file.chmod(0o644)
    with refused(StorageError, settings, "chmod 600"):
        pass


def test_with_another_broker_no_embedded_one_is_offered_any_more(tmp_path: Path) -> None:
    start(settings_in(tmp_path, broker=EMBEDDED))
    settings = settings_in(tmp_path)
    assert settings.broker_uri_file.exists()
    with serving(settings) as c2:
        assert not settings.broker_uri_file.exists()
        assert c2.started.broker == settings.broker


def test_a_part_that_fails_ends_the_server_with_its_error(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings) as c2:
        with sqlite3.connect(database_file(settings)) as db:
            (database_id,) = db.execute("SELECT database_id FROM realm").fetchone()
        db.close()
        thief: Transport = named(settings.broker.removeprefix("memory:")).connect(f"e4-c2-{database_id.hex()}")
        c2.run(thief.__aenter__())
        error = c2.ended.exception(PATIENCE_S)
        assert isinstance(error, TransportError)
        with pytest.raises(httpx2.ConnectError):
            c2.http.get("/v1/health")
    start(settings)
