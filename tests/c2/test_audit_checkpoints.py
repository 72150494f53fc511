# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: signed statements of the audit log, against which a changed or restored database is held."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from e4c2 import notary
from e4c2.audit import chain, checkpoints, verifying
from e4c2.audit.chain import Place
from e4c2.audit.checkpoints import Comparison, Pace
from e4c2.audit.records import CHANGED, Act
from e4c2.audit.signing import ED25519, P256, Checkpoint, PublicKey
from e4c2.audit.statements import FORKED
from e4c2.notary import Notary
from e4core.errors import AuthenticationFailed, Conflict, InvalidInput, Tampered
from e4transports.memory import MemoryBroker
from tests.c2.conftest import Worlds
from tests.c2.served import PATIENCE_S
from tests.c2.test_audit import fill
from tests.c2.world import World

EVERY_S = 60.0
PACE = Pace(EVERY_S, 20)


@pytest.fixture
def sk(worlds: Worlds) -> World:
    return worlds.peopled("sk", fill)


def sign(world: World) -> Checkpoint:
    made = world.do(checkpoints.make, Pace(0))
    assert made is not None
    return made


@pytest.mark.parametrize(("suite", "algorithm"), [("sk", ED25519), ("pk", ED25519), ("fips-sk", P256)])
def test_a_checkpoint_is_signed_as_the_suite_asks(worlds: Worlds, suite: str, algorithm: str) -> None:
    world = worlds(suite)
    made, key = sign(world), world.do(checkpoints.public_key)
    assert key.algorithm == algorithm
    Checkpoint.decode(made.encoded()).verify(PublicKey.parse(str(key)))
    for other in (
        replace(made, number=made.number + 1),
        replace(made, time=made.time + 1),
        replace(made, hash=bytes(32)),
        replace(made, database=bytes(16)),
        replace(made, signature=made.signature[:-1] + bytes([made.signature[-1] ^ 1])),
        replace(made, signature=b""),
    ):
        with pytest.raises(AuthenticationFailed):
            other.verify(key)


def test_one_is_due_after_records_and_time(sk: World) -> None:
    first = sk.do(checkpoints.make, PACE)
    assert first is not None
    assert (first.number, first.hash) == (9, sk.do(verifying.verify_all).hash)
    assert sk.do(checkpoints.make, PACE) is None
    sk.clock.now += EVERY_S
    assert sk.do(checkpoints.make, PACE) is None  # nothing new
    sk.do(chain.append, Act("a"))
    second = sk.do(checkpoints.make, PACE)
    assert second is not None
    sk.do(chain.append, Act("b"))
    assert sk.do(checkpoints.make, PACE) is None
    sk.do(lambda db, realm: [chain.append(db, realm, Act("c")) for _ in range(PACE.records - 1)])
    third = sk.do(checkpoints.make, PACE)
    assert third is not None
    assert [each.number for each in sk.do(checkpoints.page)] == [9, 10, 10 + PACE.records]
    assert sk.do(checkpoints.page, 9, 1) == [second]
    sk.do(chain.append, Act("d"))
    sk.clock.now -= 3600  # it ran ahead
    assert sk.do(checkpoints.is_due, PACE)


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"nul", b"[" * 100_000, b'"x"', *(b'{"number": %s}' % n for n in (b"1", b"-1", b"1e400"))],
)
def test_what_is_no_checkpoint_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidInput):
        Checkpoint.decode(document)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("database", "hash", "signature") for value in ("", "0", 7, None, "ü", "00")),
        *(("number", value) for value in (0, -1, 2**64, "x", None)),
        ("time", "x"),
        ("time", None),
    ],
)
def test_each_field_of_a_checkpoint_is_parsed(sk: World, name: str, value: object) -> None:
    document = sign(sk).document()
    if (name, value) in (("signature", ""), ("signature", "00")):
        key = sk.do(checkpoints.public_key)
        with pytest.raises((InvalidInput, AuthenticationFailed)):
            Checkpoint.parse({**document, name: value}).verify(key)
        return
    with pytest.raises(InvalidInput):
        Checkpoint.decode(json.dumps({**document, name: value}).encode())


@pytest.mark.parametrize("text", ["", "ed25519", "ed25519:00:00", "rsa:" + "00" * 16 + ":" + "00" * 32, "ed25519:x:y"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        PublicKey.parse(text)


def test_a_restored_database_stands_behind_what_was_witnessed(sk: World, tmp_path: Path) -> None:
    early = sign(sk)
    backup = sk.again(tmp_path / "backup.db")
    sk.do(chain.append, Act("lost"))
    sk.do(chain.append, Act("lost"))
    sk.clock.now += EVERY_S
    late = sign(sk)
    assert sk.do(checkpoints.compare, late) == Comparison(0, 0)
    assert sk.do(checkpoints.compare, early) == Comparison(0, 2)
    assert backup.do(checkpoints.compare, late) == Comparison(2, 0)
    backup.do(chain.append, Act("another"))
    assert backup.do(checkpoints.compare, late) == Comparison(1, 0)
    backup.do(chain.append, Act("another"))
    with pytest.raises(Tampered) as caught:
        backup.do(checkpoints.compare, late)
    assert caught.value.kind == FORKED
    with pytest.raises(AuthenticationFailed):
        backup.do(checkpoints.compare, replace(late, number=5))
    backup.store.close()


def test_a_long_log_is_compared_in_portions(sk: World) -> None:
    made = sign(sk)
    first = sk.do(checkpoints.compare, made, None, 4)
    assert isinstance(first, Place)
    second = sk.do(checkpoints.compare, made, first, 4)
    assert isinstance(second, Place)
    assert [first.number, second.number] == [4, 8]
    assert sk.do(checkpoints.compare, made, second, 4) == Comparison(0, 0)
    sk.do(chain.append, Act("later"))
    assert sk.do(checkpoints.prune, sk.clock.now + 1).number == 9
    assert sk.do(checkpoints.compare, made, first, 4) == Comparison(0, 1), "what was pruned meanwhile is not looked at"


def test_each_portion_that_is_compared_is_verified(sk: World) -> None:
    made = sign(sk)
    first = sk.do(checkpoints.compare, made, None, 4)
    assert isinstance(first, Place)
    sk.sql("UPDATE audit_record SET principal = 'x' WHERE number = 6")
    with sk.refuses(Tampered, kind=CHANGED):
        sk.do(checkpoints.compare, made, first, 4)


def test_a_log_is_cut_at_a_checkpoint_and_verifies_from_there(sk: World) -> None:
    with sk.refuses(Conflict):
        sk.do(checkpoints.prune, sk.clock.now + 1)
    first = sign(sk)
    sk.clock.now += 1000
    sk.do(chain.append, Act("more"))
    second = sign(sk)
    with sk.refuses(Conflict):
        sk.do(checkpoints.prune, first.time)
    assert sk.do(checkpoints.prune, first.time + 1).number == 9
    assert [each.number for each in sk.do(chain.page, chain.Filter())] == [10]
    assert [each.number for each in sk.do(checkpoints.page)] == [9, 10]
    assert sk.do(verifying.verify_all).number == 10
    assert sk.do(checkpoints.compare, first) == Comparison(0, 1)
    with sk.refuses(Conflict):
        sk.do(checkpoints.prune, first.time + 1)
    assert sk.do(checkpoints.prune, second.time + 1).number == 10
    sk.do(chain.append, Act("after"))
    assert sk.do(verifying.verify_all).number == 11
    assert sk.do(checkpoints.compare, first) == Comparison(0, 2)


def test_pruning_does_away_with_no_evidence(sk: World) -> None:
    sign(sk)
    sk.sql("UPDATE audit_record SET principal = 'x' WHERE number = 3")
    with sk.refuses(Tampered, kind=CHANGED):
        sk.do(checkpoints.prune, sk.clock.now + 1)


@pytest.mark.parametrize(
    "what", ["UPDATE audit_checkpoint SET number = 7", "UPDATE audit_checkpoint SET hash = zeroblob(32)"]
)
def test_a_forged_checkpoint_cuts_nothing_and_is_not_published(sk: World, what: str) -> None:
    sign(sk)
    sk.sql(what)
    with sk.refuses(Tampered, kind=FORKED):
        sk.do(checkpoints.prune, sk.clock.now + 1)
    with sk.refuses(Tampered, kind=FORKED):
        sk.do(checkpoints.newest_signed)


@pytest.mark.parametrize("what", ["hash = 'x'", "number = 0", "time = 'noon'", "signature = 1"])
def test_a_strange_checkpoint_is_an_alarm(sk: World, what: str) -> None:
    sign(sk)
    sk.sql(f"UPDATE audit_checkpoint SET {what}")
    with pytest.raises(Tampered):
        sk.store.run(checkpoints.newest)


def test_the_notary_goes_on_when_a_strange_checkpoint_is_mended(
    sk: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notary, "LOOK_EVERY_S", 0.01)
    first = sign(sk)
    sk.sql("UPDATE audit_checkpoint SET time = 'noon'")
    broker, published = MemoryBroker(), list[Checkpoint]()
    broker.taps.append(lambda seen: published.append(Checkpoint.decode(seen.payload)))

    async def until(done: Callable[[], bool], working: asyncio.Task[None]) -> None:
        while not done():
            assert not working.done()
            await asyncio.sleep(0.01)

    async def work() -> None:
        async with broker.connect("c2") as link, asyncio.timeout(PATIENCE_S):
            working = asyncio.create_task(Notary(sk.store, sk.realm, link, "witness", Pace(0)).run())
            await until(lambda: "not looked after" in caplog.text, working)
            await sk.store.write(chain.append, sk.realm, Act("later"))
            sk.sql(f"UPDATE audit_checkpoint SET time = {first.time}")
            await until(lambda: bool(published), working)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(work())
    assert [each.number for each in published] == [first.number + 1]
    assert caplog.text.count("not looked after") == 1


def test_the_key_is_not_exchanged(sk: World) -> None:
    sk.sql("UPDATE audit_key SET public = zeroblob(32)")
    with sk.refuses(Tampered):
        sk.do(checkpoints.public_key)
    sk.sql("DELETE FROM audit_key")
    with sk.refuses(Tampered):
        sk.do(checkpoints.make, Pace(0))
