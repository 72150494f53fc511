# SPDX-License-Identifier: Apache-2.0
"""What a client keeps ready for its state: key objects, verifiers, and what was sent and received on each topic."""

from __future__ import annotations

from dataclasses import dataclass

from e4core import report
from e4core.keys import ClientId, TopicHash
from e4core.message import Layout, Plain1, Signed1
from e4core.replay import ReplayMemory
from e4core.sending import Sending
from e4core.state import Seen, State, TopicState
from e4core.suite import Channel, Suite, Verifier

CAPACITY = {False: 65_536, True: 8_192}
"""Replay memory, tags: of a topic without signatures; of a topic and sender with them."""


class Topic:
    """Ready keys of one topic, and what was sent and received on it."""

    __slots__ = ("fingerprint", "memories", "memory", "open", "open_previous", "seal", "sent", "state")

    def __init__(
        self,
        suite: Suite,
        state: TopicState,
        memories: dict[bytes, ReplayMemory],
        memory: ReplayMemory,
        sent: ReplayMemory,
    ) -> None:
        current = suite.aead.key(state.key)
        self.state = state
        self.seal = current.seal
        self.open = current.open
        self.open_previous = suite.aead.key(state.previous).open if state.previous is not None else None
        self.fingerprint = report.fingerprint(suite, state.key)
        self.memories = memories
        """By sender, where messages are signed."""
        self.memory = memory
        """Of all senders, where they are not."""
        self.sent = sent


class Memories:
    """Replay memory of all topics, by sender; kept when a topic or sender goes, until all in it is too old anyway."""

    def __init__(self, suite: Suite, seen: tuple[Seen, ...] = ()) -> None:
        self._capacity = CAPACITY[suite.signature is not None]
        self._topics: dict[bytes, dict[bytes, ReplayMemory]] = {}
        self.sending = Sending()
        for each in seen:
            memory = self.new(self.of(each.topic), each.sender, each.floor)
            memory.restore(each.seconds)

    def of(self, topic: bytes) -> dict[bytes, ReplayMemory]:
        return self._topics.setdefault(bytes(topic), {})

    def new(self, memories: dict[bytes, ReplayMemory], sender: bytes, floor: int) -> ReplayMemory:
        return memories.setdefault(sender, ReplayMemory(floor, self._capacity))

    def seen(self) -> tuple[Seen, ...]:
        """All of it, for the saved state."""
        return tuple(
            Seen(TopicHash(topic), sender, memory.floor, dict(memory.seconds()))
            for topic, memories in self._topics.items()
            for sender, memory in memories.items()
        )

    def floor(self, state: State, horizon: float) -> int:
        """Floor of a state after which `forget` is called: it keeps the trace of what is forgotten."""
        return max([state.floor, *(memory.newest for _, _, memory in self._faded(state, horizon))])

    def forget(self, state: State, horizon: float) -> None:
        """Forget topics and senders that are gone, where nothing is newer than ``horizon``."""
        for topic, sender, _ in self._faded(state, horizon):
            del self._topics[topic][sender]
        for topic in [topic for topic, memories in self._topics.items() if not memories and topic not in state.topics]:
            if self.sending.forget(topic, horizon):
                del self._topics[topic]

    def _faded(self, state: State, horizon: float) -> list[tuple[bytes, bytes, ReplayMemory]]:
        return [
            (topic, sender, memory)
            for topic, memories in self._topics.items()
            for sender, memory in memories.items()
            if (topic not in state.topics or (sender and sender not in state.peers)) and memory.newest < horizon
        ]


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything made from one state; what did not change is taken over from the former one."""

    channel: Channel
    topics: dict[bytes, Topic]
    peers: dict[bytes, bytes]
    ids: dict[bytes, ClientId]
    verifiers: dict[bytes, Verifier]
    layout: Layout

    @classmethod
    def make(cls, suite: Suite, state: State, memories: Memories, former: Ready | None) -> Ready:
        """Raises: InvalidInput (``bad_key``)."""
        private = suite.device.load(state.private)
        verifiers = _verifiers(suite, state, former)
        layout = (
            Plain1()
            if suite.signature is None
            else Signed1(state.client_id, suite.signature.signer(private), verifiers)
        )
        return cls(
            channel=suite.control.at_device(private, state.c2_public),
            topics={bytes(topic): _topic(suite, topic, state, memories, former) for topic in state.topics},
            peers={bytes(peer): public for peer, public in state.peers.items()},
            ids={bytes(peer): peer for peer in state.peers},
            verifiers=verifiers,
            layout=layout,
        )

    def digest(self, suite: Suite) -> bytes:
        """State digest for reports, 16 bytes."""
        return report.digest(suite, {topic: keys.fingerprint for topic, keys in self.topics.items()}, self.peers)


def _topic(suite: Suite, topic: TopicHash, state: State, memories: Memories, former: Ready | None) -> Topic:
    keys = state.topics[topic]
    held = former.topics.get(topic) if former else None
    if held is not None and held.state is keys:
        return held
    by_sender = memories.of(topic)
    unsigned = ReplayMemory(0, 0) if suite.signature else memories.new(by_sender, b"", state.floor)
    return Topic(suite, keys, by_sender, unsigned, memories.sending.memory(bytes(topic)))


def _verifiers(suite: Suite, state: State, former: Ready | None) -> dict[bytes, Verifier]:
    signature = suite.signature
    if signature is None:
        return {}
    known = former.peers if former else {}
    kept = {bytes(peer) for peer, public in state.peers.items() if known.get(peer) == public}
    return {
        bytes(peer): former.verifiers[peer] if former and peer in kept else signature.verifier(public)
        for peer, public in state.peers.items()
    }
