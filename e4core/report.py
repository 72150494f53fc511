# SPDX-License-Identifier: Apache-2.0
"""Reports: what a device tells the C2 about what it holds (`format2.md` sections 3 and 4).

Container: version 0x02 | direction 0x02 | sequence (8) | salt (16) | body, all under a key made for this one salt.
Plaintext: kind (1) | last sequence (8) | state digest (16) | rest. In Format 1 all sequences are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from e4core.errors import InvalidInput
from e4core.keys import ClientId, TopicKey
from e4core.suite import Channel, Suite

HEADER_LEN = 26
SALT_LEN = 16
NONCE_LEN = 16
DIGEST_LEN = 16
TAG_LEN = 16
_PREFIX = b"\x02\x02"
_HELLO, _ACK = 0, 1
_COMMON_LEN = 1 + 8 + DIGEST_LEN
_LENGTHS = {_HELLO: _COMMON_LEN + NONCE_LEN, _ACK: _COMMON_LEN + 16 + 2}
LONGEST = HEADER_LEN + max(_LENGTHS.values()) + TAG_LEN
"""Longest report of a Format 1 suite, in bytes."""

REFUSALS = ("bad_command_length", "unknown_command", "unsupported", "bad_key", "pubkey_missing", "epoch_conflict")
"""Why a command was refused, by its number in an ack less 1."""


class Outcome(IntEnum):
    """What became of a command at the device."""

    APPLIED = 0
    ALREADY = 1
    REFUSED = 2
    OUTDATED = 3
    """Older than the newest one accepted (Format 1 only)."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Sent at start and after each new connection, until a Sync with its nonce arrives. It may be a replay."""

    digest: bytes
    nonce: bytes
    last_sequence: int = 0


@dataclass(frozen=True, slots=True)
class Ack:
    """Answers one command, which ``subject`` names (Format 1: its SIV tag, 16 bytes)."""

    digest: bytes
    subject: bytes
    outcome: Outcome
    refusal: str = ""
    """Kind of the error, one of `REFUSALS`; empty unless refused."""
    last_sequence: int = 0


Report = Hello | Ack


def seal(suite: Suite, channel: Channel, client: ClientId, report: Report, salt: bytes) -> bytes:
    """Report container. Args: salt: 16 fresh random bytes."""
    header = _PREFIX + bytes(8) + salt
    return header + channel.seal(_info(suite, client), header, _encode(report))


def open_report(suite: Suite, channel: Channel, client: ClientId, data: bytes) -> Report:
    """Open what `seal` made.

    Raises: InvalidInput (``bad_length``, ``bad_version``, ``bad_report``). AuthenticationFailed.
    """
    if not HEADER_LEN + TAG_LEN < len(data) <= LONGEST:
        raise InvalidInput(f"a report has at most {LONGEST} bytes", kind="bad_length")
    if data[:2] != _PREFIX:
        raise InvalidInput("not a report of this version", kind="bad_version")
    header = data[:HEADER_LEN]
    return _decode(channel.open(_info(suite, client), header, data[HEADER_LEN:]))


def fingerprint(suite: Suite, key: TopicKey) -> bytes:
    """8 bytes that tell topic keys apart and nothing else."""
    return suite.kdf(key, _lp(b"E4.2 fingerprint"), 8)


def digest(suite: Suite, fingerprints: Mapping[bytes, bytes], peers: Mapping[bytes, bytes]) -> bytes:
    """State digest, 16 bytes, of what a device holds.

    Args: fingerprints: topic hash -> `fingerprint` of its current key. peers: client id -> public key.
    """
    records = [b"\x01" + topic + bytes(8) + mark for topic, mark in fingerprints.items()]
    records += [b"\x02" + peer + suite.hash.digest(public)[:8] for peer, public in peers.items()]
    return suite.hash.digest(b"".join(sorted(records)))[:DIGEST_LEN]


def _info(suite: Suite, client: ClientId) -> bytes:
    return _lp(b"E4.2 report") + _lp(suite.wire_name.encode()) + client


def _encode(report: Report) -> bytes:
    common = report.last_sequence.to_bytes(8, "little") + report.digest
    if isinstance(report, Hello):
        return bytes([_HELLO]) + common + report.nonce
    refusal = REFUSALS.index(report.refusal) + 1 if report.refusal else 0
    return bytes([_ACK]) + common + report.subject + bytes([report.outcome, refusal])


def _decode(data: bytes) -> Report:
    if _LENGTHS.get(data[0]) != len(data):
        raise InvalidInput("no such report, or of another length", kind="bad_report")
    last, held, rest = int.from_bytes(data[1:9], "little"), data[9:_COMMON_LEN], data[_COMMON_LEN:]
    if data[0] == _HELLO:
        return Hello(held, rest, last)
    subject, outcome, refusal = rest[:16], rest[16], rest[17]
    if outcome > max(Outcome) or refusal > len(REFUSALS) or (refusal > 0) != (outcome == Outcome.REFUSED):
        raise InvalidInput("an ack with an outcome that does not exist", kind="bad_report")
    return Ack(held, subject, Outcome(outcome), REFUSALS[refusal - 1] if refusal else "", last)


def _lp(value: bytes) -> bytes:
    return bytes([len(value)]) + value
