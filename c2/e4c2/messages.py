# SPDX-License-Identifier: Apache-2.0
"""Messages of topics, by format: what a member holds to protect and unprotect them, and what tells one from all others."""

from __future__ import annotations

from dataclasses import replace

from e4c2.format import Holding, Messages
from e4core import command, command2, transition, transition2
from e4core.formats import AnyState
from e4core.keys import FullTopicHash, TopicHash
from e4core.message import WINDOW_S, Plain1, Signed1
from e4core.state import State
from e4core.state2 import State2
from e4core.suite import Suite
from e4core.transition2 import Way

_TAG_LEN = 16
_EPOCH, _SENDER, _FROM_SENDER = slice(1, 5), slice(13, 29), slice(13, 41)
"""Of a message of Format 2; the last: sender, session and sequence."""


def _member1(suite: Suite, state: AnyState, holding: Holding, now: float) -> AnyState:
    assert isinstance(state, State)
    topic = TopicHash(suite.derive_topic(holding.topic))
    state = transition.apply(suite, state, command.SetTopicKey(holding.key, topic), now)
    return replace(state, peers=dict(holding.peers))


def _member2(suite: Suite, state: AnyState, holding: Holding, now: float) -> AnyState:
    assert isinstance(state, State2)
    topic = FullTopicHash(suite.derive_topic(holding.topic))
    # no older than in Format 1, so that what was unprotected need not be remembered for longer
    key = command2.SetTopicKey(topic, holding.epoch, holding.key, validity_s=WINDOW_S)
    peers = [command2.SetPubKey(peer, public) for peer, public in holding.peers.items()]
    return transition2.apply(suite, state, Way(), [key, *peers], int(now))


def _sender1(suite: Suite, message: bytes) -> bytes:
    return message[Signed1.sender] if suite.signature else b""


def _sender2(_suite: Suite, message: bytes) -> bytes:
    return message[_SENDER]


def _known_by1(suite: Suite, message: bytes) -> bytes:
    """Timestamp, sender if it is said, and SIV tag."""
    layout = Signed1 if suite.signature else Plain1
    return message[: layout.sealed.start + _TAG_LEN]


def _known_by2(_suite: Suite, message: bytes) -> bytes:
    # never the signature, of which there may be others that verify
    return message[_EPOCH] + message[_FROM_SENDER]


FORMAT1 = Messages(_member1, _sender1, _known_by1, payload_min=1)
FORMAT2 = Messages(_member2, _sender2, _known_by2, payload_min=0)
