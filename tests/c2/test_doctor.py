# SPDX-License-Identifier: Apache-2.0
"""The doctor finds what ails a C2, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from e4c2 import delivery, tokens, topics
from e4c2.access.grants import WHOLE
from e4c2.audit import checkpoints
from e4c2.audit.checkpoints import Pace
from e4c2.model import Delivery
from e4c2.recovery import doctor, look_broker, look_database, look_machine, restored
from e4c2.recovery.findings import Level, Verdict
from e4c2.settings import Settings
from e4kms import file as kek_file
from e4kms.deks import Purpose
from tests.c2.pairs import self_signed
from tests.c2.restoring import back_up
from tests.c2.served import serving, settings_in
from tests.c2.shop import Shop
from tests.c2.world import World
from tests.servers import StartMosquitto

HOUR_S, DAY_S = 3600, 24 * 3600


def later(world: World, seconds: float) -> None:
    world.clock.now += seconds


def restored_lately(world: World) -> None:
    world.do(restored.put, bytes(16), 0.0)


def ordered_long_ago(world: World) -> None:
    world.do(topics.rotate, "t")
    later(world, HOUR_S)


def sent_long_ago(world: World) -> None:
    world.sql("UPDATE outbox SET state = 'sent'")
    later(world, 2 * HOUR_S)


def expired(world: World) -> None:
    world.devices["a"].away = True
    world.do(topics.rotate, "t")
    for _ in range(5):
        world.carry()
        later(world, 1)
    assert not world.count(Delivery.PENDING)
    later(world, 7 * DAY_S + 60)
    world.do(delivery.tidy)
    assert world.count(Delivery.EXPIRED)


AILMENTS: dict[str, tuple[Callable[[World], object], Level]] = {
    "recovery": (restored_lately, Level.FAILURE),
    "key age": (lambda world: later(world, 366 * DAY_S), Level.WARNING),
    "clock and database": (lambda world: later(world, -HOUR_S), Level.FAILURE),
    "backup": (lambda world: later(world, 8 * DAY_S), Level.WARNING),
    "tokens": (lambda world: world.do(tokens.create, "x", None, WHOLE), Level.WARNING),
    "outbox": (ordered_long_ago, Level.FAILURE),
    "silent devices": (lambda world: later(world, 8 * DAY_S), Level.WARNING),
    "dead letters": (expired, Level.WARNING),
    "topics behind": (sent_long_ago, Level.WARNING),
}


def looked(world: World, name: str) -> Verdict:
    return world.store.run(look_database.LOOKS[name], world.clock.now)


@pytest.mark.format(2)
@pytest.mark.parametrize("name", AILMENTS)
def test_what_ails_a_database_is_found_and_what_does_not_is_not(fleet: World, tmp_path: Path, name: str) -> None:
    fleet.greet()
    fleet.settle_down()
    fleet.sql("UPDATE client SET last_report = :now", now=fleet.clock.now)
    make, level = AILMENTS[name]
    if name == "backup":
        assert looked(fleet, name).level is Level.WARNING  # never made
        back_up(fleet, tmp_path / "a")
    assert looked(fleet, name).level is Level.OK
    make(fleet)
    found = looked(fleet, name)
    assert found.level is level
    assert found.remedy


@pytest.mark.format(2)
def test_commands_that_devices_refused_are_found(fleet: World) -> None:
    fleet.sql("UPDATE outbox SET state = 'refused'")
    assert looked(fleet, "dead letters").level is Level.WARNING


def test_the_age_of_a_key_counts_from_its_own_rotation(shop: Shop) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.AUDIT, 1))  # which is another key
    later(shop.world, 366 * DAY_S)
    assert looked(shop.world, "key age").level is Level.WARNING
    shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    later(shop.world, 364 * DAY_S)
    assert looked(shop.world, "key age").level is Level.OK
    later(shop.world, 2 * DAY_S)
    found = looked(shop.world, "key age")
    assert (found.level, "366 days old" in found.found) == (Level.WARNING, True)


def test_a_key_is_as_old_at_least_as_what_is_kept_of_the_audit_log(shop: Shop) -> None:
    shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    shop.world.do(checkpoints.make, Pace(0))
    shop.world.do(checkpoints.prune, shop.world.clock.now + 1)
    assert looked(shop.world, "key age").level is Level.OK
    shop.do(lambda smith: smith.rotate(Purpose.AUDIT, 1))
    later(shop.world, 364 * DAY_S)
    assert looked(shop.world, "key age").level is Level.OK
    later(shop.world, 2 * DAY_S)
    assert looked(shop.world, "key age").level is Level.WARNING


def test_a_key_that_one_kms_alone_opens_is_found(sk: World) -> None:
    assert looked(sk, "kms wraps").level is Level.WARNING
    sk.sql("INSERT INTO dek_wrap SELECT purpose, version, 1, 'other:', key_id, mechanism, blob FROM dek_wrap")
    assert looked(sk, "kms wraps").level is Level.OK
    sk.sql("DELETE FROM dek_wrap WHERE slot = 1 AND purpose = 'audit'")
    assert looked(sk, "kms wraps").level is Level.WARNING


def machine(name: str, folder: Path, **settings: Any) -> Verdict:
    return look_machine.LOOKS[name](settings_in(folder, **settings), time.time())


def test_a_kek_beside_its_database_is_found(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(0o700)
    kek_file.create(data / "kek.json")
    (data / "c2.sqlite").touch(0o600)
    assert "beside" in machine("kek beside database", tmp_path).found
    (tmp_path / "elsewhere").mkdir()
    (data / "c2.sqlite").rename(tmp_path / "elsewhere" / "c2.sqlite")
    found = machine("kek beside database", tmp_path, database=str(tmp_path / "elsewhere" / "c2.sqlite"))
    assert (found.level, "filesystem" in found.found) == (Level.WARNING, True)
    assert machine("kek beside database", tmp_path, kms="passphrase:?file=x").level is Level.OK
    assert machine("passphrase", tmp_path, kms="passphrase:?file=x").level is Level.WARNING


def test_what_is_wrong_with_files_is_found(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(0o700)
    assert machine("files", tmp_path).level is Level.OK
    assert machine("kms", tmp_path).level is Level.FAILURE
    kek_file.create(data / "kek.json")
    assert machine("kms", tmp_path).level is Level.OK
    (data / "kek.json").chmod(0o640)
    found = machine("files", tmp_path)
    assert (found.level, str(data / "kek.json") in found.found) == (Level.FAILURE, True)
    assert machine("admin token file", tmp_path).level is Level.OK
    (data / "admin-token").touch(0o600)
    assert machine("admin token file", tmp_path).level is Level.WARNING


@pytest.mark.parametrize(
    ("broker", "level"),
    [
        ("mqtt://broker.example", Level.FAILURE),
        ("mqtts://broker.example", Level.OK),
        ("mqtt://127.0.0.1", Level.OK),
        ("embedded://127.0.0.1:0", Level.OK),
        ("embedded://192.0.2.1:1883", Level.FAILURE),
    ],
)
def test_a_way_to_the_broker_without_tls_is_found(tmp_path: Path, broker: str, level: Level) -> None:
    assert machine("broker tls", tmp_path, broker=broker).level is level


def test_a_broker_that_lets_in_strangers_is_found(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    def tried(uri: str) -> Verdict:
        return asyncio.run(look_broker.stranger(uri))

    open_to_all = start_mosquitto()
    assert tried(open_to_all.uri).level is Level.FAILURE
    open_to_all.kill()
    assert tried(open_to_all.uri).level is Level.UNKNOWN
    (tmp_path / "password").touch(0o600)
    closed = start_mosquitto(users={"e4": "secret"})
    assert tried(closed.uri.replace("mqtt://", "mqtt://e4@")).level is Level.OK


def test_an_api_that_others_reach_is_found(tmp_path: Path) -> None:
    assert machine("api address", tmp_path).level is Level.OK
    assert machine("api address", tmp_path, host="192.0.2.1", **self_signed(tmp_path)).level is Level.WARNING


def test_a_certificate_that_ends_is_found(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    ends = x509.load_pem_x509_certificate(files["tls_certificate"].read_bytes()).not_valid_after_utc.timestamp()

    def seen(now: float) -> Level:
        return look_machine.LOOKS["certificate"](settings_in(tmp_path, **files), now).level

    assert machine("certificate", tmp_path).level is Level.OK
    assert seen(ends - 31 * DAY_S) is Level.OK
    assert seen(ends - 29 * DAY_S) is Level.WARNING
    assert seen(ends) is Level.FAILURE
    files["tls_certificate"].write_text("no PEM")
    assert seen(ends - 31 * DAY_S) is Level.FAILURE
    files["tls_certificate"].unlink()
    assert seen(ends - 31 * DAY_S) is Level.FAILURE


@pytest.mark.parametrize(("mib", "level"), [(64, Level.FAILURE), (512, Level.WARNING), (4096, Level.OK)])
def test_a_disk_that_is_nearly_full_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mib: int, level: Level
) -> None:
    data, disk = tmp_path / "data", tmp_path / "disk"
    data.mkdir(0o700)
    disk.mkdir()
    free = {data: 2**40, disk: mib * 2**20}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    assert machine("disk", tmp_path, database=str(disk / "c2.sqlite")).level is level


def test_a_folder_that_is_not_there_has_no_disk(tmp_path: Path) -> None:
    assert machine("disk", tmp_path).level is Level.UNKNOWN


def test_what_is_not_approved_is_found_where_that_is_asked_for(tmp_path: Path) -> None:
    assert machine("fips", tmp_path).level is Level.OK
    found = machine("fips", tmp_path, require_fips=True)
    assert (found.level, found.remedy) == (Level.FAILURE, "see docs/guides/fips.md")


def test_libraries_with_known_trouble_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine("libraries", tmp_path).level is Level.OK
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    assert machine("libraries", tmp_path).level is Level.WARNING
    monkeypatch.undo()
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_INFO", (1, 1, 1, 23, 15))
    assert machine("libraries", tmp_path).level is Level.WARNING


def test_a_clock_that_nobody_set_is_found(tmp_path: Path) -> None:
    assert machine("clock", tmp_path).level is Level.OK
    assert look_machine.LOOKS["clock"](settings_in(tmp_path), 0.0).level is Level.FAILURE


def test_all_checks_are_made_beside_a_c2_at_work_and_without_a_database(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings):
        found = asyncio.run(doctor.examine(settings))
    assert [each.check for each in found] == list(doctor.CHECKS)
    assert {each.check for each in found if each.level is Level.FAILURE} == set()
    found = asyncio.run(doctor.examine(Settings(data=tmp_path / "none", broker=settings.broker)))
    assert [each.check for each in found] == list(doctor.CHECKS)
    assert {each.check for each in found if each.level is Level.FAILURE} == {"kms", "database"}
    assert not (tmp_path / "none").exists()
