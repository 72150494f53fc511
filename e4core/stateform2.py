# SPDX-License-Identifier: Apache-2.0
"""The documented JSON form of a device's state in Format 2.

The form (version 2) is one JSON object; bytes are standard base64, ids, topic hashes and sessions are lower-case hex:
``format`` "e4-device-state", ``version`` 2, ``suite``, ``client_id``, ``control_topic``, ``private``, ``pending``, ``offered``,
``c2_public``, ``former_c2_public``, ``topics`` {hash: [{``epoch``, ``key`` or null, ``fingerprint``, ``use``, ``validity``,
``not_after``, ``until`` or null}]} by rising epoch, ``peers`` {id: {``public``, ``former``, ``until``}}, ``last``, ``starts``,
``mark``, ``floor``, ``clean``, ``seen`` [{``topic``, ``retired``, ``senders`` {id or "": {``floor``, ``gone``}}, ``sessions``
[{``epoch``, ``sender``, ``session``, ``highest``, ``missing``, ``newest``, ``validity``, ``floor``}]}]. Empty strings stand for
what there is none of.
"""

from __future__ import annotations

from e4core import form
from e4core.jsonform import b64, unb64, unhex
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

_U32, _U64 = form.number(32), form.number(64)
_AHEAD = form.number(72)
"""The mark and floors: being ahead of a timestamp, they need more than its 8 bytes."""


def _load_epochs(bodies: list[object]) -> tuple[Epoch, ...]:
    epochs: tuple[Epoch, ...] = form.several(_EPOCH).load(bodies)
    numbers = [epoch.number for epoch in epochs]
    if not numbers or numbers != sorted(set(numbers)) or not numbers[0]:
        raise ValueError
    return epochs


def _load_sender(text: str) -> bytes:
    return bytes(ClientId(unhex(text))) if text else b""


def _dump_missing(missing: int) -> str:
    return b64(missing.to_bytes(WINDOW // 8, "little")) if missing else ""


def _load_missing(text: str) -> int:
    missing = unb64(text)
    return int.from_bytes(form.sized(WINDOW // 8)(missing) if missing else b"", "little")


_EPOCH = form.record(
    Epoch,
    {"number": "epoch", "validity_s": "validity"},
    number=_U32,
    key=form.optional(form.base64(TopicKey)),
    fingerprint=form.hexadecimal(form.sized(FINGERPRINT_LEN)),
    use=form.number(1),
    validity_s=_U32,
    not_after=_U64,
    until=form.optional(_U64),
)
_SESSION = form.record(
    SeenSession,
    {"validity_s": "validity"},
    epoch=_U32,
    sender=form.hexadecimal(ClientId),
    session=form.hexadecimal(form.sized(SESSION_LEN)),
    highest=_U32,
    missing=form.Form(_dump_missing, _load_missing),
    newest=_U64,
    validity_s=_U32,
    floor=_AHEAD,
)
_SEEN = form.record(
    Seen2,
    topic=form.hexadecimal(FullTopicHash),
    retired=_U32,
    senders=form.mapping(form.Form(bytes.hex, _load_sender), form.record(SeenSender, floor=_AHEAD, gone=_U64)),
    sessions=form.several(_SESSION),
)
_FILE: form.Document[State2] = form.Document(
    FORMAT,
    2,
    form.record(
        State2,
        suite=form.exactly(str),
        client_id=form.hexadecimal(ClientId),
        control_topic=form.plain(check_control_topic),
        private=form.base64(Secret),
        pending=form.base64(Secret),
        offered=form.base64(),
        c2_public=form.base64(),
        former_c2_public=form.base64(),
        topics=form.mapping(form.hexadecimal(FullTopicHash), form.Form(form.several(_EPOCH).dump, _load_epochs)),
        peers=form.mapping(
            form.hexadecimal(ClientId), form.record(Peer, public=form.base64(), former=form.base64(), until=_U64)
        ),
        last=_U64,
        starts=_U64,
        mark=_AHEAD,
        floor=_AHEAD,
        clean=form.exactly(bool),
        seen=form.several(_SEEN),
    ),
)
dump, load = _FILE.dump, _FILE.load
