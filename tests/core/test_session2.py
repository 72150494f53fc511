# SPDX-License-Identifier: Apache-2.0
"""What was derived from a topic key goes when the key goes, also where the session stays in the replay memory."""

from __future__ import annotations

import gc
import weakref

import pytest

from e4core.command2 import Command2, RemoveTopic, ResetTopics
from e4core.suite import Suite
from tests.core.fleet import SECOND, TOPIC, refused
from tests.core.fleet2 import EPOCH, Device2, Letter, full_hash, set_key, suites

ENDS: dict[str, tuple[Command2, ...]] = {
    "removed": (RemoveTopic(full_hash(TOPIC)),),
    "reset": (ResetTopics(),),
    "expired": (set_key(EPOCH, "key", not_after=SECOND - 1),),
    "evicted": (set_key(EPOCH + 1, "new", older_until=0),),
    "replaced": (RemoveTopic(full_hash(TOPIC)), set_key(EPOCH, "new")),
}


@suites
@pytest.mark.parametrize("end", ENDS)
def test_nothing_that_was_derived_from_a_key_outlives_it(suite: Suite, end: str) -> None:
    device = Device2(suite)
    for sequence in range(3):
        device.accept(Letter(sequence=sequence))
    memory = device.client._memories.of(full_hash(TOPIC))
    (derived,) = (weakref.ref(session.ready) for session in memory.recent.values())
    assert derived() is not None
    device.command(*ENDS[end])
    gc.collect()
    assert derived() is None
    if end != "evicted":
        assert len(memory.table[EPOCH]) == 1, "what was accepted is remembered all the same"
    with refused(
        {"replaced": "not_authentic", "removed": "topic_key_missing", "reset": "topic_key_missing"}.get(
            end, "epoch_retired"
        )
    ):
        device.accept(Letter(sequence=3))
