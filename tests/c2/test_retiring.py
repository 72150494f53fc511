# SPDX-License-Identifier: Apache-2.0
"""A retirement that a KMS interrupts is given again, and ends."""

from __future__ import annotations

from functools import partial

import pytest

from e4c2 import topics
from e4c2.locksmith import Locksmith
from e4core.errors import Conflict, KmsUnavailable, NotFound, Tampered
from e4kms.deks import Purpose, State
from tests.c2.shop import Shop

RETIRE = partial(Locksmith.retire, purpose=Purpose.RECORDS, version=1)
LOOK = partial(RETIRE, dry_run=True)


@pytest.fixture
def rotated(shop: Shop) -> Shop:
    """With a former version that nothing is under."""
    shop.add_spare()
    shop.do(lambda smith: smith.rotate(Purpose.RECORDS, 1))
    shop.work_until(lambda: shop.behind() == 0)
    return shop


def test_one_that_a_kms_interrupted_is_given_again_and_ends(rotated: Shop) -> None:
    del rotated.kmses[rotated.file]
    rotated.spare.available = False
    for _ in range(2):
        with pytest.raises(KmsUnavailable):
            rotated.do(RETIRE)
    assert rotated.states(Purpose.RECORDS) == ["retired", "active"]
    rotated.spare.available = True
    opened = rotated.spare.asked
    retired = rotated.do(RETIRE)
    assert (retired.state, retired.wraps) == (State.RETIRED, ())
    assert rotated.spare.asked > opened
    rotated.world.do(topics.rotate, "t")
    rotated.world.settle_down()
    assert rotated.world.digest_fits("a")
    rotated.restart("memory:spare")


def test_given_again_after_its_end_it_says_the_same(rotated: Shop) -> None:
    first = rotated.do(RETIRE)
    rows = rotated.world.dump()
    assert rotated.do(RETIRE) == first
    assert rotated.world.dump() == rows


def test_a_state_that_was_forged_is_no_leave(rotated: Shop) -> None:
    rotated.world.sql("UPDATE dek SET state = 'retired' WHERE purpose = 'records' AND version = 1")
    with pytest.raises(Tampered):
        rotated.do(RETIRE)


def test_a_dry_run_says_what_would_be_refused_and_changes_nothing(rotated: Shop) -> None:
    rows = rotated.world.dump()
    assert rotated.do(LOOK).state is State.DECRYPT_ONLY
    with pytest.raises(Conflict, match="active"):
        rotated.do(partial(LOOK, version=2))
    with pytest.raises(NotFound):
        rotated.do(partial(LOOK, version=3))
    assert rotated.world.dump() == rows
    rotated.do(lambda smith: smith.rotate(Purpose.RECORDS, 2))
    with pytest.raises(Conflict, match="still under"):
        rotated.do(partial(LOOK, version=2))
    rotated.work_until(lambda: rotated.behind() == 0)
    rotated.do(RETIRE)
    assert rotated.do(LOOK).state is State.RETIRED
