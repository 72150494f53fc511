# SPDX-License-Identifier: Apache-2.0
"""The documented JSON form of a device's state in Format 2.

The form (version 2) is one JSON object; bytes are standard base64, ids, topic hashes and sessions are lower-case hex:
``format`` "e4-device-state", ``version`` 2, ``suite``, ``client_id``, ``control_topic``, ``private``, ``pending``, ``offered``,
``c2_public``, ``former_c2_public``, ``topics`` {hash: [{``epoch``, ``key`` or null, ``fingerprint``, ``use``, ``validity``,
``not_after``, ``until`` or null}]} by rising epoch, ``peers`` {id: {``public``, ``former``, ``until``}}, ``last``, ``starts``,
``mark``, ``floor``, ``clean``, ``seen`` [{``topic``, ``retired``, ``senders`` {id or "": {``floor``, ``gone``}}, ``sessions``
[{``epoch``, ``sender``, ``session``, ``highest``, ``missing``, ``newest``, ``validity``}]}]. Empty strings stand for what there
is none of.
"""

from __future__ import annotations

import json
from typing import Any

from e4core.errors import InvalidInput
from e4core.jsonform import b64, guarded, parse_json, unb64, unhex
from e4core.keys import ClientId, FullTopicHash, Secret, TopicKey
from e4core.state import FORMAT, check_control_topic
from e4core.state2 import (
    FINGERPRINT_LEN,
    SESSION_LEN,
    WINDOW,
    Epoch,
    Peer,
    Seen2,
    SeenSender,
    SeenSession,
    State2,
)

VERSION = 2


def dump(state: State2) -> bytes:
    """JSON form of ``state``, secrets in clear: keep it in a file of mode 0600."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "suite": state.suite,
        "client_id": state.client_id.hex(),
        "control_topic": state.control_topic,
        "private": b64(state.private),
        "pending": b64(state.pending),
        "offered": b64(state.offered),
        "c2_public": b64(state.c2_public),
        "former_c2_public": b64(state.former_c2_public),
        "topics": {topic.hex(): [_dump_epoch(epoch) for epoch in held] for topic, held in sorted(state.topics.items())},
        "peers": {peer.hex(): _dump_peer(keys) for peer, keys in sorted(state.peers.items())},
        "last": state.last,
        "starts": state.starts,
        "mark": state.mark,
        "floor": state.floor,
        "clean": state.clean,
        "seen": [_dump_seen(seen) for seen in state.seen],
    }
    return json.dumps(body, indent=1).encode() + b"\n"


def load(data: bytes) -> State2:
    """Parse what `dump` wrote; the keys themselves are checked by `check_keys`.

    Raises: InvalidInput (``bad_state``).
    """
    body = parse_json(data)
    if body.get("format") != FORMAT or body.get("version") != VERSION:
        raise InvalidInput(f"this is no {FORMAT} of version {VERSION}", kind="bad_state")
    return guarded(lambda: _load(body))


def _load(body: dict[str, Any]) -> State2:
    suite, clean = body["suite"], body["clean"]
    if not isinstance(suite, str) or not isinstance(clean, bool):
        raise InvalidInput("the state names no suite, or not how it was left", kind="bad_state")
    return State2(
        suite=suite,
        client_id=ClientId(unhex(body["client_id"])),
        control_topic=check_control_topic(body["control_topic"]),
        private=Secret(unb64(body["private"])),
        pending=Secret(unb64(body["pending"])),
        offered=unb64(body["offered"]),
        c2_public=unb64(body["c2_public"]),
        former_c2_public=unb64(body["former_c2_public"]),
        topics={FullTopicHash(unhex(topic)): _load_epochs(held) for topic, held in body["topics"].items()},
        peers={ClientId(unhex(peer)): _load_peer(keys) for peer, keys in body["peers"].items()},
        last=_number(body["last"], 8),
        starts=_number(body["starts"], 8),
        mark=_number(body["mark"], 9),
        floor=_number(body["floor"], 9),
        clean=clean,
        seen=tuple(_load_seen(seen) for seen in body["seen"]),
    )


def _number(value: object, length: int) -> int:
    """An unsigned number that fits into ``length`` bytes; the mark, which is ahead of a timestamp, needs more than 8."""
    if type(value) is not int or not 0 <= value < 1 << 8 * length:
        raise InvalidInput("the state has a number out of range", kind="bad_state")
    return value


def _fixed(value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise ValueError
    return value


def _dump_epoch(epoch: Epoch) -> dict[str, Any]:
    return {
        "epoch": epoch.number,
        "key": None if epoch.key is None else b64(epoch.key),
        "fingerprint": epoch.fingerprint.hex(),
        "use": epoch.use,
        "validity": epoch.validity_s,
        "not_after": epoch.not_after,
        "until": epoch.until,
    }


def _load_epochs(bodies: list[dict[str, Any]]) -> tuple[Epoch, ...]:
    epochs = tuple(_load_epoch(body) for body in bodies)
    numbers = [epoch.number for epoch in epochs]
    if not numbers or numbers != sorted(set(numbers)) or not numbers[0]:
        raise ValueError
    return epochs


def _load_epoch(body: dict[str, Any]) -> Epoch:
    key, until, use = body["key"], body["until"], body["use"]
    if type(use) is not int or use not in (0, 1):
        raise ValueError
    return Epoch(
        number=_number(body["epoch"], 4),
        key=None if key is None else TopicKey(unb64(key)),
        fingerprint=_fixed(unhex(body["fingerprint"]), FINGERPRINT_LEN),
        use=use,
        validity_s=_number(body["validity"], 4),
        not_after=_number(body["not_after"], 8),
        until=None if until is None else _number(until, 8),
    )


def _dump_peer(peer: Peer) -> dict[str, Any]:
    return {"public": b64(peer.public), "former": b64(peer.former), "until": peer.until}


def _load_peer(body: dict[str, Any]) -> Peer:
    return Peer(unb64(body["public"]), unb64(body["former"]), _number(body["until"], 8))


def _dump_seen(seen: Seen2) -> dict[str, Any]:
    return {
        "topic": seen.topic.hex(),
        "retired": seen.retired,
        "senders": {sender.hex(): {"floor": s.floor, "gone": s.gone} for sender, s in sorted(seen.senders.items())},
        "sessions": [_dump_session(session) for session in seen.sessions],
    }


def _load_seen(body: dict[str, Any]) -> Seen2:
    return Seen2(
        topic=FullTopicHash(unhex(body["topic"])),
        retired=_number(body["retired"], 4),
        senders={_load_sender(sender): _load_seen_sender(s) for sender, s in body["senders"].items()},
        sessions=tuple(_load_session(session) for session in body["sessions"]),
    )


def _load_sender(text: str) -> bytes:
    return bytes(ClientId(unhex(text))) if text else b""


def _load_seen_sender(body: dict[str, Any]) -> SeenSender:
    return SeenSender(_number(body["floor"], 9), _number(body["gone"], 8))


def _dump_session(seen: SeenSession) -> dict[str, Any]:
    return {
        "epoch": seen.epoch,
        "sender": seen.sender.hex(),
        "session": seen.session.hex(),
        "highest": seen.highest,
        "missing": b64(seen.missing.to_bytes(WINDOW // 8, "little")) if seen.missing else "",
        "newest": seen.newest,
        "validity": seen.validity_s,
    }


def _load_session(body: dict[str, Any]) -> SeenSession:
    missing = unb64(body["missing"])
    return SeenSession(
        epoch=_number(body["epoch"], 4),
        sender=ClientId(unhex(body["sender"])),
        session=_fixed(unhex(body["session"]), SESSION_LEN),
        highest=_number(body["highest"], 4),
        missing=int.from_bytes(_fixed(missing, WINDOW // 8) if missing else b"", "little"),
        newest=_number(body["newest"], 8),
        validity_s=_number(body["validity"], 4),
    )
