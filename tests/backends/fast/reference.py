# SPDX-License-Identifier: Apache-2.0
"""AES-SIV and SHA3-256 with any number of rounds, slow and from the standards' words alone; tests only.

It shares no code and no trick with the extension: the S-box is computed, a state is a list of bytes, a lane an integer.
"""

from __future__ import annotations

from collections.abc import Sequence

BLOCK_LEN = 16


def _product(a: int, b: int) -> int:
    """In GF(2^8) (FIPS 197 section 4.2)."""
    result = 0
    while b:
        if b & 1:
            result ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return result


def _substitute(value: int) -> int:
    inverse = next((x for x in range(256) if _product(value, x) == 1), 0)
    return inverse ^ 0x63 ^ _fold(inverse)


def _fold(value: int) -> int:
    wide = value << 8 | value
    return (wide >> 7 ^ wide >> 6 ^ wide >> 5 ^ wide >> 4) & 0xFF


S_BOX = [_substitute(value) for value in range(256)]
_TWICE = [_product(value, 2) for value in range(256)]


class Aes:
    """FIPS 197, with ``rounds`` rounds; key: 16, 24 or 32 B."""

    def __init__(self, key: bytes, rounds: int) -> None:
        self.round_keys = _expand(key, rounds)

    def encrypt(self, block: bytes) -> bytes:
        state = _xor(block, self.round_keys[0])
        for round_key in self.round_keys[1:-1]:
            state = _xor(_mix_columns(_shift_rows(state)), round_key)
        return _xor(_shift_rows(state), self.round_keys[-1])


def _expand(key: bytes, rounds: int) -> list[bytes]:
    words, constant, count = [key[i : i + 4] for i in range(0, len(key), 4)], 1, len(key) // 4
    while len(words) < 4 * (rounds + 1):
        last = words[-1]
        if len(words) % count == 0:
            last = bytes(S_BOX[byte] for byte in last[1:] + last[:1])
            last = bytes([last[0] ^ constant]) + last[1:]
            constant = _TWICE[constant]
        elif count == 8 and len(words) % count == 4:
            last = bytes(S_BOX[byte] for byte in last)
        words.append(_xor(words[-count], last))
    return [b"".join(words[4 * r : 4 * r + 4]) for r in range(rounds + 1)]


def _shift_rows(state: bytes) -> bytes:
    """SubBytes and ShiftRows: they commute."""
    return bytes(S_BOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16))


def _mix_columns(state: bytes) -> bytes:
    mixed = bytearray()
    for c in range(0, 16, 4):
        column = state[c : c + 4]
        whole = column[0] ^ column[1] ^ column[2] ^ column[3]
        mixed += bytes(column[r] ^ whole ^ _TWICE[column[r] ^ column[(r + 1) % 4]] for r in range(4))
    return bytes(mixed)


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def _doubled(block: bytes) -> bytes:
    """dbl of RFC 5297 section 2.3."""
    value = int.from_bytes(block, "big") << 1
    return (value ^ 0x87 if value >> 128 else value).to_bytes(17, "big")[1:]


def _padded(data: bytes) -> bytes:
    return data + b"\x80" + bytes(15 - len(data) % 16)


def cmac(aes: Aes, data: bytes) -> bytes:
    """NIST SP 800-38B."""
    subkey = _doubled(aes.encrypt(bytes(16)))
    if not data or len(data) % 16:
        data, subkey = _padded(data), _doubled(subkey)
    data = data[:-16] + _xor(data[-16:], subkey)
    state = bytes(16)
    for i in range(0, len(data), 16):
        state = aes.encrypt(_xor(state, data[i : i + 16]))
    return state


def s2v(aes: Aes, strings: Sequence[bytes]) -> bytes:
    """RFC 5297 section 2.4, for at least one string."""
    state = cmac(aes, bytes(16))
    for string in strings[:-1]:
        state = _xor(_doubled(state), cmac(aes, string))
    last = strings[-1]
    if len(last) >= 16:
        return cmac(aes, last[:-16] + _xor(last[-16:], state))
    return cmac(aes, _xor(_doubled(state), _padded(last)))


def siv_seal(key: bytes, strings: Sequence[bytes], plaintext: bytes, rounds: int) -> bytes:
    """Tag | ciphertext (RFC 5297 section 2.6)."""
    half = len(key) // 2
    tag = s2v(Aes(key[:half], rounds), [*strings, plaintext])
    counter = int.from_bytes(tag, "big") & ~(1 << 63 | 1 << 31)
    stream, aes = b"", Aes(key[half:], rounds)
    while len(stream) < len(plaintext):
        stream += aes.encrypt(counter.to_bytes(16, "big"))
        counter = (counter + 1) % (1 << 128)
    return tag + _xor(plaintext, stream[: len(plaintext)])


def _rotated(lane: int, by: int) -> int:
    return (lane << by | lane >> (64 - by)) & (1 << 64) - 1


def _round_constant(index: int) -> int:
    """FIPS 202, algorithms 5 and 6."""
    register, constant = 1, 0
    for step in range(7 * index + 7):
        if step >= 7 * index and register & 1:
            constant |= 1 << (1 << step - 7 * index) - 1
        register <<= 1
        register ^= 0x171 if register & 0x100 else 0
    return constant


def _rho_offsets() -> dict[tuple[int, int], int]:
    """FIPS 202, algorithm 2."""
    offsets, (x, y) = {(0, 0): 0}, (1, 0)
    for t in range(24):
        offsets[x, y] = (t + 1) * (t + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return offsets


_RHO = _rho_offsets()


def keccak_p(lanes: dict[tuple[int, int], int], rounds: int) -> dict[tuple[int, int], int]:
    """Keccak-p[1600, rounds] (FIPS 202 section 3.3): the last ``rounds`` of the 24."""
    for index in range(24 - rounds, 24):
        parity = [lanes[x, 0] ^ lanes[x, 1] ^ lanes[x, 2] ^ lanes[x, 3] ^ lanes[x, 4] for x in range(5)]
        mixed = {(x, y): lane ^ parity[x - 1] ^ _rotated(parity[(x + 1) % 5], 1) for (x, y), lane in lanes.items()}
        moved = {(y, (2 * x + 3 * y) % 5): _rotated(lane, _RHO[x, y]) for (x, y), lane in mixed.items()}
        lanes = {(x, y): moved[x, y] ^ (~moved[(x + 1) % 5, y] & moved[(x + 2) % 5, y]) for x, y in moved}
        lanes[0, 0] ^= _round_constant(index)
    return lanes


def sha3_256(data: bytes, rounds: int) -> bytes:
    """FIPS 202 section 6.1, over Keccak-p[1600, rounds]."""
    rate = 136
    padded = bytearray(data + b"\x06" + bytes(-(len(data) + 1) % rate))
    padded[-1] |= 0x80
    places = [(i % 5, i // 5) for i in range(25)]
    lanes = dict.fromkeys(places, 0)
    for start in range(0, len(padded), rate):
        for i, place in enumerate(places[: rate // 8]):
            lanes[place] ^= int.from_bytes(padded[start + 8 * i : start + 8 * i + 8], "little")
        lanes = keccak_p(lanes, rounds)
    return b"".join(lanes[place].to_bytes(8, "little") for place in places[:4])
