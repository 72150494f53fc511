# SPDX-License-Identifier: Apache-2.0
"""What could make own messages repeat a nonce, or fail, without anybody's ill will: copies, and the last sequence."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from e4core.suite import Suite
from tests.core.fleet import NOW, TOPIC
from tests.core.fleet2 import EPOCH, Device2, full_hash, set_key, suites


def _pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value))


@suites
@pytest.mark.parametrize("copied", [copy.deepcopy, _pickled], ids=["deepcopy", "pickle"])
def test_what_counts_sequences_is_never_copied(suite: Suite, copied: Callable[[object], object]) -> None:
    device = Device2(suite)
    device.client.protect(b"x", TOPIC, NOW)
    client = device.client
    for counting in (client, client._session, client._outgoing, client._outgoing[TOPIC].numbers):
        with pytest.raises(TypeError):
            copied(counting)


@suites
def test_a_command_after_the_last_sequence_does_not_end_the_sending(suite: Suite) -> None:
    device = Device2(suite)
    before = device.client.protect(b"x", TOPIC, NOW)
    assert device.client._session
    device.client._session._numbers[full_hash(TOPIC), EPOCH] = iter(())
    device.command(set_key(EPOCH, "key"))
    after = device.client.protect(b"x", TOPIC, NOW)
    assert after[29:37] != before[29:37]
    assert after[37:41] == bytes(4)
