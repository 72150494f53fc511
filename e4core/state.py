# SPDX-License-Identifier: Apache-2.0
"""Everything a device must remember, as a frozen value, and its documented JSON form.

The form (version 1) is one JSON object; bytes are standard base64, ids and topic hashes are lower-case hex:
``format`` "e4-device-state", ``version`` 1, ``suite``, ``client_id``, ``control_topic``, ``private``, ``c2_public``,
``topics`` {hash: {``key``, ``previous``?, ``rotated``?}}, ``peers`` {id: public key}, ``command_second``, ``command_floor``,
``command_tags`` {second: tags, concatenated}, ``mark``, ``floor``, ``sent``, ``clean``,
``seen`` [{``topic``, ``sender``, ``floor``, ``seconds`` {second: tags, concatenated}}].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from e4core import form
from e4core.errors import InvalidInput
from e4core.jsonform import b64, unb64, whole, whole_key
from e4core.keys import ClientId, Secret, TopicHash, TopicKey, check_topic_name, control_topic
from e4core.suite import Suite

FORMAT = "e4-device-state"
TAG_LEN = 16


@dataclass(frozen=True, slots=True)
class TopicState:
    """Current key of a topic, and the previous one with the second in which it was replaced here."""

    key: TopicKey
    previous: TopicKey | None = None
    rotated: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Replay memory of one topic (and sender, where messages are signed; else empty)."""

    topic: TopicHash
    sender: bytes
    floor: int
    seconds: Mapping[int, frozenset[bytes]]


@dataclass(frozen=True, slots=True)
class State:
    """State of one device. ``private`` is the stored form that the suite's `Identity` loads."""

    suite: str
    client_id: ClientId
    control_topic: str
    private: Secret
    c2_public: bytes = b""
    topics: Mapping[TopicHash, TopicState] = field(default_factory=dict)
    peers: Mapping[ClientId, bytes] = field(default_factory=dict)
    command_second: int = 0
    """Second of the command obeyed last; an older one is refused (`e4core.order`)."""
    command_floor: int = 0
    """No command sent at or before this is obeyed, as its tag may be forgotten."""
    command_tags: Mapping[int, frozenset[bytes]] = field(default_factory=dict)
    """Tags of the commands obeyed, by the second in which they were sent."""
    mark: int = 0
    """No message sent later than this was accepted without saving first."""
    floor: int = 0
    """No message sent at or before this is accepted on any topic."""
    sent: int = 0
    """Timestamps up to this one may have been used for own messages before the last start."""
    clean: bool = True
    """True: stopped in order, and ``seen`` is complete."""
    seen: tuple[Seen, ...] = ()

    @property
    def newest_command(self) -> int:
        """When the newest command was sent, Unix seconds; 0: there was none."""
        return self.command_second


def new_state(suite: Suite, client_id: ClientId, private: Secret, c2_public: bytes = b"") -> State:
    """State of a device that has had no command yet.

    Raises: InvalidInput (``bad_key``): ``private`` or ``c2_public`` is none of this suite.
    """
    state = State(suite.name, client_id, control_topic(client_id), private, c2_public)
    check_keys(suite, state)
    return state


def check_keys(suite: Suite, state: State) -> None:
    """Refuse keys that are none of ``suite``. Raises: InvalidInput (``bad_key``)."""
    suite.c2.check(state.c2_public)
    suite.control.at_device(suite.device.load(state.private), state.c2_public)
    for public in state.peers.values():
        suite.device.check(public)


def check_control_topic(topic: object) -> str:
    """Raises: InvalidInput (``bad_topic``)."""
    if not isinstance(topic, str):
        raise InvalidInput("the control topic is no text", kind="bad_topic")
    return check_topic_name(topic)


def _dump_topic(keys: TopicState) -> dict[str, Any]:
    if keys.previous is None:
        return {"key": b64(keys.key)}
    return {"key": b64(keys.key), "previous": b64(keys.previous), "rotated": keys.rotated}


def _load_topic(body: dict[str, Any]) -> TopicState:
    key = TopicKey(unb64(body["key"]))
    if "previous" not in body:
        return TopicState(key)
    return TopicState(key, TopicKey(unb64(body["previous"])), whole(body["rotated"]))


def _dump_seconds(seconds: Mapping[int, frozenset[bytes]]) -> dict[str, str]:
    return {str(second): b64(b"".join(sorted(tags))) for second, tags in seconds.items()}


def _load_seconds(body: dict[str, str]) -> dict[int, frozenset[bytes]]:
    return {whole_key(second): _split(tags) for second, tags in body.items()}


def _split(value: str) -> frozenset[bytes]:
    tags = unb64(value)
    if len(tags) % TAG_LEN:
        raise InvalidInput("the state has a tag cut short", kind="bad_state")
    return frozenset(tags[i : i + TAG_LEN] for i in range(0, len(tags), TAG_LEN))


_WHOLE = form.number(63)
_SECONDS = form.Form(_dump_seconds, _load_seconds)
_SEEN = form.record(Seen, topic=form.hexadecimal(TopicHash), sender=form.hexadecimal(), floor=_WHOLE, seconds=_SECONDS)
_FILE: form.Document[State] = form.Document(
    FORMAT,
    1,
    form.record(
        State,
        suite=form.exactly(str),
        client_id=form.hexadecimal(ClientId),
        control_topic=form.plain(check_control_topic),
        private=form.base64(Secret),
        c2_public=form.base64(),
        topics=form.mapping(form.hexadecimal(TopicHash), form.Form(_dump_topic, _load_topic)),
        peers=form.mapping(form.hexadecimal(ClientId), form.base64()),
        command_second=_WHOLE,
        command_floor=_WHOLE,
        command_tags=_SECONDS,
        mark=_WHOLE,
        floor=_WHOLE,
        sent=_WHOLE,
        clean=form.exactly(bool),
        seen=form.several(_SEEN),
    ),
)
dump, load = _FILE.dump, _FILE.load
