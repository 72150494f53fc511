# SPDX-License-Identifier: Apache-2.0
"""A C2 that is killed at any point while its token makes a pair starts again, goes on, and uses no pair twice."""

from __future__ import annotations

import signal
from pathlib import Path

import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass

from e4c2 import c2keys, topics
from e4c2.model import Reason
from tests.kms import warm
from tests.kms.pkcs11.test_c2_key import TokenWorld, pairs, stored, with_x25519
from tests.kms.pkcs11.tokens import Token


def killed(way: str, folder: Path, uri: str) -> None:
    where = [str(folder / "c2.sqlite"), f"file://{folder}/kek.json", uri]
    child = warm.run("from tests.kms.pkcs11 import dying_c2; dying_c2.main()", way, *where)
    assert child.returncode == -signal.SIGKILL, child.stderr


def in_token(token: Token, uri: str) -> int:
    """How many pairs a token holds whose name fits."""
    prefix = uri.partition("object=")[2].partition("{")[0]

    def count(session: pkcs11.Session) -> int:
        found = session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})
        return sum(key[Attribute.LABEL].startswith(prefix) for key in list(found))

    return token.job(count)


def works(world: TokenWorld) -> None:
    """A device is driven under the key of now, and under the next."""
    world.add("a")
    world.topic("t", "a")
    if not any(key.state == "pending" for key in world.do(c2keys.all_versions)):
        world.change(Reason.ROUTINE)
    world.settle_down()
    world.do(c2keys.finish)
    world.crash()
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.digest_fits("a")
    keys = world.do(c2keys.all_versions)
    assert all(key.in_token for key in keys)
    assert len({key.public for key in keys}) == len(keys)


@with_x25519
@pytest.mark.parametrize(
    ("way", "first"),
    [
        ("first start, before the pair", 1),
        ("first start, before the commit", 2),
        ("first start, after the commit", 1),
    ],
)
def test_a_first_start_that_was_killed_is_made_up_for(token: Token, tmp_path: Path, way: str, first: int) -> None:
    uri = pairs(token)
    TokenWorld.prepare(tmp_path)
    killed(way, tmp_path, uri)
    world = TokenWorld(tmp_path, uri)
    assert [key.version for key in world.do(c2keys.all_versions)] == [first]
    assert in_token(token, uri) == first
    works(world)
    assert [key.version for key in world.do(c2keys.all_versions)] == [first, first + 1]
    world.close()


@with_x25519
@pytest.mark.parametrize(
    ("way", "versions"),
    [
        ("change, before the pair", [1]),
        ("change, before its transaction", [1]),
        ("change, before the commit", [1]),
        ("change, after the commit", [1, 2]),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_change_that_was_killed_is_done_or_can_be_done_again(
    token: Token, tmp_path: Path, way: str, versions: list[int], times: int
) -> None:
    uri = pairs(token)
    world = TokenWorld(tmp_path, uri)
    world.close()
    for _ in range(times if versions == [1] else 1):
        killed(way, tmp_path, uri)
    left = times if way in ("change, before its transaction", "change, before the commit") else 0
    world.open()
    assert [key.version for key in world.do(c2keys.all_versions)] == versions
    assert stored(world) == [b"in token"] * len(versions)
    assert in_token(token, uri) == len(versions) + left
    works(world)
    assert [key.version for key in world.do(c2keys.all_versions)] == [1, 2 + left]
    world.close()
