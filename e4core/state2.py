# SPDX-License-Identifier: Apache-2.0
"""Everything a device of Format 2 must remember, as a frozen value; how it is written: `e4core.stateform2`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from e4core.errors import InvalidInput
from e4core.keys import ClientId, FullTopicHash, Secret, TopicKey, control_topic
from e4core.suite import Suite

FINGERPRINT_LEN = 8
SESSION_LEN = 8
WINDOW = 1024
"""Sequences below the highest that are told apart."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One key of a topic. A retired one that the state digest still names stays, without its key."""

    number: int
    key: TopicKey | None
    """None: retired, and erased."""
    fingerprint: bytes
    use: int
    validity_s: int = 0
    not_after: int = 0
    until: int | None = None
    """Unix second from which it is over because there is a newer one; None: there is none."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Signature public key of a sender, and the one before it until ``until``."""

    public: bytes
    former: bytes = b""
    until: int = 0


@dataclass(frozen=True, slots=True)
class SeenSender:
    """``floor``: of messages in sessions that are not remembered. ``gone``: newest timestamp of what went with its epoch."""

    floor: int
    gone: int = 0


@dataclass(frozen=True, slots=True)
class SeenSession:
    """What was accepted of one session under one epoch. ``missing``: bit k is the sequence ``highest - 1 - k``."""

    epoch: int
    sender: ClientId
    session: bytes
    highest: int
    missing: int
    newest: int
    validity_s: int
    floor: int
    """From which it came into memory: no message of it that was sent at or before this is accepted."""


@dataclass(frozen=True, slots=True)
class Seen2:
    """Replay memory of one topic; senders are kept apart where they sign, else all are the sender ``b""``."""

    topic: FullTopicHash
    retired: int
    senders: Mapping[bytes, SeenSender]
    sessions: tuple[SeenSession, ...]


@dataclass(frozen=True, slots=True)
class State2:
    """State of one device. ``private`` is the stored form that the suite's `Identity` loads."""

    suite: str
    client_id: ClientId
    control_topic: str
    private: Secret
    c2_public: bytes = b""
    pending: Secret = Secret(b"")  # noqa: RUF009  # immutable
    """Private value that takes the place of ``private`` when a command opens under it."""
    offered: bytes = b""
    """Nonce of the command that asked for ``pending``."""
    former_c2_public: bytes = b""
    """Obeyed until a command opens under ``c2_public``."""
    topics: Mapping[FullTopicHash, tuple[Epoch, ...]] = field(default_factory=dict)
    """Epochs by rising number, never none."""
    peers: Mapping[ClientId, Peer] = field(default_factory=dict)
    last: int = 0
    """Sequence of the newest command obeyed or refused."""
    starts: int = 0
    """How often it was started."""
    mark: int = 0
    """No message sent later than this was accepted without saving first."""
    floor: int = 0
    """No message sent at or before this is accepted, but in sessions that are remembered from a lower floor."""
    clean: bool = True
    """True: stopped in order, and ``seen`` is complete."""
    seen: tuple[Seen2, ...] = ()

    @property
    def newest_command(self) -> int:
        """Sequence of the newest command, at first 0."""
        return self.last


def new_state(suite: Suite, client_id: ClientId, private: Secret, c2_public: bytes = b"") -> State2:
    """State of a device that has had no command yet.

    Raises: InvalidInput (``bad_key``): ``private`` or ``c2_public`` is none of this suite.
    """
    state = State2(suite.name, client_id, control_topic(client_id), private, c2_public)
    check_keys(suite, state)
    return state


def check_keys(suite: Suite, state: State2) -> None:
    """Refuse keys that are none of ``suite``. Raises: InvalidInput (``bad_key``)."""
    for public in filter(None, (state.c2_public, state.former_c2_public)):
        suite.c2.check(public)
    for private in filter(None, (state.private, state.pending)):
        suite.control.at_device(suite.device.load(private), state.c2_public)
    if suite.signature is None:
        if state.peers:
            raise InvalidInput("a symmetric suite has no public keys", kind="bad_key")
        return
    for peer in state.peers.values():
        for public in filter(None, (peer.public, peer.former)):
            suite.signature.verifier(public)
