# SPDX-License-Identifier: Apache-2.0
"""What a device is still to do, and is too much for one command of Format 2: it comes in several, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from e4backends.hybrid import Ed25519
from e4backends.pairs import SignatureKey, paired_suite
from e4backends.pyca import Siv
from e4backends.xwing import XWing
from e4c2 import clients, links
from e4c2.rows import Realm
from e4core.control2 import LONGEST
from e4core.keys import control_topic
from e4core.suite import Verifier
from e4kms import file as kek_file
from tests.c2.world import World

PADDING = bytes(60_000)
"""Makes public keys of which a command holds 16; an entry has no room for much longer ones."""
PEERS = 18


@dataclass(frozen=True)
class _Padded:
    """A key whose public part is long."""

    key: SignatureKey

    @property
    def public(self) -> bytes:
        return self.key.public + PADDING

    def sign(self, message: bytes, /) -> bytes:
        return self.key.sign(message)


class _LongEd25519:
    private_len = 32
    public_len = 32 + len(PADDING)
    signature_len = 64

    def generate(self) -> bytes:
        return Ed25519().generate()

    def key(self, stored: bytes, /) -> _Padded:
        return _Padded(Ed25519().key(stored))

    def verifier(self, public: bytes, /) -> Verifier:
        assert len(public) == self.public_len
        return Ed25519().verifier(public[:32])


LONG = paired_suite("t-long", "t-long", Siv(), _LongEd25519(), XWing())


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[World]:
    """``a`` is to hold the public keys of all others."""
    kek_file.create(tmp_path / "kek.json")
    made = World(LONG, tmp_path / "db", f"file://{tmp_path}/kek.json")
    made.add("a")
    made.do(_befriend)
    yield made
    made.store.close()


def _befriend(db: sa.Connection, realm: Realm) -> None:
    for number in range(PEERS):
        key = realm.suite.device.load(realm.suite.device.generate())
        clients.create(db, realm, f"peer {number}", realm.suite.device.public(key), 1)
        links.send(db, realm, "a", f"peer {number}")


def lengths(crowd: World, since: int = 0) -> list[int]:
    return [len(each.payload) for each in crowd.wire[since:] if each.topic == control_topic(crowd.devices["a"].id)]


def test_as_much_as_there_is_room_for_then_the_rest(crowd: World) -> None:
    assert crowd.carry()
    assert not crowd.carry(), "the rest waits for the answer"
    before = crowd.clock.now
    crowd.settle_down()
    assert crowd.clock.now - before < 60, "and for nothing else"
    assert [length // len(PADDING) for length in lengths(crowd)] == [16, 2]
    assert max(lengths(crowd)) <= LONGEST
    assert crowd.digest_fits("a")
    sent = len(crowd.wire)
    crowd.do(clients.reset, "a")
    crowd.settle_down()
    assert crowd.kinds_sent_to("a", sent) == ["ResetTopics", "ResetPubKeys", *["SetPubKey"] * PEERS]
    assert len(lengths(crowd, sent)) == 2
    assert crowd.digest_fits("a")


def test_a_device_that_missed_the_first_part_gets_all_when_it_is_back(crowd: World) -> None:
    a = crowd.devices["a"]
    a.away = True
    crowd.carry()
    for _ in range(50):
        crowd.clock.now += 60
        assert not crowd.carry(), "nothing is sent again and again in vain"
    a.away = False
    crowd.greet("a")
    crowd.receive()
    crowd.settle_down()
    assert crowd.kinds_sent_to("a").count("Sync") == 1
    assert crowd.digest_fits("a")
    assert max(lengths(crowd)) <= LONGEST
