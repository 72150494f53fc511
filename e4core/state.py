# SPDX-License-Identifier: Apache-2.0
"""Everything a device must remember, as a frozen value, and its documented JSON form.

The form (version 1) is one JSON object; bytes are standard base64, ids and topic hashes are lower-case hex:
``format`` "e4-device-state", ``version`` 1, ``suite``, ``client_id``, ``control_topic``, ``private``, ``c2_public``,
``topics`` {hash: {``key``, ``previous``?, ``rotated``?}}, ``peers`` {id: public key}, ``command_second``, ``command_floor``,
``command_tags`` {second: tags, concatenated}, ``mark``, ``floor``, ``sent``, ``clean``,
``seen`` [{``topic``, ``sender``, ``floor``, ``seconds`` {second: tags, concatenated}}].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from e4core.errors import InvalidInput
from e4core.jsonform import b64, guarded, parse_json, unb64, unhex, whole, whole_key
from e4core.keys import ClientId, Secret, TopicHash, TopicKey, check_topic_name, control_topic
from e4core.suite import Suite

FORMAT = "e4-device-state"
VERSION = 1
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


def dump(state: State) -> bytes:
    """JSON form of ``state``, secrets in clear: keep it in a file of mode 0600."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "suite": state.suite,
        "client_id": state.client_id.hex(),
        "control_topic": state.control_topic,
        "private": b64(state.private),
        "c2_public": b64(state.c2_public),
        "topics": {topic.hex(): _dump_topic(keys) for topic, keys in sorted(state.topics.items())},
        "peers": {peer.hex(): b64(public) for peer, public in sorted(state.peers.items())},
        "command_second": state.command_second,
        "command_floor": state.command_floor,
        "command_tags": _dump_seconds(state.command_tags),
        "mark": state.mark,
        "floor": state.floor,
        "sent": state.sent,
        "clean": state.clean,
        "seen": [_dump_seen(seen) for seen in state.seen],
    }
    return json.dumps(body, indent=1).encode() + b"\n"


def load(data: bytes) -> State:
    """Parse what `dump` wrote; the keys themselves are checked by `check_keys`.

    Raises: InvalidInput (``bad_state``).
    """
    body = parse_json(data)
    if body.get("format") != FORMAT or body.get("version") != VERSION:
        raise InvalidInput(f"this is no {FORMAT} of version {VERSION}", kind="bad_state")
    return guarded(lambda: _load(body))


def check_control_topic(topic: object) -> str:
    """Raises: InvalidInput (``bad_topic``)."""
    if not isinstance(topic, str):
        raise InvalidInput("the control topic is no text", kind="bad_topic")
    return check_topic_name(topic)


def _load(body: dict[str, Any]) -> State:
    suite, clean = body["suite"], body["clean"]
    if not isinstance(suite, str) or not isinstance(clean, bool):
        raise InvalidInput("the state names no suite, or not how it was left", kind="bad_state")
    return State(
        suite=suite,
        client_id=ClientId(unhex(body["client_id"])),
        control_topic=check_control_topic(body["control_topic"]),
        private=Secret(unb64(body["private"])),
        c2_public=unb64(body["c2_public"]),
        topics={TopicHash(unhex(topic)): _load_topic(keys) for topic, keys in body["topics"].items()},
        peers={ClientId(unhex(peer)): unb64(public) for peer, public in body["peers"].items()},
        command_second=whole(body["command_second"]),
        command_floor=whole(body["command_floor"]),
        command_tags=_load_seconds(body["command_tags"]),
        mark=whole(body["mark"]),
        floor=whole(body["floor"]),
        sent=whole(body["sent"]),
        clean=clean,
        seen=tuple(_load_seen(seen) for seen in body["seen"]),
    )


def _dump_topic(keys: TopicState) -> dict[str, Any]:
    if keys.previous is None:
        return {"key": b64(keys.key)}
    return {"key": b64(keys.key), "previous": b64(keys.previous), "rotated": keys.rotated}


def _load_topic(body: dict[str, Any]) -> TopicState:
    key = TopicKey(unb64(body["key"]))
    if "previous" not in body:
        return TopicState(key)
    return TopicState(key, TopicKey(unb64(body["previous"])), whole(body["rotated"]))


def _dump_seen(seen: Seen) -> dict[str, Any]:
    return {
        "topic": seen.topic.hex(),
        "sender": seen.sender.hex(),
        "floor": seen.floor,
        "seconds": _dump_seconds(seen.seconds),
    }


def _load_seen(body: dict[str, Any]) -> Seen:
    topic, sender = TopicHash(unhex(body["topic"])), unhex(body["sender"])
    return Seen(topic, sender, whole(body["floor"]), _load_seconds(body["seconds"]))


def _dump_seconds(seconds: Mapping[int, frozenset[bytes]]) -> dict[str, str]:
    return {str(second): b64(b"".join(sorted(tags))) for second, tags in seconds.items()}


def _load_seconds(body: dict[str, str]) -> dict[int, frozenset[bytes]]:
    return {whole_key(second): _split(tags) for second, tags in body.items()}


def _split(value: str) -> frozenset[bytes]:
    tags = unb64(value)
    if len(tags) % TAG_LEN:
        raise InvalidInput("the state has a tag cut short", kind="bad_state")
    return frozenset(tags[i : i + TAG_LEN] for i in range(0, len(tags), TAG_LEN))
