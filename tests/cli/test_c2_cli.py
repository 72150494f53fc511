# SPDX-License-Identifier: Apache-2.0
"""Commands that ask a C2: each does what it says, in tables and in JSON."""

from __future__ import annotations

import os
import stat
import time
from itertools import count
from pathlib import Path

import pytest

from e4core.state import State
from tests.c2.served import PATIENCE_S, serving, settings_in
from tests.cli.c2_server import C2
from tests.cli.command import running
from tests.cli.devices import loaded

OPERATION = {"id", "kind", "subject", "created", "counts", "awaited"}
NAMES = [
    "attic/left room",
    "Dachboden-Süd ☃",
    "a+b=c&d?e#f%20",
    "two  spaces ",
    "../../etc",
    "0" * 32,
    "'; DROP",
    "--help",
]
_numbers = count()


def fresh(what: str) -> str:
    return f"{what}-{next(_numbers)}"


def client(c2: C2, name: str = "") -> str:
    name = name or fresh("client")
    c2.served.client(name, suite=c2.suite)
    return name


def topic(c2: C2, *members: str) -> str:
    name = fresh("topic")
    c2.served.topic(name, *(c2.answer("clients", "show", member)["id"] for member in members))
    return name


def generated(c2: C2, name: str, *options: str) -> tuple[State, dict[str, object]]:
    """What ``--generate`` wrote, and what it said."""
    shown = c2.answer("clients", "create", name, "--generate", *options)
    return loaded(c2.folder / shown["state_file"]), shown


class TestClients:
    def test_a_client_is_registered_with_a_key_from_a_file(self, c2: C2) -> None:
        name = fresh("client")
        _, registered = c2.key_file(name)
        made = c2.answer("clients", "create", name, "--key", registered)
        assert made == c2.answer("clients", "show", name)
        assert made["id"] == c2.suite.derive_id(name).hex()
        assert made["status"] == "active"

    def test_a_client_gets_the_id_that_it_is_to_have(self, c2: C2) -> None:
        identity = os.urandom(16).hex()
        state, shown = generated(c2, fresh("client"), "--id", identity.upper())
        assert state.client_id.hex() == shown["id"] == identity

    def test_generate_writes_a_state_that_belongs_to_what_is_registered(self, c2: C2) -> None:
        name = fresh("attic/left")
        state, shown = generated(c2, name)
        assert shown["state_file"] == name.replace("/", "_") + ".state"
        assert state.suite == c2.suite.name
        assert state.client_id.hex() == shown["id"] == c2.answer("clients", "show", name)["id"]
        keys = c2.answer("c2", "show")["c2_keys"]
        assert state.c2_public.hex() == (keys[-1]["public"] if keys else "")
        assert stat.S_IMODE((c2.folder / str(shown["state_file"])).stat().st_mode) == 0o600

    def test_generate_can_seal_the_state(self, c2: C2) -> None:
        passphrase = c2.folder / fresh("passphrase")
        passphrase.touch(0o600)
        passphrase.write_text("a passphrase of the state\n")
        state = c2.folder / fresh("state")
        c2.ok("clients", "create", fresh("client"), "--generate", "--state", state, "--passphrase-file", passphrase)
        assert c2.answer("device", "show", "--state", state, "--passphrase-file", passphrase)["encrypted"]

    @pytest.mark.parametrize("name", NAMES)
    def test_any_name_does(self, sk: C2, name: str) -> None:
        client(sk, name)
        assert sk.answer("clients", "show", "--", name)["name"] == name
        on = topic(sk)
        sk.ok("topics", "join", on, "--", name)
        assert [row["name"] for row in sk.answer("topics", "members", on)] == [name]
        sk.ok("clients", "remove", "--", name)
        assert sk.answer("topics", "members", on) == []

    def test_remove_re_keys_what_the_client_leaves_unless_told_not_to(self, c2: C2) -> None:
        stays, goes, goes_too = client(c2), client(c2), client(c2)
        topic(c2, stays, goes, goes_too)
        assert sum(c2.answer("clients", "remove", goes, "--no-rekey")["counts"].values()) == 0
        assert sum(c2.answer("clients", "remove", goes_too)["counts"].values()) == 1

    def test_many_are_removed_at_once_or_none(self, c2: C2) -> None:
        goes, goes_too, stays = (client(c2) for _ in range(3))
        on = topic(c2, goes, goes_too, stays)
        c2.refused(8, "clients", "remove", goes, "nobody")
        c2.refused(2, "clients", "remove", goes, goes_too, "--wait-s", "5")
        assert c2.answer("clients", "show", goes)["status"] == "active"
        before = len(c2.answer("topics", "history", on))
        c2.answer("clients", "remove", goes, goes_too)
        assert [row["name"] for row in c2.answer("topics", "members", on)] == [stays]
        assert len(c2.answer("topics", "history", on)) == before + 1

    def test_the_topics_of_a_client_are_listed(self, c2: C2) -> None:
        name = client(c2)
        topics = sorted(topic(c2, name) for _ in range(3))
        assert [row["name"] for row in c2.answer("clients", "topics", name)] == topics
        assert [row["name"] for row in c2.answer("clients", "topics", name, "--limit", "2")] == topics[:2]

    def test_a_key_is_changed_and_confirmed(self, c2: C2) -> None:
        name = client(c2)
        operation = c2.answer("clients", "new-key", name, "--reason", "routine", "--wait")
        assert operation["kind"] == "new_key_routine"
        assert c2.answer("clients", "show", name)["key_change"]
        assert c2.answer("clients", "confirm-key", name)["kind"] == "confirm_key"
        assert not c2.answer("clients", "show", name)["key_change"]

    def test_a_change_of_a_key_is_cancelled_once_it_cannot_arrive_any_more(self, tmp_path: Path) -> None:
        with serving(settings_in(tmp_path)) as served:
            c2 = C2(served, tmp_path)
            served.client("a")
            c2.ok("clients", "new-key", "a", "--reason", "routine", "--wait")
            c2.refused(9, "clients", "cancel-key", "a")
            served.clock.ahead_s += 1000
            assert not c2.answer("clients", "cancel-key", "a")["key_change"]

    def test_a_client_with_a_compromised_key_is_enrolled_anew(self, c2: C2) -> None:
        name = fresh("client")
        old, _ = generated(c2, name)
        on = topic(c2, name)
        c2.ok("clients", "new-key", name, "--reason", "compromised")
        assert c2.answer("clients", "show", name)["status"] == "suspended"
        state = c2.folder / fresh("state")
        enrolled = c2.answer("clients", "enrol", name, "--generate", "--state", state)
        assert enrolled.keys() == OPERATION | {"state_file"}
        assert loaded(state).private != old.private
        assert loaded(state).client_id == old.client_id
        assert c2.answer("clients", "show", name)["status"] == "active"
        assert [row["name"] for row in c2.answer("topics", "members", on)] == [name]

    def test_a_device_is_reset(self, c2: C2) -> None:
        name = client(c2)
        topic(c2, name)
        operation = c2.answer("clients", "reset", name)
        assert operation["kind"] == "reset"
        assert sum(operation["counts"].values()) == (2 if c2.suite.is_symmetric else 3)


class TestTopics:
    def test_a_topic_is_created_shown_and_removed(self, c2: C2) -> None:
        name = fresh("plant 3/höhe/°C")
        made = c2.answer("topics", "create", name)
        assert made == c2.answer("topics", "show", name)
        assert made["members"] == 0
        assert c2.answer("topics", "remove", name)["kind"] == "remove_topic"
        assert c2.run("topics", "show", name).code == 8

    def test_clients_join_and_leave(self, c2: C2) -> None:
        names, on = sorted(client(c2) for _ in range(3)), topic(c2)
        joined = c2.answer("topics", "join", on, *names, names[0])
        assert sum(joined["counts"].values()) == 3
        assert [row["name"] for row in c2.answer("topics", "members", on)] == names
        assert sum(c2.answer("topics", "leave", on, names[0])["counts"].values()) == 3
        assert sum(c2.answer("topics", "leave", on, names[1], "--no-rekey")["counts"].values()) == 1
        assert [row["name"] for row in c2.answer("topics", "members", on)] == names[2:]

    def test_rotate_sends_a_new_key_to_all_members(self, c2: C2) -> None:
        on = topic(c2, client(c2), client(c2))
        before = c2.answer("topics", "show", on)
        operation = c2.answer("topics", "rotate", on)
        assert operation.keys() == OPERATION
        assert sum(operation["counts"].values()) == 2
        assert c2.answer("topics", "show", on)["rotated"] > before["rotated"]


class TestLinks:
    def test_public_keys_are_sent_listed_and_forgotten(self, pk: C2) -> None:
        holder, *peers = client(pk), client(pk), client(pk)
        for peer in peers:
            assert pk.answer("links", "send", holder, peer)["subject"] == f"{holder} <- {peer}"
        assert [row["name"] for row in pk.answer("links", "list", holder)] == sorted(peers)
        assert pk.answer("links", "list", peers[0]) == []
        pk.ok("links", "remove", holder, peers[0])
        assert [row["name"] for row in pk.answer("links", "list", holder)] == peers[1:]
        assert pk.answer("links", "reset", holder)["kind"] == "reset_links"
        assert pk.answer("links", "list", holder) == []


class TestC2:
    def test_the_c2_shows_what_it_is(self, c2: C2) -> None:
        shown = c2.answer("c2", "show")
        assert (shown["suite"], shown["symmetric"]) == (c2.suite.name, c2.suite.is_symmetric)
        assert shown["broker"] == c2.served.settings.broker

    def test_the_key_of_the_c2_is_changed_and_new_devices_get_the_active_one(self, pk: C2) -> None:
        laggard = client(pk)
        old = pk.answer("c2", "show")["c2_keys"][-1]["public"]
        assert pk.answer("c2", "new-key", "--reason", "routine", "--wait")["kind"] == "new_c2_key_routine"
        state, _ = generated(pk, name := fresh("client"))
        assert state.c2_public.hex() == old
        assert pk.run("c2", "finish").code == 9
        active = pk.answer("c2", "finish", "--force")
        assert active["state"] == "active"
        state, _ = generated(pk, fresh("client"))
        assert state.c2_public.hex() == active["public"] != old
        assert pk.answer("clients", "show", laggard)["status"] == "active"
        assert {laggard, name} <= {row["name"] for row in pk.answer("c2", "laggards")}
        assert len(pk.answer("c2", "laggards", "--limit", "1")) == 1
        assert pk.answer("clients", "confirm-c2-key", laggard)["c2_key"] == active["version"]
        assert laggard not in {row["name"] for row in pk.answer("c2", "laggards")}

    def test_a_compromised_key_suspends_all_when_that_is_meant(self, tmp_path: Path) -> None:
        with serving(settings_in(tmp_path, suite="pk")) as served:
            c2 = C2(served, tmp_path)
            before, _ = generated(c2, "a")
            command = ["c2", "new-key", "--reason", "compromised"]
            assert "--yes" in c2.run(*command).stderr
            assert [key["state"] for key in c2.answer("c2", "show")["c2_keys"]] == ["active"]
            assert c2.answer(*command, "--yes")["kind"] == "new_c2_key_compromised"
            keys = c2.answer("c2", "show")["c2_keys"]
            assert [key["state"] for key in keys] == ["compromised", "active"]
            assert c2.answer("clients", "show", "a")["status"] == "suspended"
            c2.ok("clients", "enrol", "a", "--generate", "--state", c2.folder / "anew.state")
            state = loaded(c2.folder / "anew.state")
            assert (state.c2_public.hex(), state.client_id) == (keys[-1]["public"], before.client_id)
            assert c2.answer("clients", "show", "a")["status"] == "active"


class TestCommands:
    def test_commands_are_chosen_by_client_and_state(self, c2: C2) -> None:
        name, other = client(c2), client(c2)
        on = topic(c2, other)
        operation = c2.answer("topics", "join", on, name, "--wait")
        assert operation["counts"] == {"sent": 1}
        (command,) = c2.answer("commands", "list", "--client", name)
        assert (command["client"], command["kind"], command["state"]) == (name, "topic", "sent")
        assert command["operation"] == operation["id"]
        assert c2.answer("commands", "list", "--client", name, "--state", "refused") == []
        assert c2.answer("commands", "show", operation["id"]) == operation

    def test_wait_ends_when_all_is_sent(self, c2: C2) -> None:
        on = topic(c2, client(c2), client(c2))
        for _ in range(2):
            assert c2.answer("topics", "rotate", on, "--wait")["counts"] == {"sent": 2}


@pytest.mark.parametrize("suite", ["sk", "pk"])
def test_devices_made_here_talk(tmp_path: Path, suite: str) -> None:
    with serving(settings_in(tmp_path, suite=suite, broker="embedded://127.0.0.1:0")) as served:
        c2 = C2(served, tmp_path)
        for name in ("sender", "reader"):
            c2.ok("clients", "create", name, "--generate")
        c2.ok("topics", "create", "t")
        c2.ok("topics", "join", "t", "sender", "reader")
        if not c2.suite.is_symmetric:
            c2.ok("links", "send", "reader", "sender")
        run = ["device", "run", "--hello-delay", "0", "--state"]
        here = {"E4_DATA": str(served.settings.data)}  # where the broker is found, and what it asks for
        told = ["--broker", served.started.broker]
        with (
            running(*run, tmp_path / "reader.state", "--subscribe", "t", env=here) as reader,
            running(*run, tmp_path / "sender.state", "--publish", "t", *told) as sender,
        ):
            reader.event("connected")
            sender.event("connected")
            wait_until_all_is_confirmed(c2)
            sender.write(b"hello\n")
            assert reader.event("message")["text"] == "hello"
            assert c2.answer("topics", "rotate", "t", "--wait")["counts"] == {"confirmed": 2}


def wait_until_all_is_confirmed(c2: C2) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while {row["state"] for row in c2.answer("commands", "list")} - {"confirmed", "superseded"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
