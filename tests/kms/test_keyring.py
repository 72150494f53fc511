# SPDX-License-Identifier: Apache-2.0
"""The keyring: what it seals opens only in its place, and every MAC and lookup serves its own purpose alone."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import E4Error, KmsError, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms.deks import Purpose, State, Wrap
from e4kms.keyring import Keyring
from e4kms.records import MAC_LEN, UNKNOWN_VERSION, Cell
from tests.kms.memory import MalleableKms
from tests.kms.rings import CELL, DATABASE, ROW, GlassKms, Stand
from tests.kms.samples import flips


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.fixture
def ring(stand: Stand) -> Keyring:
    return stand.unwrap()


@pytest.fixture(scope="module")
def shared_ring() -> Keyring:
    return Stand().unwrap()


# Records


@settings(deadline=None)
@given(st.text(), st.text(), st.binary(), st.binary(max_size=5000))
def test_what_is_sealed_opens_in_its_place(
    shared_ring: Keyring, table: str, column: str, row: bytes, plaintext: bytes
) -> None:
    cell = Cell(table, column, row)
    record = shared_ring.seal(cell, plaintext)
    assert shared_ring.open(cell, record) == plaintext
    assert isinstance(shared_ring.open(cell, record), Secret)
    assert len(record) == len(plaintext) + 47


def test_a_record_opens_after_a_restart(stand: Stand, ring: Keyring) -> None:
    assert stand.unwrap().open(CELL, ring.seal(CELL, b"key")) == b"key"


@pytest.mark.parametrize(
    "other",
    [
        Cell("topic", "private", b"row 1"),
        Cell("client", "public", b"row 1"),
        Cell("client", "private", b"row 2"),
        Cell("clientprivate", "", b"row 1"),
        Cell("clien", "tprivate", b"row 1"),
        Cell("client", "privater", b"ow 1"),
    ],
)
def test_a_record_in_another_cell_is_an_alarm(ring: Keyring, other: Cell) -> None:
    with pytest.raises(Tampered):
        ring.open(other, ring.seal(CELL, b"key"))


def test_every_flipped_bit_of_a_record_is_an_alarm(ring: Keyring) -> None:
    for changed in flips(ring.seal(CELL, b"key")):
        with pytest.raises(Tampered):
            ring.open(CELL, changed)


def test_every_other_length_of_a_record_is_an_alarm(ring: Keyring) -> None:
    record = ring.seal(CELL, b"key")
    for changed in [record[:length] for length in range(len(record))] + [record + b"\0"]:
        with pytest.raises(Tampered):
            ring.open(CELL, changed)


@settings(deadline=None)
@given(st.binary(), st.binary(max_size=60))
def test_garbage_raises_only_our_errors(shared_ring: Keyring, garbage: bytes, tail: bytes) -> None:
    header = shared_ring.seal(CELL, b"")[:7]
    for record in (garbage, header + tail):
        with pytest.raises(Tampered):
            shared_ring.open(CELL, record)
    with pytest.raises(Tampered):
        shared_ring.verify_mac(ROW, garbage)
    with pytest.raises(Tampered):
        shared_ring.verify_audit_mac(b"entry", garbage)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("02 01 00 01000000", "tampered"),
        ("01 02 00 01000000", "tampered"),
        ("01 01 01 01000000", "tampered"),
        ("01 01 00 02000000", UNKNOWN_VERSION),
        ("01 01 00 00000000", UNKNOWN_VERSION),
    ],
)
def test_a_caller_can_tell_a_version_it_has_not_loaded_yet(ring: Keyring, header: str, kind: str) -> None:
    with pytest.raises(Tampered) as caught:
        ring.open(CELL, bytes.fromhex(header) + bytes(40))
    assert caught.value.kind == kind


def test_new_records_go_under_the_newest_active_version_and_old_ones_still_open(stand: Stand, ring: Keyring) -> None:
    old = ring.seal(CELL, b"old")
    versions = [stand.make(Purpose.RECORDS, 3), replace(stand.make(Purpose.RECORDS, 4), state=State.DECRYPT_ONLY)]
    rotated = stand.unwrap(*versions, stand.deks[Purpose.RECORDS])
    assert rotated.open(CELL, old) == b"old"
    assert rotated.seal(CELL, b"new")[3:7] == b"\3\0\0\0"
    with pytest.raises(Tampered):
        ring.open(CELL, rotated.seal(CELL, b"new"))


def test_the_version_named_in_a_record_cannot_be_changed(stand: Stand) -> None:
    both = stand.unwrap(stand.deks[Purpose.RECORDS], stand.make(Purpose.RECORDS, 2))
    record = both.seal(CELL, b"key")
    with pytest.raises(Tampered):
        both.open(CELL, record[:3] + b"\1" + record[4:])


def test_a_retired_version_is_not_even_unwrapped(stand: Stand, ring: Keyring) -> None:
    record = ring.seal(CELL, b"old")
    retired = replace(stand.deks[Purpose.RECORDS], state=State.RETIRED, wraps=(Wrap(0, "gone:", Wrapped("", "", b"")),))
    rotated = stand.unwrap(stand.make(Purpose.RECORDS, 2), retired)
    with pytest.raises(Tampered, match="version 1"):
        rotated.open(CELL, record)


# MACs and lookups


def test_a_mac_fits_its_row_after_a_restart(stand: Stand, ring: Keyring) -> None:
    stored = ring.mac(ROW)
    assert len(stored) == MAC_LEN
    stand.unwrap().verify_mac(ROW._replace(), stored)


@pytest.mark.parametrize(
    "change",
    [
        {"table": "topic"},
        {"row": b"row 2"},
        {"generation": 6},
        {"fields": ROW.fields[:-1]},
        {"fields": (*ROW.fields, None)},
        {"fields": (b"public kez", "name", 3, None)},
        {"fields": (b"public key", b"name", 3, None)},
        {"fields": (b"public key", "name", None, 3)},
    ],
)
def test_a_row_changed_in_any_field_is_an_alarm(ring: Keyring, change: dict[str, Any]) -> None:
    with pytest.raises(Tampered):
        ring.verify_mac(ROW._replace(**change), ring.mac(ROW))


def test_every_flipped_bit_and_every_other_length_of_a_mac_is_an_alarm(ring: Keyring) -> None:
    stored = ring.mac(ROW)
    for changed in [*flips(stored), *(stored[:length] for length in range(MAC_LEN)), stored + b"\0"]:
        with pytest.raises(Tampered):
            ring.verify_mac(ROW, changed)


def test_macs_of_older_versions_still_fit(stand: Stand, ring: Keyring) -> None:
    rotated = stand.unwrap(stand.deks[Purpose.AUTHORITY], stand.make(Purpose.AUTHORITY, 2))
    rotated.verify_mac(ROW, ring.mac(ROW))
    assert rotated.mac(ROW)[:4] == b"\2\0\0\0"
    with pytest.raises(Tampered) as caught:
        ring.verify_mac(ROW, rotated.mac(ROW))
    assert caught.value.kind == UNKNOWN_VERSION


def test_an_audit_record_changed_anywhere_is_an_alarm(ring: Keyring) -> None:
    stored = ring.audit_mac(b"entry")
    ring.verify_audit_mac(b"entry", stored)
    for entry, changed in [*((b"entry", c) for c in flips(stored)), *((e, stored) for e in flips(b"entry"))]:
        with pytest.raises(Tampered):
            ring.verify_audit_mac(entry, changed)


def test_the_mac_of_one_purpose_never_serves_another(ring: Keyring) -> None:
    with pytest.raises(Tampered):
        ring.verify_mac(ROW, ring.audit_mac(ROW.encoded()))
    assert ring.lookup(ROW.encoded()) != ring.mac(ROW)


def test_a_lookup_is_the_same_for_the_same_value_only(stand: Stand, ring: Keyring) -> None:
    assert ring.lookup(b"token") == stand.unwrap().lookup(b"token")
    assert len({ring.lookup(value) for value in (b"", b"token", b"token\0", b"Token")}) == 4
    assert ring.lookup(b"token") != Stand().unwrap().lookup(b"token")


# The derivations, read a second time from their description (RFC 5869 with the standard library alone)


def fields(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def derive(root: bytes, purpose: bytes, use: bytes) -> bytes:
    """The first 32 B, which do not depend on how many there are."""
    extracted = hmac.digest(DATABASE, root, "sha256")
    return hmac.digest(extracted, fields(b"e4 dek v1", purpose, b"\1\0\0\0", use) + b"\1", "sha256")


def test_check_values_and_working_keys_are_derived_as_described() -> None:
    stand = Stand(GlassKms())
    ring = stand.unwrap()
    for purpose, dek in stand.deks.items():
        root, name = dek.wraps[0].wrapped.blob, purpose.encode()
        context = fields(b"e4 dek wrap v1", DATABASE, name, b"\1\0\0\0")
        assert dek.check_value == hmac.digest(derive(root, name, b"check"), context, "sha256")[:16]

    roots = {purpose: dek.wraps[0].wrapped.blob for purpose, dek in stand.deks.items()}
    record = ring.seal(CELL, b"key")
    bound = fields(b"e4 record v1", record[:7], DATABASE, b"client", b"private", b"row 1")
    working = derive(roots[Purpose.RECORDS], b"records", b"aes-256-gcm-key-per-record")
    of_record = hmac.digest(working, b"\0\0\0\1e4 record key\0" + record[7:31] + b"\0\0\1\0", "sha256")
    assert AESGCM(of_record).decrypt(bytes(12), record[31:], bound) == b"key"

    granted = fields(b"e4 authority v1", b"sclient", b"brow 1", b"i7", b"bpublic key", b"sname", b"i3", b"n")
    assert ring.mac(ROW)[4:] == hmac.digest(derive(roots[Purpose.AUTHORITY], b"authority", b"mac"), granted, "sha256")
    assert ring.audit_mac(b"x")[4:] == hmac.digest(derive(roots[Purpose.AUDIT], b"audit", b"mac"), b"x", hashlib.sha256)
    assert ring.lookup(b"x")[4:] == hmac.digest(derive(roots[Purpose.LOOKUP], b"lookup", b"mac"), b"x", "sha256")


# Secrets show themselves nowhere


def test_a_closed_ring_has_forgotten_its_keys(ring: Keyring) -> None:
    record, stored, noted = ring.seal(CELL, b"key"), ring.mac(ROW), ring.audit_mac(b"entry")
    ring.close()
    ring.close()
    uses: list[Callable[[], object]] = [
        lambda: ring.seal(CELL, b"key"),
        lambda: ring.open(CELL, record),
        lambda: ring.mac(ROW),
        lambda: ring.verify_mac(ROW, stored),
        lambda: ring.audit_mac(b"entry"),
        lambda: ring.verify_audit_mac(b"entry", noted),
        lambda: ring.lookup(b"token"),
    ]
    for use in uses:
        with pytest.raises(KmsError, match="closed"):
            use()


def test_a_ring_is_neither_pickled_nor_copied(ring: Keyring) -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(ring)


def test_neither_repr_nor_error_shows_a_root_or_a_plaintext() -> None:
    kms = MalleableKms()
    stand = Stand(kms)
    dek = stand.deks[Purpose.RECORDS]
    root = kms.unwrap(dek.wraps[0].wrapped, b"")
    ring = stand.unwrap()
    texts = [repr(ring), str(ring), repr(dek), str(dek)]
    attempts: list[Callable[[], object]] = [
        lambda: stand.unwrap(replace(dek, check_value=bytes(16))),
        lambda: ring.open(CELL._replace(row=b"row 2"), ring.seal(CELL, b"the plaintext")),
        lambda: ring.open(CELL, b"\1\2\0\7\0\0\0"),
    ]
    for attempt in attempts:
        with pytest.raises(E4Error) as caught:
            attempt()
        texts += traceback.format_exception_only(caught.value)
    assert not [t for t in texts if root.hex() in t or bytes.__repr__(root)[2:-1] in t or "the plaintext" in t]


def test_many_threads_use_one_ring(ring: Keyring) -> None:
    def use(number: int) -> bool:
        cell, value = Cell("t", "c", bytes([number])), bytes([number]) * 100
        row = ROW._replace(generation=number)
        ring.verify_mac(row, ring.mac(row))
        return ring.open(cell, ring.seal(cell, value)) == value

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, list(range(256)) * 4))
