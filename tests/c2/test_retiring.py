# SPDX-License-Identifier: Apache-2.0
"""A former version that nothing is under is destroyed when somebody says so, and needs no KMS for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from e4c2 import idempotency, tokens, topics
from e4c2.idempotency import Answer, Request
from e4c2.locksmith import Locksmith
from e4core.errors import Conflict, Denied, NotFound, Tampered
from e4kms.deks import Purpose, State
from tests.c2.shop import Shop

RETIRE = partial(Locksmith.retire, purpose=Purpose.AUDIT, version=1)
LOOK = partial(RETIRE, dry_run=True)


@pytest.fixture
def rotated(shop: Shop) -> Shop:
    """With a former version that nothing is under."""
    shop.add_spare()
    shop.do(lambda smith: smith.rotate(Purpose.AUDIT, 1))
    return shop


def test_no_kms_is_asked(rotated: Shop) -> None:
    del rotated.kmses[rotated.file]
    rotated.spare.available = False
    asked = rotated.spare.asked
    retired = rotated.do(RETIRE)
    assert (retired.state, retired.wraps) == (State.RETIRED, ())
    assert rotated.spare.asked == asked
    rotated.world.do(topics.rotate, "t")
    rotated.world.settle_down()
    assert rotated.world.digest_fits("a")
    rotated.spare.available = True
    rotated.restart("memory:spare")


def test_given_again_after_its_end_it_says_the_same(rotated: Shop) -> None:
    first = rotated.do(RETIRE)
    rows = but_for_the_log(rotated)
    assert rotated.do(RETIRE) == first
    assert but_for_the_log(rotated) == rows


def but_for_the_log(of: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """All rows but those of the audit log, where that it was asked again is written down."""
    return {name: rows for name, rows in of.world.dump().items() if not name.startswith(("audit", "ledger"))}


def test_a_state_that_was_forged_is_no_leave(rotated: Shop) -> None:
    rotated.world.sql("UPDATE dek SET state = 'retired' WHERE purpose = 'audit' AND version = 1")
    for look in (RETIRE, LOOK):
        with pytest.raises(Tampered):
            rotated.do(look)


def test_a_dry_run_says_what_would_be_refused_and_changes_nothing(rotated: Shop) -> None:
    rows = rotated.world.dump()
    assert rotated.do(LOOK).state is State.DECRYPT_ONLY
    with pytest.raises(Conflict, match="active"):
        rotated.do(partial(LOOK, version=2))
    with pytest.raises(NotFound):
        rotated.do(partial(LOOK, version=3))
    assert rotated.world.dump() == rows
    rotated.do(RETIRE)
    assert rotated.do(LOOK).state is State.RETIRED


def test_tokens_keep_their_key_and_answers_go_with_it(shop: Shop) -> None:
    world, asked = shop.world, Request("token", "key", bytes(32))
    token, text = world.do(tokens.create, "kept")
    world.do(lambda db, realm: idempotency.once(db, realm, asked, bytes(32), lambda: Answer(200, b"first")))
    shop.do(lambda smith: smith.rotate(Purpose.LOOKUP, 1))
    retire = partial(RETIRE, purpose=Purpose.LOOKUP)
    with pytest.raises(Conflict, match="still under"):
        shop.do(retire)
    world.do(tokens.authenticate, text.decode())
    world.do(tokens.revoke, token.id)
    assert len(world.realm.keyring.lookups(b"text")) == 2
    shop.do(retire)
    assert len(world.realm.keyring.lookups(b"text")) == 1
    assert world.dump()["idempotency"] == []
    with pytest.raises(Denied):
        world.do(tokens.authenticate, text.decode())
    again = world.do(lambda db, realm: idempotency.once(db, realm, asked, bytes(32), lambda: Answer(200, b"second")))
    assert again.body == b"second"
