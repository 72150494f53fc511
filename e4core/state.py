# SPDX-License-Identifier: Apache-2.0
"""Everything a device must remember, as a frozen value, and its documented JSON form.

The form (version 1) is one JSON object; bytes are standard base64, ids and topic hashes are lower-case hex:
``format`` "e4-device-state", ``version`` 1, ``suite``, ``client_id``, ``control_topic``, ``private``, ``c2_public``,
``topics`` {hash: {``key``, ``previous``?, ``rotated``?}}, ``peers`` {id: public key}, ``command_second``, ``command_tags``,
``mark``, ``floor``, ``sent``, ``clean``, ``seen`` [{``topic``, ``sender``, ``floor``, ``seconds`` {second: tags, concatenated}}].
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from e4core.errors import E4Error, InvalidInput
from e4core.keys import ClientId, Secret, TopicHash, TopicKey, check_topic_name, control_topic
from e4core.suite import Suite

FORMAT = "e4-device-state"
VERSION = 1
TAG_LEN = 16

T = TypeVar("T")


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
    """Second of the newest command accepted; an older one is refused."""
    command_tags: frozenset[bytes] = frozenset()
    """Tags of the commands accepted in that very second."""
    mark: int = 0
    """No message sent later than this was accepted without saving first."""
    floor: int = 0
    """No message sent at or before this is accepted on any topic."""
    sent: int = 0
    """Timestamps up to this one may have been used for own messages before the last start."""
    clean: bool = True
    """True: stopped in order, and ``seen`` is complete."""
    seen: tuple[Seen, ...] = ()


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
        "private": _b64(state.private),
        "c2_public": _b64(state.c2_public),
        "topics": {topic.hex(): _dump_topic(keys) for topic, keys in sorted(state.topics.items())},
        "peers": {peer.hex(): _b64(public) for peer, public in sorted(state.peers.items())},
        "command_second": state.command_second,
        "command_tags": _join(state.command_tags),
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


def parse_json(data: bytes) -> dict[str, Any]:
    """First JSON value in ``data``, which must be an object; what follows it is left alone (`wire.md` section 10).

    Raises: InvalidInput (``bad_state``).
    """
    try:
        body, _ = json.JSONDecoder().raw_decode(data.decode().lstrip())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InvalidInput("the state is no JSON object; restore it from a copy", kind="bad_state")
    return body


def guarded(parse: Callable[[], T]) -> T:
    """Run ``parse`` on untrusted JSON and turn every mismatch into one typed error that holds no value of it."""
    try:
        return parse()
    except KeyError as error:
        detail = f"misses {error}"
    except E4Error:
        raise
    except (TypeError, ValueError, AttributeError, OverflowError):
        detail = "has a field of the wrong form"
    # raised out here, as the error that led to it may hold the field, and so a key
    raise InvalidInput(f"the state {detail}; restore it from a copy", kind="bad_state")


def whole(value: object) -> int:
    """``value`` as a second or counter: an int from 0 to 2^63 - 1."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise InvalidInput("the state has a number out of range", kind="bad_state")
    return value


def unb64(value: Any) -> bytes:
    """Strict standard base64 with padding."""
    return b64decode(value.encode("ascii"), validate=True)


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
        client_id=ClientId(bytes.fromhex(body["client_id"])),
        control_topic=check_control_topic(body["control_topic"]),
        private=Secret(unb64(body["private"])),
        c2_public=unb64(body["c2_public"]),
        topics={TopicHash(bytes.fromhex(topic)): _load_topic(keys) for topic, keys in body["topics"].items()},
        peers={ClientId(bytes.fromhex(peer)): unb64(public) for peer, public in body["peers"].items()},
        command_second=whole(body["command_second"]),
        command_tags=_split(body["command_tags"]),
        mark=whole(body["mark"]),
        floor=whole(body["floor"]),
        sent=whole(body["sent"]),
        clean=clean,
        seen=tuple(_load_seen(seen) for seen in body["seen"]),
    )


def _dump_topic(keys: TopicState) -> dict[str, Any]:
    if keys.previous is None:
        return {"key": _b64(keys.key)}
    return {"key": _b64(keys.key), "previous": _b64(keys.previous), "rotated": keys.rotated}


def _load_topic(body: dict[str, Any]) -> TopicState:
    key = TopicKey(unb64(body["key"]))
    if "previous" not in body:
        return TopicState(key)
    return TopicState(key, TopicKey(unb64(body["previous"])), whole(body["rotated"]))


def _dump_seen(seen: Seen) -> dict[str, Any]:
    seconds = {str(second): _join(tags) for second, tags in seen.seconds.items()}
    return {"topic": seen.topic.hex(), "sender": seen.sender.hex(), "floor": seen.floor, "seconds": seconds}


def _load_seen(body: dict[str, Any]) -> Seen:
    seconds = {whole(int(second)): _split(tags) for second, tags in body["seconds"].items()}
    sender = bytes.fromhex(body["sender"])
    return Seen(TopicHash(bytes.fromhex(body["topic"])), sender, whole(body["floor"]), seconds)


def _b64(value: bytes) -> str:
    return b64encode(value).decode()


def _join(tags: frozenset[bytes]) -> str:
    return _b64(b"".join(sorted(tags)))


def _split(value: str) -> frozenset[bytes]:
    tags = unb64(value)
    if len(tags) % TAG_LEN:
        raise InvalidInput("the state has a tag cut short", kind="bad_state")
    return frozenset(tags[i : i + TAG_LEN] for i in range(0, len(tags), TAG_LEN))
