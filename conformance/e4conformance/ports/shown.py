# SPDX-License-Identifier: Apache-2.0
"""What can be observed of a device of this implementation, as the operation ``show`` has it."""

from __future__ import annotations

from typing import Any

from e4core import formats, ready2, report
from e4core.state import State
from e4core.suite import Suite


def shown(suite: Suite, state: formats.AnyState) -> dict[str, Any]:
    """What a device with ``state`` shows of it."""
    if isinstance(state, State):
        epochs: dict[bytes, list[int]] = {bytes(topic): [] for topic in state.topics}
        marks = {bytes(topic): report.fingerprint(suite, held.key) for topic, held in state.topics.items()}
        last, digest = 0, report.digest(suite, marks, {bytes(peer): public for peer, public in state.peers.items()})
    else:
        epochs = {bytes(topic): [each.number for each in held if each.key] for topic, held in state.topics.items()}
        last, digest = state.last, ready2.digest(suite, state)
    return {
        "topics": [{"hash": topic.hex(), "epochs": epochs[topic]} for topic in sorted(epochs)],
        "peers": sorted(peer.hex() for peer in state.peers),
        "digest": digest.hex(),
        "last": last,
    }
