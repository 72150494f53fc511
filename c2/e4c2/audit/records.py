# SPDX-License-Identifier: Apache-2.0
"""One record of the audit log, and the hash that chains it to all before it: anybody can compute it, with no key and no database.

Hash of a record: SHA-256 of `canonical` of: "e4 audit record v1", hash of the record before (32 B), number (8 B), time (8 B, a
double of Unix seconds), replica (16 B), principal, source, request, action, objects (`canonical` of them), outcome, count (8 B),
digest (0 or 36 B). Numbers are little-endian, texts are UTF-8. Before the first record stands `beginning`.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from typing import Any, Self

from e4core.errors import Tampered
from e4kms.records import canonical

DONE = "done"
HASH_LEN = 32
OBJECTS_MAX = 7000
"""Characters of all objects of a record, as JSON; what is more is in the next, or counted if it was refused."""

MISSING, CHANGED, CUT_OFF = "audit_missing", "audit_changed", "audit_cut_off"
"""Kinds of alarms."""

_OWN = "c2"
_DOMAIN = b"e4 audit record v1"
_BEGINNING = b"e4 audit log v1"
_TEXTS = {"principal": 512, "source": 64, "request": 64, "action": 64, "outcome": 64}
"""Longest of each, in characters; each comes from somewhere that has limits of its own, and is cut here."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who did or tried what.

    Attributes: principal: ``KIND:ID NAME``.  source: address it came from.  request: id of the request.
        action: the operation id of a route, or the name of what the C2 does by itself.  objects: ``KIND:ID`` or ``KIND:NAME``.
        digest: of the request, by `e4c2.audit.chain.digest`.
    """

    action: str
    principal: str = _OWN
    source: str = ""
    request: str = ""
    objects: tuple[str, ...] = ()
    digest: bytes = b""

    def of(self, *objects: str) -> Self:
        """The same, with these objects too."""
        return replace(self, objects=(*self.objects, *objects))

    def step(self, action: str, *objects: str) -> Self:
        """What the C2 does on its behalf, in a transaction of its own."""
        return replace(self, action=action, objects=objects, digest=b"")


OWN = Act("c2")
"""By the C2 itself, which nobody has asked."""


@dataclass(frozen=True, slots=True)
class Record:
    """An act and its outcome (`DONE`, or the kind of the error); ``count``: how often, of refusals that are put together."""

    number: int
    time: float
    replica: str
    principal: str
    source: str
    request: str
    action: str
    objects: tuple[str, ...]
    outcome: str
    count: int
    digest: str

    def follows(self, before: bytes) -> bytes:
        """The hash of the log up to this record, from that of the one before, 32 B."""
        fields = (
            before,
            _long(self.number),
            struct.pack("<d", self.time),
            bytes.fromhex(self.replica),
            *map(_utf8, (self.principal, self.source, self.request, self.action)),
            canonical(*map(_utf8, self.objects)),
            _utf8(self.outcome),
            _long(self.count),
            bytes.fromhex(self.digest),
        )
        return hashlib.sha256(canonical(_DOMAIN, *fields)).digest()

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """From JSON, as the API gives it. Raises: Tampered: no record."""
        try:
            fields = {name: document[name] for name in _TYPES}
        except KeyError as error:
            raise _no_record() from error
        if not all(isinstance(fields[name], types) for name, types in _TYPES.items()):
            raise _no_record()
        made = cls(**{**fields, "time": float(fields["time"]), "objects": tuple(fields["objects"])})
        try:
            made.follows(bytes(HASH_LEN))
        except (ValueError, AttributeError, OverflowError, struct.error) as error:
            raise _no_record() from error
        return made


_TYPES: dict[str, type | tuple[type, ...]] = {
    "number": int,
    "time": (int, float),
    "replica": str,
    "principal": str,
    "source": str,
    "request": str,
    "action": str,
    "objects": list,
    "outcome": str,
    "count": int,
    "digest": str,
}


def beginning(database_id: bytes) -> bytes:
    """What stands in place of the hash before record 1, 32 B. Args: database_id: 16 B."""
    return hashlib.sha256(canonical(_BEGINNING, database_id)).digest()


def texts(act: Act, outcome: str) -> dict[str, str]:
    """The texts of a record, as they can be stored."""
    given = {
        "principal": act.principal,
        "source": act.source,
        "request": act.request,
        "action": act.action,
        "outcome": outcome,
    }
    return {name: _storable(text)[: _TEXTS[name]] for name, text in given.items()}


def stored_objects(objects: Iterable[str]) -> str:
    """A JSON list in ASCII; of too many the first, and how many are left out."""
    listed = list(map(_storable, objects))
    fitting = _fitting(listed)
    left_out = [f"and {len(listed) - fitting} more"] if fitting < len(listed) else []
    return json.dumps(listed[:fitting] + left_out)


def portions(objects: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All of them, each portion as many as a record takes; one that is empty if there are none."""
    while True:
        fitting = max(1, _fitting(map(_storable, objects)))
        yield objects[:fitting]
        objects = objects[fitting:]
        if not objects:
            return


def _fitting(objects: Iterable[str]) -> int:
    """How many of the first a record takes."""
    lengths = accumulate(len(json.dumps(each)) + 2 for each in objects)
    return sum(1 for _ in takewhile(lambda length: length <= OBJECTS_MAX, lengths))


def missing(first: int, last: int) -> Tampered:
    """The alarm about records that are gone."""
    gone = f"record {first} is" if first == last else f"records {first} to {last} are"
    return Tampered(f"{gone} missing from the audit log; somebody deleted what was there", kind=MISSING)


def changed(number: object) -> Tampered:
    """The alarm about the first record that does not follow from those before it."""
    return Tampered(f"record {number} of the audit log is not as it was written; somebody changed it", kind=CHANGED)


def _storable(text: str) -> str:
    # no database takes a lone surrogate, PostgreSQL takes no NUL
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _utf8(text: str) -> bytes:
    return text.encode()


def _long(number: int) -> bytes:
    return number.to_bytes(8, "little")


def _no_record() -> Tampered:
    return Tampered("what was read is no record of an audit log")
