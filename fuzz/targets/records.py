# SPDX-License-Identifier: Apache-2.0
"""What protects a database: sealed records, and the MACs of rows, as they come out of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial

from e4core.errors import KmsError, NotFound, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms import deks
from e4kms.deks import Binding, Dek, Purpose, State, Wrap
from e4kms.keyring import Keyring
from e4kms.records import AuthorityRow, Cell
from fuzz.target import Target, accepted, always, must, text
from fuzz.targets.fleet import bytes32

_ID = bytes(16)
_CELL = Cell("client", "key", b"row")
_ROW = AuthorityRow("client", b"row", 7, (b"field", "text", 3, None))


@cache
def _keyring() -> Keyring:
    roots = {Binding(purpose, 1, _ID): Secret(bytes32(purpose)) for purpose in Purpose}
    return Keyring(roots, dict.fromkeys(Purpose, 1))


def _check(data: bytes) -> None:
    keyring = _keyring()
    opened = accepted(lambda: keyring.open(_CELL, data), KmsError)
    if opened is not None:
        elsewhere = accepted(lambda: keyring.open(_CELL._replace(row=b"other"), data), Tampered)
        must(elsewhere is None, "a record opens elsewhere")
    tag = keyring.mac(_ROW)
    verified = accepted(lambda: (keyring.verify_mac(_ROW, data), True), KmsError)  # type: ignore[func-returns-value]
    must((verified is not None) is (data == tag), "a MAC that is another one is accepted, or the right one is not")
    name = text(data)
    for stored in (Purpose, State):
        must(accepted(partial(stored, name), Tampered) in (None, name), "a word is read as another")
    wrap = Wrap(0, name, Wrapped(name, name, data))
    dek = Dek(Purpose.RECORDS, 1, State.ACTIVE, data, (wrap,))
    accepted(lambda: deks.unwrap(dek, _ID, {}), KmsError)
    accepted(lambda: dek.wrap_at("file:none"), NotFound)


def _seeds() -> Iterable[bytes]:
    keyring = _keyring()
    for plaintext in (b"", b"x", bytes(40)):
        yield keyring.seal(_CELL, plaintext)
    yield keyring.mac(_ROW)
    yield from (member.encode() for member in (*Purpose, *State))


TARGETS = {"record": Target(always(_check), _seeds, (b"\x01\x01\0", b"\x01\0\0\0", b"\xff\xff\xff\xff"))}
