# SPDX-License-Identifier: Apache-2.0
"""AES-256-SIV of 10 rounds in plain Python, from ``format2.md`` section 1.1, FIPS 197, SP 800-38B and RFC 5297, for the witness.

Any number of blocks are worked on side by side: a state is their bytes, or all of them as one big-endian integer.
"""

from __future__ import annotations

from functools import cache
from operator import itemgetter

ROUNDS = 10
BLOCK = 16
KEY_LEN = 64


def seal(key: bytes, plain: bytes, associated_data: bytes) -> bytes:
    """Synthetic IV (16 B) | ciphertext. Args: key: 32 B for S2V, 32 B for CTR."""
    siv = _s2v(_expand(key[:32]), associated_data, plain)
    return siv + _ctr(_expand(key[32:]), siv, plain)


def open_sealed(key: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    """Raises: ValueError: it does not open."""
    siv, plain = sealed[:BLOCK], _ctr(_expand(key[32:]), sealed[:BLOCK], sealed[BLOCK:])
    if _s2v(_expand(key[:32]), associated_data, plain) != siv:
        raise ValueError("it does not open")
    return plain


# --------------------------------------------------------------------------------------------------------- FIPS 197


def _product(a: int, b: int) -> int:
    """In GF(2^8)."""
    result = 0
    while b:
        result ^= a if b & 1 else 0
        a, b = a << 1 ^ (0x11B if a & 0x80 else 0), b >> 1
    return result


def _substitute(value: int) -> int:
    inverse = next((each for each in range(256) if _product(value, each) == 1), 0)
    return 0x63 ^ inverse ^ _turned(inverse, 1) ^ _turned(inverse, 2) ^ _turned(inverse, 3) ^ _turned(inverse, 4)


def _turned(value: int, by: int) -> int:
    return (value << by | value >> 8 - by) & 0xFF


S_BOX = bytes(map(_substitute, range(256)))
SHIFTED = [(place + 4 * (place % 4)) % BLOCK for place in range(BLOCK)]
"""Where the bytes of a block come from in ShiftRows."""
_OF_ONE_BLOCK = itemgetter(*SHIFTED)


@cache
def _expand(key: bytes) -> tuple[bytes, ...]:
    """The first of the round keys of AES-256, as many as these rounds use."""
    words, constant = [key[at : at + 4] for at in range(0, 32, 4)], 1
    while len(words) < 4 * (ROUNDS + 1):
        last = words[-1]
        if len(words) % 8 == 0:
            last = (last[1:] + last[:1]).translate(S_BOX)
            last = bytes([last[0] ^ constant]) + last[1:]
            constant = _product(constant, 2)
        elif len(words) % 8 == 4:
            last = last.translate(S_BOX)
        words.append(_xor(words[-8], last))
    return tuple(b"".join(words[at : at + 4]) for at in range(0, len(words), 4))


def _encrypt(keys: tuple[bytes, ...], blocks: bytes) -> bytes:
    count, length = len(blocks) // BLOCK, len(blocks)
    state = _xor(blocks, keys[0] * count)
    for number, key in enumerate(keys[1:], 1):
        columns = int.from_bytes(_shifted(state.translate(S_BOX)))
        mixed = _mixed(columns, count) if number < ROUNDS else columns
        state = (mixed ^ int.from_bytes(key * count)).to_bytes(length)
    return state


def _shifted(state: bytes) -> bytes:
    """ShiftRows."""
    if len(state) == BLOCK:
        return bytes(_OF_ONE_BLOCK(state))
    moved = bytearray(len(state))
    for place, source in enumerate(SHIFTED):
        moved[place::BLOCK] = state[source::BLOCK]
    return bytes(moved)


def _mixed(columns: int, count: int) -> int:
    """MixColumns; a column is 32 bits, its first byte the highest."""
    low7, bit, last, others = _masks(count)
    below = columns << 8 & others | columns >> 24 & last
    pair = columns ^ below
    second = pair << 8 & others | pair >> 24 & last
    third = second << 8 & others | second >> 24 & last
    return ((pair & low7) << 1 ^ (pair >> 7 & bit) * 0x1B) ^ below ^ third


@cache
def _masks(count: int) -> tuple[int, int, int, int]:
    columns = 4 * count
    return (
        int.from_bytes(b"\x7f\x7f\x7f\x7f" * columns),
        int.from_bytes(b"\x01\x01\x01\x01" * columns),
        int.from_bytes(b"\x00\x00\x00\xff" * columns),
        int.from_bytes(b"\xff\xff\xff\x00" * columns),
    )


# --------------------------------------------------------------------------------------------- SP 800-38B and RFC 5297


def _cmac(keys: tuple[bytes, ...], data: bytes) -> bytes:
    subkey = _doubled(_encrypt(keys, bytes(BLOCK)))
    if not data or len(data) % BLOCK:
        data, subkey = _padded(data), _doubled(subkey)
    data = data[:-BLOCK] + _xor(data[-BLOCK:], subkey)
    state = bytes(BLOCK)
    for at in range(0, len(data), BLOCK):
        state = _encrypt(keys, _xor(state, data[at : at + BLOCK]))
    return state


def _s2v(keys: tuple[bytes, ...], associated_data: bytes, plain: bytes) -> bytes:
    """Of exactly one string of associated data."""
    mixed = _xor(_doubled(_cmac(keys, bytes(BLOCK))), _cmac(keys, associated_data))
    if len(plain) >= BLOCK:
        return _cmac(keys, plain[:-BLOCK] + _xor(plain[-BLOCK:], mixed))
    return _cmac(keys, _xor(_doubled(mixed), _padded(plain)))


def _ctr(keys: tuple[bytes, ...], siv: bytes, data: bytes) -> bytes:
    first = int.from_bytes(siv) & ~(1 << 63 | 1 << 31)
    counters = (first + number & (1 << 128) - 1 for number in range(-(-len(data) // BLOCK)))
    stream = _encrypt(keys, b"".join(counter.to_bytes(BLOCK) for counter in counters))
    return _xor(data, stream[: len(data)])


def _doubled(block: bytes) -> bytes:
    value = int.from_bytes(block) << 1
    return (value & (1 << 128) - 1 ^ (0x87 if value >> 128 else 0)).to_bytes(BLOCK)


def _padded(data: bytes) -> bytes:
    return data + b"\x80" + bytes(-(len(data) + 1) % BLOCK)


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(len(a))
