# SPDX-License-Identifier: Apache-2.0
"""What the format of a suite means for the C2, as a value that the realm holds; `e4c2.formats` is the table of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa

from e4core.formats import AnyState
from e4core.keys import ClientId, TopicKey
from e4core.report import Ack, Hello, Report
from e4core.suite import Suite

R = TypeVar("R")
"""The realm."""
_Row = Mapping[Any, Any]


class Sealed(NamedTuple):
    """One delivery, ready to publish, in this order; without payloads where nothing is to be sent any more."""

    id: int
    client: bytes
    topic: str = ""
    payloads: tuple[bytes, ...] = ()
    second: int | None = None
    tags: bytes = b""
    """SIV tags of its last command, 16 bytes each, one for each key it is sealed under (Format 1)."""
    purge_tags: bytes = b""
    """Those of the command before it, if there are two (Format 1)."""
    attempt: int = 0
    others: tuple[tuple[int, int], ...] = ()
    """(delivery, attempt) of all that the same command carries (Format 2)."""

    @property
    def carried(self) -> list[tuple[int, int]]:
        """(delivery, attempt) of all that arrives with it."""
        return [(self.id, self.attempt), *self.others]


@dataclass(frozen=True, slots=True)
class Opened:
    """An authentic report, and under which key it opened."""

    content: Report
    column: str
    """Of the client's row: ``key`` or ``pending_key``."""
    c2_version: int
    c2_newest: int
    news: bool = False
    """True: it is the first under a key."""


@dataclass(frozen=True, slots=True)
class KeyChange(Generic[R]):
    """How a device comes to a new key."""

    begin: Callable[[Suite], dict[str, bytes | None]]
    """``pending_key`` and ``pending_private`` of a client from now on."""
    check_cancel: Callable[[sa.Connection, R, _Row], None]
    """Raises: Conflict: the device may come to use the new key."""
    operators_confirm: bool
    """False: nothing but a report under a new key proves that it is used."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a member of a topic (a name) holds: its key, the key's epoch or 0, and public keys of senders."""

    topic: str
    key: TopicKey
    epoch: int
    peers: Mapping[ClientId, bytes]


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of topics, and who is to protect and unprotect them."""

    member: Callable[[Suite, AnyState, Holding, float], AnyState]
    """The state of a client that holds this, from the Unix second on."""
    sender: Callable[[Suite, bytes], bytes]
    """Id of the client that a message says it is of, 16 bytes; fewer: it is too short to say, or says nothing."""
    known_by: Callable[[Suite, bytes], bytes]
    """What no other message of the topic has that was opened."""
    payload_min: int
    """Bytes that a payload has at least."""


@dataclass(frozen=True, slots=True)
class Format(Generic[R]):
    """Everything that depends on the format."""

    claim: Callable[[sa.Connection, R, int], list[Sealed]]
    """Seal what is pending, so many commands at most, and mark it as being sent. Raises: Tampered. KmsUnavailable."""
    answer: Callable[[sa.Connection, R, _Row, Opened], None]
    """What follows from a report beyond the key that it shows. Raises: E4Error: it is refused."""
    answers: Callable[[Ack, Sequence[_Row], _Row | None], Sequence[_Row] | None]
    """Which of the deliveries to a device that are not done, by id, an ack is of; None: that cannot be said of them alone.

    The last: its `command_sequence`.
    """
    greets: Callable[[Hello, _Row | None], float | None]
    """How many seconds after the last a hello is answered; None: it wants a look of its own."""
    renewed: Callable[[sa.Connection, R, Collection[_Row]], None]
    """These topics have got a new key."""
    key_change: KeyChange[R]
    messages: Messages
    commands_age: bool
    """Whether a device refuses a command that comes late."""
    fixed_grace_s: int | None
    """For which devices keep a former topic key; None: for as long as the C2 says."""
    all_report: bool
    """Whether every device confirms what it is sent, and can hold a key that is not used yet."""
