# SPDX-License-Identifier: Apache-2.0
"""All that devices and their C2 ask of cryptography in Format 2, once, and as it is done. Runs on a FIPS provider too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import sqlalchemy as sa

from e4c2 import c2keys, clients, tokens, topics
from e4c2.audit import checkpoints
from e4c2.audit.checkpoints import Comparison
from e4c2.idempotency import Answer, Request, digest, once
from e4c2.locksmith import Locksmith
from e4c2.model import Reason
from e4c2.resealing import behind
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.kms import Kms
from e4core.suite import Suite
from e4device.statefile import StateFile
from e4kms.deks import Purpose
from e4kms.keyring import UNLIMITED
from tests.c2.devices import Ours
from tests.c2.world import World
from tests.kms.memory import MemoryKms

TOPIC = "t"


Chapter = Callable[["ApprovedWorld"], None]


class ApprovedWorld(World):
    """Its KMS wraps with AES-256-GCM, as tokens and services do."""

    def __init__(self, suite: Suite, database: Path, kms: Kms | None = None) -> None:
        self.kmses: Mapping[str, Kms] = {"memory:": kms or MemoryKms()}
        super().__init__(suite, database, "memory:")

    def open(self) -> None:
        self.store = Store(self.database)
        self.realm = self.store.run(open_realm, self.suite, self.kmses, self.clock)


def enrol(world: World) -> None:
    """Two devices, which get a topic key by command, acknowledge it, and say hello."""
    for name in "ab":
        world.add(name)
    world.topic(TOPIC, *"ab")
    world.befriend(*"ab")
    world.greet()
    world.settle_down()
    assert all(map(world.digest_fits, "ab"))


def pass_messages(world: World) -> None:
    world.clock.now += 1
    assert world.readers(TOPIC, "a") == {"b"}


def keep_a_state(world: World) -> None:
    """On disk and back; what the device sends after that is of another session."""
    device = world.devices["a"]
    assert isinstance(device, Ours)
    with StateFile(world.database.with_suffix(".state"), suites=lambda _: world.suite) as file:
        file.create(device.client.state)
        device.start(file.load(world.clock()))


def change_keys(world: World) -> None:
    """Of a topic, of a device, and of the C2 where it has one: each is confirmed."""
    world.do(topics.rotate, TOPIC)
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.settle_down()
    assert not world.do(clients.show, "a").key_change
    if not world.suite.is_symmetric:
        world.do(c2keys.new, Reason.ROUTINE)
        world.settle_down()
        world.do(c2keys.finish)


def evict(world: World) -> None:
    world.do(topics.leave, TOPIC, ["b"])
    world.settle_down()
    assert world.readers(TOPIC, "a") == set()


def call_the_api(world: World) -> None:
    """A token, and a request that is sent twice."""

    def ask(db: sa.Connection) -> None:
        token, text = tokens.create(db, world.realm, "admin")
        assert tokens.authenticate(db, world.realm, text.decode()) == token
        request = Request(token.id, "key", digest("POST", "/v1/topics", b"", b"{}"))
        answers = {once(db, world.realm, request, bytes(32), lambda: Answer(201, b"{}")) for _ in range(2)}
        assert len(answers) == 1

    world.store.run(ask)


def rotate_the_database(world: ApprovedWorld) -> None:
    """A new DEK for records and one for MACs, which all rows follow."""
    database_id = world.store.run(lambda db: db.execute(sa.text("SELECT database_id FROM realm")).scalar_one())
    smith = Locksmith(world.store, world.realm, database_id, world.kmses, UNLIMITED)

    async def rotate() -> None:
        for purpose in (Purpose.RECORDS, Purpose.AUTHORITY):
            await smith.rotate(purpose, 1)
            await smith._reseal_all()

    asyncio.run(rotate())
    assert not any(world.store.run(behind, world.realm).values())


def sign_the_log(world: World) -> None:
    """A checkpoint of the audit log, which somebody witnesses."""
    witnessed = world.do(checkpoints.make, checkpoints.Pace(seconds=0, records=1))
    assert witnessed
    compared = world.do(checkpoints.compare, witnessed)
    assert isinstance(compared, Comparison)
    assert compared.behind == 0


def start_again(world: World) -> None:
    """As after a crash: all that is stored is checked."""
    world.crash()


BEGINNING = (enrol, pass_messages)
WHOLE = (
    *BEGINNING,
    keep_a_state,
    pass_messages,
    change_keys,
    pass_messages,
    call_the_api,
    rotate_the_database,
    sign_the_log,
    start_again,
    pass_messages,
    evict,
)


def prepare(suite: Suite, folder: Path) -> None:
    """Make the schema of the database."""
    Store(_database(suite, folder)).close()


def tell(chapters: Iterable[Chapter], suite: Suite, folder: Path, kms: Kms | None = None) -> None:
    """Args: folder: for the database and the state of a device."""
    world = ApprovedWorld(suite, _database(suite, folder), kms)
    try:
        for chapter in chapters:
            chapter(world)
    finally:
        world.store.close()


def _database(suite: Suite, folder: Path) -> Path:
    return folder / f"{suite.name}.sqlite"
