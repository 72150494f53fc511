# SPDX-License-Identifier: Apache-2.0
"""The bytes of ``format2.md`` for the independent implementation: messages, containers, commands, reports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.conformance.witness2_algorithms import Algorithms, Refused, kdf, require, sha3

COMMAND, REPORT = 1, 2
LABELS = {COMMAND: b"E4.2 command", REPORT: b"E4.2 report"}
REFUSALS = ("bad_command_length", "unknown_command", "unsupported", "bad_key", "pubkey_missing", "epoch_conflict")
OUTCOMES = ("applied", "already", "refused", "outdated")
HELLO, ACK, OFFER = 0, 1, 2


def lp(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def le(number: int, length: int) -> bytes:
    return number.to_bytes(length, "little")


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


# ------------------------------------------------------------------------------------------------ section 2: messages


def session(random: bytes, clock_ns: int, starts: int, sender: bytes) -> bytes:
    """Section 2.3."""
    return hashlib.sha256(lp(b"E4.2 session") + random + le(clock_ns, 8) + le(starts, 8) + sender).digest()[:8]


@dataclass(frozen=True)
class Header:
    epoch: int
    timestamp: int
    sender: bytes
    session: bytes
    sequence: int
    version: int = 2

    def encode(self) -> bytes:
        return (
            bytes([self.version])
            + le(self.epoch, 4)
            + le(self.timestamp, 8)
            + self.sender
            + self.session
            + le(self.sequence, 4)
        )

    @classmethod
    def of(cls, data: bytes) -> Header:
        return cls(number(data[1:5]), number(data[5:13]), data[13:29], data[29:37], number(data[37:41]), data[0])

    def nonce(self, length: int) -> bytes:
        return (le(self.sequence, 4) + bytes(length))[:length]


def message_key(row: Algorithms, key: bytes, topic: bytes, header: Header) -> bytes:
    info = lp(b"E4.2 message key") + lp(row.wire_name.encode()) + topic
    return kdf(key, info + le(header.epoch, 4) + header.sender + header.session, row.aead.key_len)


def signed_by_message(row: Algorithms, topic: bytes, data: bytes) -> bytes:
    return lp(b"E4.2 message signature") + lp(row.wire_name.encode()) + topic + data


def seal_message(
    row: Algorithms, key: bytes, topic: bytes, header: Header, payload: bytes, private: bytes = b""
) -> bytes:
    """Args: topic: T, 32 bytes. private: signature key of the sender; empty in symmetric suites."""
    head = header.encode()
    sealed = row.aead.seal(message_key(row, key, topic, header), header.nonce(row.aead.nonce_len), payload, head)
    if row.signature is None:
        return head + sealed
    return head + sealed + row.signature.sign(private, signed_by_message(row, topic, head + sealed))


# ------------------------------------------------------------------------------------------------ section 3: containers


@dataclass(frozen=True)
class End:
    """What one end of a control channel needs: the device key, or own private pair and the other's public pair."""

    device_key: bytes = b""
    signature_private: bytes = b""
    kem_private: bytes = b""
    peer_signature: bytes = b""
    peer_kem: bytes = b""


def seal_control(
    row: Algorithms,
    direction: int,
    device: bytes,
    end: End,
    sequence: int,
    salt: bytes,
    plain: bytes,
    prefix: bytes = b"",
) -> bytes:
    """Args: prefix: the first two bytes, where they are to be wrong."""
    head = (prefix or bytes([2, direction])) + le(sequence, 8) + salt
    context = lp(LABELS[direction]) + lp(row.wire_name.encode()) + device
    secret, ciphertext = end.device_key, b""
    if row.signature and row.kem:
        context += sha3(row.signature.public(end.signature_private)) + sha3(end.peer_kem)
        ciphertext, secret = row.kem.encapsulate(end.peer_kem)
    context += head + ciphertext
    sealed = row.aead.seal(_control_key(row, secret, context), bytes(row.aead.nonce_len), plain, head)
    if not row.signature:
        return head + sealed
    signature = row.signature.sign(end.signature_private, lp(b"E4.2 control signature") + context + sealed)
    return head + ciphertext + sealed + signature


def open_control(row: Algorithms, direction: int, device: bytes, ends: Iterable[End], data: bytes) -> tuple[bytes, End]:
    """Plaintext, and the first of ``ends`` that opens. Raises: Refused: ``bad_signature``, ``not_authentic``."""
    head, c, s = data[:26], row.ciphertext_len, row.signature_len
    ciphertext, sealed, signature = data[26 : 26 + c], data[26 + c : len(data) - s], data[len(data) - s :]
    kind = "bad_signature" if row.signature else "not_authentic"
    for end in ends:
        context = lp(LABELS[direction]) + lp(row.wire_name.encode()) + device
        secret = end.device_key
        if row.signature and row.kem:
            context += sha3(end.peer_signature) + sha3(row.kem.public(end.kem_private))
        context += head + ciphertext
        if row.signature and row.kem:
            signed = lp(b"E4.2 control signature") + context + sealed
            if not row.signature.verify(end.peer_signature, signed, signature):
                continue
            kind = "not_authentic"
        try:
            if row.kem:
                secret = row.kem.decapsulate(end.kem_private, ciphertext)
            return row.aead.open(_control_key(row, secret, context), bytes(row.aead.nonce_len), sealed, head), end
        except ValueError:
            continue
    raise Refused(kind)


def _control_key(row: Algorithms, secret: bytes, context: bytes) -> bytes:
    return kdf(secret, lp(b"E4.2 control key") + context, row.aead.key_len)


# ------------------------------------------------------------------------------------------------ section 3.4: commands

Entry = tuple[int, bytes]
"""Opcode and arguments."""


def lengths(row: Algorithms) -> dict[int, int]:
    """Opcode -> length of its arguments."""
    signature, kem = row.public_lens
    return {
        0x00: 32,
        0x01: 0,
        0x02: 32,
        0x03: 32 + 4 + 32 + 1 + 4 + 8 + 8,
        0x04: 16,
        0x05: 0,
        0x06: 16 + signature + 8,
        0x07: kem + signature,
        0x08: 16,
        0x09: 16 + 8,
    }


ELSEWHERE = {True: (0x04, 0x05, 0x06, 0x07, 0x08), False: (0x02,)}
"""Opcodes that a suite does not have: symmetric or not."""


def encode_command(issued: int, entries: Sequence[Entry]) -> bytes:
    return le(issued, 8) + b"".join(le(1 + len(rest), 2) + bytes([opcode]) + rest for opcode, rest in entries)


def decode_command(row: Algorithms, plain: bytes) -> list[Entry]:
    """Steps 1 to 4 of section 3.4."""
    entries, known = _framed(plain), lengths(row)
    require(all(len(rest) == known.get(opcode, len(rest)) for opcode, rest in entries), "bad_command_length")
    require(all(opcode in known for opcode, _ in entries), "unknown_command")
    for opcode, rest in entries:
        require(opcode not in ELSEWHERE[row.signature is None], "unsupported")
        require(opcode != 0x03 or rest[68] in (0, 1), "unsupported")
    for opcode, rest in entries:
        _check_keys(row, opcode, rest)
    return entries


def _framed(plain: bytes) -> list[Entry]:
    require(len(plain) > 8, "bad_command_length")
    entries, rest = [], plain[8:]
    while rest:
        length = number(rest[:2])
        require(len(rest) >= 3 and 1 <= length <= len(rest) - 2, "bad_command_length")
        entries.append((rest[2], rest[3 : 2 + length]))
        rest = rest[2 + length :]
    return entries


def _check_keys(row: Algorithms, opcode: int, rest: bytes) -> None:
    if opcode in (0x02, 0x03):
        key = rest if opcode == 0x02 else rest[36:68]
        require(any(key), "bad_key")
    elif opcode == 0x06:
        row.check_signature_key(rest[16:-8])
    elif opcode == 0x07:
        cut = row.public_lens[1]
        row.check_kem_key(rest[:cut])
        row.check_signature_key(rest[cut:])


# ------------------------------------------------------------------------------------------------ section 4: reports


def fingerprint(key: bytes) -> bytes:
    return kdf(key, lp(b"E4.2 fingerprint"), 8)


@dataclass(frozen=True)
class Report:
    kind: int
    last: int
    digest: bytes
    rest: bytes

    def encode(self) -> bytes:
        return bytes([self.kind]) + le(self.last, 8) + self.digest + self.rest

    @property
    def sequence(self) -> int:
        """What stands in the header."""
        return number(self.rest[:8]) if self.kind == ACK else 0


def ack_rest(sequence: int, outcome: str, error: str = "") -> bytes:
    code = REFUSALS.index(error) + 1 if error else 0
    return le(sequence, 8) + bytes(8) + bytes([OUTCOMES.index(outcome), code])


def offer_signed(device: bytes, rest: bytes) -> bytes:
    return lp(b"E4.2 offer") + device + rest


def rest_lengths(row: Algorithms) -> dict[int, int]:
    kinds = {HELLO: 16, ACK: 18}
    return {**kinds, OFFER: 16 + sum(row.public_lens) + row.signature_len} if row.signature else kinds


def open_report(row: Algorithms, device: bytes, ends: Iterable[End], data: bytes) -> tuple[Report, End]:
    """Section 4.5, points 2, 3, 6 and 7; ``ends`` are the C2's."""
    kinds = rest_lengths(row)
    around = 42 + row.ciphertext_len + row.signature_len + 25
    require(around - 24 <= len(data) <= around + max(kinds.values()), "bad_length")
    require(data[:2] == b"\x02\x02", "bad_version")
    plain, end = open_control(row, REPORT, device, ends, data)
    require(kinds.get(plain[0]) == len(plain) - 25, "bad_report")
    report = Report(plain[0], number(plain[1:9]), plain[9:25], plain[25:])
    require(number(data[2:10]) == report.sequence, "bad_report")
    if report.kind == ACK:
        outcome, code = report.rest[16:]
        require(outcome <= 3 and code <= len(REFUSALS) and (code > 0) == (outcome == 2), "bad_report")
    if report.kind == OFFER:
        assert row.signature
        cut = row.signature_len
        public = report.rest[16 : 16 + row.signature.public_len]
        row.check_signature_key(public)
        row.check_kem_key(report.rest[16 + row.signature.public_len : -cut])
        signed = offer_signed(device, report.rest[:-cut])
        require(row.signature.verify(public, signed, report.rest[-cut:]), "bad_signature")
    return report, end
