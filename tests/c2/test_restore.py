# SPDX-License-Identifier: Apache-2.0
"""A C2 that is restored holds what it held, is paused, and repeats nothing that devices have seen (rule 10)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from e4c2 import clients, tokens, topics
from e4c2.enrolment import tokens as enrolments
from e4c2.events import webhooks
from e4c2.model import restoring, topic_epoch
from e4c2.recovery import backups, confirming, restored
from e4core.errors import Conflict, Denied, StorageError, Tampered
from tests.c2.conftest import Worlds
from tests.c2.restoring import back_up, contents, keys_of, restore
from tests.c2.world import World

LOST_FOR_S = 3600


def lose(world: World, path: Path) -> None:
    """Back up, go further, and come back an hour later with what was backed up."""
    back_up(world, path / "file")
    world.do(topics.create, "later")
    world.add("c")
    world.do(topics.join, "t", ["c"])
    for _ in range(3):
        world.do(topics.rotate, "t")
        world.settle_down()
    world.clock.now += LOST_FOR_S
    restore(world, path / "file", path / "restored.db")


def confirm(world: World) -> None:
    """As an operator does who has looked."""
    backup = world.do(confirming.show).backup
    assert backup is not None
    world.do(confirming.confirm, backup)


def test_all_rows_come_back_and_a_drill_opens_them(fleet: World, tmp_path: Path) -> None:
    fleet.do(tokens.create, "admin")
    before = fleet.store.run(contents)
    made = back_up(fleet, tmp_path / "file")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    read, looked = backups.verify(tmp_path / "file", keys_of(fleet))
    assert read == made
    assert looked >= made.manifest.rows["client"] + made.manifest.rows["membership"]
    restore(fleet, tmp_path / "file", tmp_path / "restored.db")
    assert fleet.store.run(contents) == before
    assert (tmp_path / "restored.db").stat().st_mode & 0o777 == 0o600
    assert fleet.store.run(backups.last_made) is None


def test_a_backup_shows_no_name(fleet: World, tmp_path: Path) -> None:
    fleet.add("a-name-that-nobody-reads")
    back_up(fleet, tmp_path / "file")
    assert b"a-name-that-nobody-reads" not in (tmp_path / "file").read_bytes()


def test_a_backup_overwrites_nothing_and_is_noted(fleet: World, tmp_path: Path) -> None:
    made = back_up(fleet, tmp_path / "file")
    assert fleet.store.run(backups.last_made) == made.manifest.created == fleet.clock.now
    before = (tmp_path / "file").read_bytes()
    with pytest.raises(Conflict, match="exists already"):
        back_up(fleet, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_who_had_a_token_has_none(fleet: World, tmp_path: Path) -> None:
    _, text = fleet.do(tokens.create, "admin")
    back_up(fleet, tmp_path / "file")
    restore(fleet, tmp_path / "file", tmp_path / "restored.db")
    with pytest.raises(Denied):
        fleet.do(tokens.authenticate, text.decode())
    assert not fleet.do(tokens.is_any_valid)


def test_no_device_is_let_in_and_no_webhook_is_told_until_somebody_says_so(fleet: World, tmp_path: Path) -> None:
    _, text = fleet.do(enrolments.create, "workshop", "new*", [], 3, 3600.0)
    made, _ = fleet.do(webhooks.create, "hook", "https://hook.example/e4")
    back_up(fleet, tmp_path / "backup")
    restore(fleet, tmp_path / "backup", tmp_path / "new.sqlite")
    with pytest.raises(Denied):
        fleet.do(enrolments.authenticate, text.decode())
    assert fleet.do(webhooks.show, made.id).state == "paused"
    assert fleet.do(webhooks.resume, made.id).state == "active"


def test_nothing_leaves_and_no_report_counts_until_the_members_are_confirmed(fleet: World, tmp_path: Path) -> None:
    lose(fleet, tmp_path)
    fleet.do(topics.rotate, "t")
    for name in "abc":
        fleet.devices[name].inbox.clear()
    fleet.greet()
    before = fleet.dump()
    told = fleet.receive()
    assert {type(error) for error in told} <= {Denied}
    assert {error.kind for error in told} <= {"paused"}
    assert fleet.claim() == []
    assert fleet.dump() == before
    shown = fleet.do(confirming.show)
    assert (shown.state, shown.clients, shown.topics, shown.memberships) == ("paused", 2, 1, 2)
    assert shown.made is not None
    assert shown.restored is not None
    assert shown.restored - shown.made >= LOST_FOR_S
    assert shown.unknown
    assert shown.backup is not None
    fleet.crash()
    assert fleet.claim() == []
    with fleet.refuses(Conflict):
        fleet.do(confirming.confirm, "00" * 16)
    fleet.do(confirming.confirm, shown.backup)
    fleet.clock.now += restored.SETTLES_S
    assert fleet.claim()
    with fleet.refuses(Conflict, kind="not_paused"):
        fleet.do(confirming.confirm, shown.backup)


def test_devices_that_had_gone_further_follow_and_nothing_is_repeated(fleet: World, tmp_path: Path) -> None:
    fleet.settle_down()
    lost_from = len(fleet.wire)
    lose(fleet, tmp_path)
    old = {name: fleet.topic_key("t") for name in "t"}
    lost = {name: fleet.sent_to(name, lost_from) for name in "ab"}
    held = {name: fleet.devices[name].key("t") for name in "abc"}
    before = len(fleet.wire)
    confirm(fleet)
    fleet.settle_down()
    new = fleet.topic_key("t")
    assert new not in {*old.values(), *held.values()}
    assert {fleet.devices[name].key("t") for name in "ab"} == {new}
    assert fleet.devices["c"].key("t") != new
    for name in "ab":
        sent = fleet.sent_to(name, before)
        assert sent
        assert lost[name]
        assert min(second for second, _ in sent) > max(second for second, _ in lost[name])
    assert not {sent.payload for sent in fleet.wire[before:]} & {sent.payload for sent in fleet.wire[:before]}


@pytest.mark.format(2)
def test_no_sequence_and_no_epoch_comes_again_though_topics_were_rotated_ahead_of_the_clock(
    fleet: World, tmp_path: Path
) -> None:
    back_up(fleet, tmp_path / "file")
    for _ in range(50):  # in one second
        fleet.do(topics.rotate, "t")
    fleet.settle_down()
    ahead, last = numbers(fleet)
    fleet.clock.now += 1
    restore(fleet, tmp_path / "file", tmp_path / "restored.db")
    assert ahead > fleet.clock.now  # or this shows nothing
    confirm(fleet)
    fleet.settle_down()
    epoch, sequence = numbers(fleet)
    assert epoch > ahead
    assert sequence > last
    assert {fleet.devices[name].key("t") for name in "ab"} == {fleet.topic_key("t")}


def numbers(world: World) -> tuple[int, int]:
    """The newest epoch, and the least of the last sequences."""

    def look(db: sa.Connection) -> tuple[int, int]:
        epoch = db.scalar(sa.select(sa.func.max(topic_epoch.c.last)))
        sequence = db.scalar(sa.text("SELECT min(last) FROM command_sequence"))
        return int(epoch or 0), int(sequence or 0)

    return world.store.run(look)


@pytest.mark.format(1)
def test_no_second_comes_again_though_it_was_restored_at_once(fleet: World, tmp_path: Path) -> None:
    back_up(fleet, tmp_path / "file")
    fleet.clock.now += 1
    fleet.do(topics.rotate, "t")
    lost = fleet.claim()
    assert lost
    restore(fleet, tmp_path / "file", tmp_path / "restored.db")
    confirm(fleet)
    assert fleet.claim() == []
    for _ in range(60):
        fleet.clock.now += 0.25
        if sealed := fleet.claim():
            break
    assert min(each.second or 0 for each in sealed) > max(each.second or 0 for each in lost)


def test_a_clock_that_is_behind_is_refused(fleet: World, tmp_path: Path) -> None:
    back_up(fleet, tmp_path / "file")
    fleet.clock.now -= 3600
    with pytest.raises(Conflict) as caught:
        restore(fleet, tmp_path / "file", tmp_path / "restored.db")
    assert caught.value.kind == "bad_clock"
    assert not (tmp_path / "restored.db").exists()
    fleet.clock.now += 3600
    restore(fleet, tmp_path / "file", tmp_path / "restored.db")
    fleet.clock.now -= 1
    with fleet.refuses(Conflict, kind="bad_clock"):
        confirm(fleet)
    assert fleet.claim() == []


def test_a_database_in_use_is_not_touched(fleet: World, worlds: Worlds, tmp_path: Path) -> None:
    back_up(fleet, tmp_path / "file")
    other = worlds(fleet.suite.name)
    before = other.dump()
    with pytest.raises(Conflict) as caught:
        backups.restore(tmp_path / "file", other.database, keys_of(fleet), lambda *_: None)
    assert caught.value.kind == "not_empty"
    assert other.dump() == before


def test_a_restore_that_breaks_off_leaves_a_database_that_starts_nothing_and_can_be_restored_again(
    fleet: World, tmp_path: Path
) -> None:
    back_up(fleet, tmp_path / "file")
    whole, path = (tmp_path / "file").read_bytes(), tmp_path / "restored.db"
    (tmp_path / "file").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Tampered):
        restore(fleet, tmp_path / "file", path)
    assert not path.exists()  # there was but one chunk, and so no manifest
    (tmp_path / "file").write_bytes(whole)

    class Broken(Exception): ...

    def breaks(*_: object) -> None:
        raise Broken

    with pytest.raises(Broken):
        backups.restore(tmp_path / "file", path, keys_of(fleet), breaks)
    broken = World.__new__(World)
    broken.__dict__.update(fleet.__dict__, place=path)
    with pytest.raises(StorageError, match="do it again"):
        broken.open()
    broken.store.close()
    restore(fleet, tmp_path / "file", path)
    assert fleet.store.run(lambda db: db.scalar(sa.select(sa.func.count()).select_from(restoring))) == 0
    assert fleet.names(clients.page) == ["a", "b"]


def test_a_backup_of_another_suite_or_release_is_refused(fleet: World, tmp_path: Path) -> None:
    back_up(fleet, tmp_path / "file")
    keys = keys_of(fleet)

    other = replace(keys, suite=replace(fleet.suite, name="another"))
    with pytest.raises(Conflict, match="of the suite"):
        backups.verify(tmp_path / "file", other)


def test_a_pause_that_was_taken_out_of_the_database_is_an_alarm_and_still_a_pause(fleet: World, tmp_path: Path) -> None:
    lose(fleet, tmp_path)
    fleet.sql("DELETE FROM recovery")
    with pytest.raises(Tampered):
        fleet.claim()
    with pytest.raises(Tampered):
        fleet.open()
    fleet.sql("INSERT INTO recovery (id, state, generation, mac) VALUES (1, 'normal', 2, x'00')")
    with pytest.raises(Tampered):
        fleet.claim()


@pytest.mark.parametrize("tampering", ["DELETE FROM membership", "UPDATE audit_head SET number = number + 1"])
def test_what_was_tampered_with_is_not_backed_up(fleet: World, tmp_path: Path, tampering: str) -> None:
    fleet.sql(tampering)
    with pytest.raises(Tampered):
        back_up(fleet, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
