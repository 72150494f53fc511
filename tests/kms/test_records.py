# SPDX-License-Identifier: Apache-2.0
"""The record format, held against a second reading of its description, and the encoding of rows that grant something."""

from __future__ import annotations

import hmac
import os
import struct
from enum import StrEnum
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import InvalidInput, Tampered
from e4core.keys import ClientId, Secret
from e4kms.records import (
    AES_256_GCM,
    HEADER_LEN,
    SUITES,
    AuthorityRow,
    Cell,
    Field,
    KeyPerRecord,
    MacKey,
    RecordKey,
    canonical,
)

DATABASE = bytes(range(16))
RAW = bytes(range(100, 164))
MAC_RAW = RAW[:32]
CELL = Cell("client", "private", b"row id")


def key(version: int = 0x01020304, database_id: bytes = DATABASE) -> RecordKey:
    return RecordKey(AES_256_GCM, version, database_id, bytearray(RAW))


def associated_data(header: bytes, *rest: bytes) -> bytes:
    fields = (b"e4 record v1", header, DATABASE, *rest)
    return b"".join(struct.pack("<I", len(field)) + field for field in fields)


def under(salt: bytes) -> AESGCM:
    """The record's key by another implementation of SP 800-108."""
    kdf = KBKDFHMAC(
        algorithm=SHA256(),
        mode=Mode.CounterMode,
        length=32,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=b"e4 record key",
        context=salt,
        fixed=None,
    )
    return AESGCM(kdf.derive(RAW[:32]))


def test_a_record_has_the_layout_that_is_described() -> None:
    record = key().seal(CELL, b"plaintext")
    header, salt, ciphertext = record[:7], record[7:31], record[31:]
    assert header == bytes.fromhex("01 01 00 04030201")
    expected = associated_data(header, b"client", b"private", b"row id")
    assert under(salt).decrypt(bytes(12), ciphertext, expected) == b"plaintext"


def test_a_record_made_after_the_description_opens() -> None:
    header, salt = bytes.fromhex("01 01 00 04030201"), bytes(range(24))
    sealed = under(salt).encrypt(bytes(12), b"", associated_data(header, b"client", b"private", b"row id"))
    assert key().open(CELL, header + salt + sealed) == Secret(b"")


def test_a_salt_is_made_as_described() -> None:
    random = os.urandom(24)
    record = KeyPerRecord(bytearray(RAW), lambda length: random[:length]).seal(b"plaintext", b"bound")
    assert record[:24] == hmac.digest(RAW[32:], random + b"bound" + b"plaintext", "sha256")[:24]


def test_where_random_numbers_repeat_no_key_seals_two_different_records() -> None:
    cipher = KeyPerRecord(bytearray(RAW), bytes)
    records = {cipher.seal(plaintext, bound) for plaintext in (b"a", b"b") for bound in (b"a", b"b") for _ in range(3)}
    assert len(records) == len({record[:24] for record in records}) == 4


def test_suites_are_found_by_the_number_in_the_header() -> None:
    assert all(suite.number == number for number, suite in SUITES.items())
    assert len({suite.name for suite in SUITES.values()}) == len(SUITES)


def test_every_flipped_bit_behind_the_header_is_an_alarm() -> None:
    record = key().seal(CELL, b"plaintext")
    for bit in range(HEADER_LEN * 8, len(record) * 8):
        changed = bytearray(record)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Tampered):
            key().open(CELL, bytes(changed))


@pytest.mark.parametrize("other", [key(version=1), key(database_id=bytes(16))])
def test_a_record_is_bound_to_version_and_database_even_under_one_key(other: RecordKey) -> None:
    record = key().seal(CELL, b"plaintext")
    with pytest.raises(Tampered):
        other.open(CELL, record)


def test_salts_are_fresh() -> None:
    assert len({key().seal(CELL, b"")[7:31] for _ in range(1000)}) == 1000


def test_wiped_keys_are_zero() -> None:
    for_records, for_macs = bytearray(RAW), bytearray(MAC_RAW)
    RecordKey(AES_256_GCM, 1, DATABASE, for_records).wipe()
    MacKey(1, for_macs).wipe()
    assert for_records == bytes(64)
    assert for_macs == bytes(32)


def test_no_key_shows_itself() -> None:
    text = repr(key()) + str(key()) + repr(MacKey(1, bytearray(MAC_RAW)))
    for half in (RAW[:32], RAW[32:]):
        assert half.hex() not in text
        assert repr(half)[2:-1] not in text


@settings(deadline=None)
@given(st.lists(st.binary(max_size=6), max_size=5), st.lists(st.binary(max_size=6), max_size=5))
def test_different_lists_of_fields_never_have_one_encoding(left: list[bytes], right: list[bytes]) -> None:
    assert (canonical(*left) == canonical(*right)) == (left == right)


fields = st.one_of(
    st.none(), st.integers(-300, 300), st.integers(), st.text("0159ai-nsb\0", max_size=4), st.binary(max_size=4)
)
rows = st.builds(
    AuthorityRow,
    table=st.text("ab", max_size=2),
    row=st.binary(max_size=2),
    generation=st.integers(0, 3),
    fields=st.lists(fields, max_size=4).map(tuple),
)


@settings(deadline=None)
@given(rows, rows)
def test_different_rows_never_have_one_encoding(left: AuthorityRow, right: AuthorityRow) -> None:
    assert (left.encoded() == right.encoded()) == (left == right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((b"ab", b"c"), (b"a", b"bc")),
        ((b"", b"a"), (b"a", b"")),
        ((b"a",), (b"a", b"")),
        ((b"a",), (b"a", None)),
        ((), (None,)),
        (("",), (b"",)),
        (("",), (None,)),
        ((0,), (None,)),
        ((1,), ("1",)),
        ((1,), (b"1",)),
        ((1,), (-1,)),
        ((255,), (-1,)),
        ((1,), (256,)),
        ((2**64,), (0,)),
        (("a", "b"), ("b", "a")),
        (("n",), (None,)),
    ],
)
def test_fields_that_look_alike_are_told_apart(left: tuple[Field, ...], right: tuple[Field, ...]) -> None:
    assert AuthorityRow("t", b"", 0, left).encoded() != AuthorityRow("t", b"", 0, right).encoded()


def test_a_field_may_be_a_subclass_and_counts_as_its_base() -> None:
    class Role(StrEnum):
        ADMIN = "admin"

    client = ClientId(os.urandom(16))
    assert (
        AuthorityRow("t", b"", 0, (Role.ADMIN, client, True)).encoded()
        == AuthorityRow("t", b"", 0, ("admin", bytes(client), 1)).encoded()
    )


@pytest.mark.parametrize("field", [1.0, [b""], object(), "\ud800"])
def test_a_field_of_another_kind_is_refused(field: Any) -> None:
    with pytest.raises(InvalidInput):
        AuthorityRow("t", b"", 0, (field,)).encoded()


def test_an_integer_may_have_any_length() -> None:
    assert AuthorityRow("t", b"", 0, (10**6000,)).encoded() != AuthorityRow("t", b"", 0, (10**6000 + 1,)).encoded()
