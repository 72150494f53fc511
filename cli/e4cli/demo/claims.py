# SPDX-License-Identifier: Apache-2.0
"""How the demo finds out whether a claim holds: by what really happened, and never because nothing did."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence

from e4cli.demo.fleet import REPLAYED, Fleet
from e4core.errors import AuthenticationFailed, UnknownKey
from e4core.formats import AnyClient

REPLAY = (REPLAYED,)
NOT_AUTHENTIC = ("not_authentic", "bad_signature")
"""Kinds of `AuthenticationFailed`, as a device counts them."""
STRANGER = ("topic_key_missing",)
OUTCAST = (*NOT_AUTHENTIC, "epoch_retired", "unknown_sender")
_PIECE = 32
"""Bytes of the shortest key there is."""


class Watch:
    """Some devices, from now on."""

    def __init__(self, fleet: Fleet, names: Collection[str]) -> None:
        self._fleet = fleet
        self._members = fleet.named(names)
        self._before = {each.name: (each.refusals, len(each.read)) for each in self._members}

    async def refuse(self, kinds: Collection[str]) -> bool:
        """Each refuses a message for one of ``kinds``, and none reads anything."""
        return await self._fleet.eventually(lambda: self._all_refuse(kinds)) and self._none_reads()

    def _all_refuse(self, kinds: Collection[str]) -> bool:
        since = [each.refusals - self._before[each.name][0] for each in self._members]
        return bool(since) and all(any(refused[kind] for kind in kinds) for refused in since)

    def _none_reads(self) -> bool:
        return all(len(each.read) == self._before[each.name][1] for each in self._members)


async def read_by_all(fleet: Fleet, names: Collection[str], payload: bytes) -> bool:
    """Each gets exactly ``payload``, once."""
    readers = fleet.named(names)

    def all_have_it() -> bool:
        return all([message.payload for message in each.read].count(payload) == 1 for each in readers)

    return bool(readers) and await fleet.eventually(all_have_it)


def signed_by(fleet: Fleet, names: Collection[str], payload: bytes, sender: str) -> bool:
    """Each has verified that ``sender`` said ``payload``."""
    found = [message for each in fleet.named(names) for message in each.read if message.payload == payload]
    identity = fleet.members[sender].id
    return len(found) == len(names) > 0 and all(each.authenticated and each.sender == identity for each in found)


def renewed(fleet: Fleet, names: Collection[str], old: bytes | None) -> bool:
    """All hold one and the same topic key, another one than ``old``."""
    held = {fleet.topic_key(name) for name in names}
    return len(held) == 1 and not held & {old, None}


def conceals(seen: Sequence[bytes], secrets: Iterable[bytes]) -> bool:
    """None of ``secrets`` stands in what was seen; something was seen, and there are secrets."""
    known = list(secrets)
    return bool(seen) and all(known) and bool(known) and not any(each in data for data in seen for each in known)


def opens(thief: AnyClient, data: bytes, topic: str) -> bool:
    """Whether these keys open the message; they are wrong or too old if not, and nothing else."""
    try:
        thief.unprotect(data, topic, time.time())
    except AuthenticationFailed:
        return False
    except UnknownKey as error:
        if error.kind != "epoch_unknown":
            raise
        return False
    return True


def keys_of(fleet: Fleet, names: Iterable[str]) -> set[bytes]:
    """Topic keys that these devices hold now, and their own keys in pieces, as one may hold several."""
    names = list(names)
    topic_keys = {key for name in names if (key := fleet.topic_key(name))}
    own = [bytes(fleet.members[name].client.state.private) for name in names]
    # the last piece ends with the key: two bytes that are left over would be found anywhere
    starts = [(key, min(start, len(key) - _PIECE)) for key in own for start in range(0, len(key), _PIECE)]
    return topic_keys | {key[start : start + _PIECE] for key, start in starts}
