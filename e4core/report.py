# SPDX-License-Identifier: Apache-2.0
"""Reports: what a device tells the C2 about what it holds (`format2.md` sections 3 and 4).

Container: `e4core.container`, all under a key made for this one salt; its sequence is that of the command answered, else 0.
Plaintext: kind (1) | last sequence (8) | state digest (16) | rest. In Format 1 all sequences are 0, and there is no offer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from e4core import container
from e4core.container import HEADER_LEN, REPORT, lp
from e4core.errors import InvalidInput
from e4core.keys import ClientId, TopicKey
from e4core.suite import Channel, Suite

SALT_LEN = container.SALT_LEN
NONCE_LEN = 16
DIGEST_LEN = 16
SUBJECT_LEN = 16
TAG_LEN = 16
_HELLO, _ACK, _OFFER = 0, 1, 2
_COMMON_LEN = 1 + 8 + DIGEST_LEN
_LENGTHS = {_HELLO: _COMMON_LEN + NONCE_LEN, _ACK: _COMMON_LEN + SUBJECT_LEN + 2}
_NUMBERED = {1: False, 2: True}
"""By format: whether commands have sequences, and devices offer keys that they have made."""
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
    """Answers one command, which ``subject`` names, 16 bytes: its `subject`, in Format 1 its SIV tag."""

    digest: bytes
    subject: bytes
    outcome: Outcome
    refusal: str = ""
    """Kind of the error, one of `REFUSALS`; empty unless refused."""
    last_sequence: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """New keys that the device has made for NewIDKey (Format 2, public-key suites)."""

    digest: bytes
    nonce: bytes
    """That of the command."""
    public: bytes
    """Public value of the new identity: signature public key, KEM public key."""
    signature: bytes
    """By the new key, over `offer_message`."""
    last_sequence: int = 0


Report = Hello | Ack | Offer


class Held(NamedTuple):
    """What a device holds of a topic, as the state digest has it; both epochs are 0 in Format 1."""

    sending: int
    """Newest epoch it may protect with; 0: none."""
    newest: int
    fingerprint: bytes
    """Of the key of the newest epoch."""


def subject(sequence: int) -> bytes:
    """What names a command of Format 2 in its ack, 16 bytes."""
    return sequence.to_bytes(8, "little") + bytes(8)


def offer_message(client: ClientId, nonce: bytes, public: bytes) -> bytes:
    """What the new signature key of an offer signs."""
    return lp(b"E4.2 offer") + client + nonce + public


def longest(suite: Suite) -> int:
    """Length in bytes of the longest report of ``suite``."""
    return HEADER_LEN + max(_lengths(suite).values()) + suite.control.overhead


def seal(suite: Suite, channel: Channel, client: ClientId, report: Report, salt: bytes) -> bytes:
    """Report container. Args: salt: 16 fresh random bytes."""
    return REPORT.seal(suite, channel, client, _answered(suite, report), _encode(report), salt)


def check(suite: Suite, data: bytes) -> int:
    """The sequence in a report that has not been opened yet; all that can be said of one without a key is said here.

    Raises: InvalidInput (``bad_length``, ``bad_version``).
    """
    most = longest(suite)
    if len(data) > most:
        raise InvalidInput(f"a report has at most {most} bytes", kind="bad_length")
    return REPORT.check(suite, data)


def open_report(suite: Suite, channel: Channel, client: ClientId, data: bytes) -> Report:
    """Open what `seal` made. The signature of an offer is left to `check_offer`.

    Raises: InvalidInput (``bad_length``, ``bad_version``, ``bad_report``). AuthenticationFailed.
    """
    sequence = check(suite, data)
    report = _decode(_lengths(suite), suite, REPORT.open(suite, channel, client, data))
    if sequence != _answered(suite, report):
        raise InvalidInput("a report whose header names another command", kind="bad_report")
    return report


def check_offer(suite: Suite, client: ClientId, offer: Offer) -> None:
    """Refuse keys that are none, or whose holder has not signed. Raises: InvalidInput (``bad_key``). AuthenticationFailed."""
    if suite.signature is None:
        raise InvalidInput("a symmetric suite has no key pairs to offer", kind="bad_key")
    suite.device.check(offer.public)
    verifier = suite.signature.verifier(offer.public[: suite.signature.public_len])
    verifier.verify(offer_message(client, offer.nonce, offer.public), offer.signature)


def fingerprint(suite: Suite, key: TopicKey) -> bytes:
    """8 bytes that tell topic keys apart and nothing else."""
    return suite.kdf(key, lp(b"E4.2 fingerprint"), 8)


def digest(suite: Suite, fingerprints: Mapping[bytes, bytes], peers: Mapping[bytes, bytes]) -> bytes:
    """State digest, 16 bytes, of what a device of Format 1 holds.

    Args: fingerprints: topic hash -> `fingerprint` of its current key. peers: client id -> public key.
    """
    return digest2(suite, {topic: Held(0, 0, mark) for topic, mark in fingerprints.items()}, peers)


def digest2(suite: Suite, topics: Mapping[bytes, Held], peers: Mapping[bytes, bytes]) -> bytes:
    """State digest, 16 bytes. Args: topics: by topic hash. peers: client id -> (signature) public key, the current ones."""
    records = [
        b"\x01" + topic + _u32(held.sending) + _u32(held.newest) + held.fingerprint for topic, held in topics.items()
    ]
    records += [b"\x02" + peer + suite.hash.digest(public)[:8] for peer, public in peers.items()]
    return suite.hash.digest(b"".join(sorted(records)))[:DIGEST_LEN]


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _lengths(suite: Suite) -> dict[int, int]:
    """Length in bytes of the plaintext of each kind of report that the suite has."""
    if not _NUMBERED[suite.format] or suite.signature is None:
        return _LENGTHS
    offer = _COMMON_LEN + NONCE_LEN + suite.device.public_len + suite.signature.signature_len
    return {**_LENGTHS, _OFFER: offer}


def _answered(suite: Suite, report: Report) -> int:
    """Sequence of the command that a report answers."""
    if not _NUMBERED[suite.format] or not isinstance(report, Ack):
        return 0
    return int.from_bytes(report.subject[:8], "little")


def _encode(report: Report) -> bytes:
    common = report.last_sequence.to_bytes(8, "little") + report.digest
    if isinstance(report, Hello):
        return bytes([_HELLO]) + common + report.nonce
    if isinstance(report, Offer):
        return bytes([_OFFER]) + common + report.nonce + report.public + report.signature
    refusal = REFUSALS.index(report.refusal) + 1 if report.refusal else 0
    return bytes([_ACK]) + common + report.subject + bytes([report.outcome, refusal])


def _decode(lengths: Mapping[int, int], suite: Suite, data: bytes) -> Report:
    if not data or lengths.get(data[0]) != len(data):
        raise InvalidInput("no such report, or of another length", kind="bad_report")
    last, held, rest = int.from_bytes(data[1:9], "little"), data[9:_COMMON_LEN], data[_COMMON_LEN:]
    if data[0] == _HELLO:
        return Hello(held, rest, last)
    if data[0] == _OFFER:
        end = NONCE_LEN + suite.device.public_len
        return Offer(held, rest[:NONCE_LEN], rest[NONCE_LEN:end], rest[end:], last)
    answered, outcome, refusal = rest[:SUBJECT_LEN], rest[SUBJECT_LEN], rest[SUBJECT_LEN + 1]
    if outcome > max(Outcome) or refusal > len(REFUSALS) or (refusal > 0) != (outcome == Outcome.REFUSED):
        raise InvalidInput("an ack with an outcome that does not exist", kind="bad_report")
    return Ack(held, answered, Outcome(outcome), REFUSALS[refusal - 1] if refusal else "", last)
