# SPDX-License-Identifier: Apache-2.0
"""A device of Format 2 a second time, written from ``docs/reference/format2.md`` alone, to verify code and vectors.

It imports nothing of this project. It is made to be read beside that text, not for speed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy

from tests.conformance.witness2_algorithms import Algorithms, Refused, require, sha3
from tests.conformance.witness2_memory import Epoch, Key, Memory
from tests.conformance.witness2_state import Delivered, Handled, Pair, Peer, State
from tests.conformance.witness2_wire import (
    ACK,
    COMMAND,
    HELLO,
    OFFER,
    REPORT,
    End,
    Header,
    Report,
    ack_rest,
    decode_command,
    le,
    message_key,
    number,
    offer_signed,
    open_control,
    seal_control,
    seal_message,
    session,
    signed_by_message,
)

MARK_AHEAD_S, ALREADY_EVERY_S, SYNC_WITHIN_S = 5, 10, 10


class Device:
    """One device. Args: clock: whether it has one of its own that is trusted."""

    def __init__(
        self,
        row: Algorithms,
        client: bytes,
        own: Pair,
        c2: Pair = (b"", b""),
        *,
        skew: float = 30,
        clock: bool = True,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.row, self.client, self.skew, self.trusted, self.random = row, client, skew, clock, random
        signed = row.signature is not None
        self.saved = State(own, c2, Memory(8 if signed else 1024, signed))
        self.state = deepcopy(self.saved)
        self.start()

    # ------------------------------------------------------------------------------------------ sections 2.3 and 2.7

    def save(self) -> None:
        self.saved = deepcopy(self.state)
        if not self.saved.clean:
            self.saved.memory.sessions.clear()
            self.saved.memory.floors.clear()

    def start(self) -> None:
        """Also: a start after a crash; what is in memory is then lost."""
        self.state = deepcopy(self.saved)
        if not self.state.clean:
            self.state.memory.lose(self.state.mark)
        self.state.clean = False
        self.state.starts += 1
        self.session = session(self.random(32), 0, self.state.starts, self.client)
        self.sequences: dict[tuple[bytes, int], int] = {}
        self.hellos: dict[bytes, float] = {}
        self.synchronised = False
        self.already = float("-inf")
        self.clock, self.offset = self.trusted, 0.0
        self.save()

    def stop(self) -> None:
        self.state.clean = True
        self.save()

    def now(self, clock: float) -> float:
        """The trusted time, where the clock that runs evenly shows ``clock``."""
        require(self.clock, "clock_unset")
        return clock + self.offset

    def ends_by(self, clock: float) -> float:
        """By what keys are over: without a clock only those whose limit is 0."""
        return self.now(clock) if self.clock else 0

    # --------------------------------------------------------------------------------------------------- section 2.4

    def protect(self, payload: bytes, name: str, clock: float) -> bytes:
        topic = sha3(name.encode())
        epochs = self.state.memory.topics.get(topic, {})
        epoch = max((each for each, held in epochs.items() if held.use), default=0)
        require(epoch > 0, "topic_key_missing")
        held, second = epochs[epoch], self.ends_by(clock)
        expired = held.not_after > 0 and held.not_after < held.limit
        over = not held.key or held.over(second)
        require(not over, "key_expired" if expired else "topic_key_missing")
        now = self.now(clock)
        sequence = self.sequences.get((topic, epoch), 0)
        self.sequences[topic, epoch] = sequence + 1
        header = Header(epoch, int(now), self.client, self.session, sequence)
        return seal_message(self.row, held.key, topic, header, payload, self.state.own[0])

    # --------------------------------------------------------------------------------------------------- section 2.5

    def unprotect(self, data: bytes, name: str, clock: float) -> Delivered:
        row, memory, now, topic = self.row, self.state.memory, self.now(clock), sha3(name.encode())
        require(len(data) >= 57 + row.signature_len, "bad_length")
        require(data[0] == 2, "bad_version")
        require(topic in memory.topics, "topic_key_missing")
        memory.erase(now)
        header = Header.of(data)
        epoch = memory.find(topic, header.epoch)
        key: Key = (topic, header.epoch, header.sender, header.session)
        require(header.timestamp <= now + self.skew, "timestamp_future")
        require(epoch.validity == 0 or header.timestamp >= now - epoch.validity, "timestamp_old")
        require(header.timestamp > memory.floor_of(key), "timestamp_old")
        publics = self.publics_of(header.sender, now)
        memory.check(key, header.sequence)
        payload = self.open(data, topic, header, epoch, publics)
        if header.timestamp > self.state.mark:
            self.state.mark = header.timestamp + MARK_AHEAD_S
            self.save()
        memory.remember(key, header, epoch.validity, now - self.skew)
        authenticated = row.signature is not None
        return Delivered(payload, header.sender, authenticated, header.epoch, header.timestamp, header.sequence)

    def publics_of(self, sender: bytes, now: float) -> list[bytes]:
        if self.row.signature is None:
            return []
        if sender == self.client:
            return [self.row.signature.public(self.state.own[0])]
        peer = self.state.peers.get(sender)
        require(peer is not None, "unknown_sender")
        assert peer
        return [peer.current, peer.previous] if peer.previous and now < peer.until else [peer.current]

    def open(self, data: bytes, topic: bytes, header: Header, epoch: Epoch, publics: list[bytes]) -> bytes:
        row, end = self.row, len(data) - self.row.signature_len
        if row.signature:
            signed, signature = signed_by_message(row, topic, data[:end]), data[end:]
            good = any(row.signature.verify(public, signed, signature) for public in publics)
            require(good, "bad_signature")
        key = message_key(row, epoch.key, topic, header)
        try:
            return row.aead.open(key, header.nonce(row.aead.nonce_len), data[41:end], data[:41])
        except ValueError:
            raise Refused("not_authentic") from None

    # --------------------------------------------------------------------------------------------------- section 3.3

    def command(self, data: bytes, clock: float) -> Handled:
        row = self.row
        require(len(data) >= 43 + row.ciphertext_len + row.signature_len, "bad_length")
        require(data[:2] == b"\x02\x01", "bad_version")
        sequence = number(data[2:10])
        require(sequence >= self.state.last, "replayed")
        plain, end = open_control(row, COMMAND, self.client, self.ends(), data)
        if sequence == self.state.last:
            return self.already_done(sequence, clock)
        try:
            entries = decode_command(row, plain)
            after = deepcopy(self.state)
            self.take_effect(after, end)
            for opcode, args in entries:
                self.apply(after, opcode, args, end)
        except Refused as error:
            self.state.last = sequence
            self.save()
            return Handled("refused", error.kind, [self.ack(sequence, "refused", error.kind)])
        self.state = after
        self.state.last = sequence
        for opcode, args in entries:
            if opcode == 0x09:
                self.sync(args, clock)
        self.state.memory.erase(self.ends_by(clock))
        self.save()
        reports = [self.ack(sequence, "applied")]
        if row.signature and any(opcode == 0x08 for opcode, _ in entries):
            reports.append(self.offer())
        return Handled("applied", "", reports)

    def ends(self) -> list[End]:
        state = self.state
        c2s = [state.c2] + ([state.former_c2] if state.former_c2 else [])
        owns = [state.own] + ([state.pending] if state.pending else [])
        if self.row.signature is None:
            return [End(device_key=own[1]) for own in owns]
        return [End(b"", own[0], own[1], *c2) for c2 in c2s for own in owns]

    def take_effect(self, state: State, end: End) -> None:
        """Section 3.5."""
        used = (end.signature_private, end.kem_private or end.device_key)
        if state.pending is not None and used == state.pending:
            state.own, state.pending, state.nonce = used, None, b""
        if state.former_c2 is not None and (end.peer_signature, end.peer_kem) == state.c2:
            state.former_c2 = None

    def already_done(self, sequence: int, clock: float) -> Handled:
        if 0 <= clock - self.already < ALREADY_EVERY_S:
            return Handled("already", "replayed", [])
        self.already = clock
        reports = [self.ack(sequence, "already")]
        if self.row.signature and self.state.pending:
            reports.append(self.offer())
        return Handled("already", "replayed", reports)

    # ------------------------------------------------------------------------------------------- sections 3.4 and 3.5

    def apply(self, state: State, opcode: int, args: bytes, end: End) -> None:
        cut = self.row.public_lens[1]
        if opcode == 0x00:
            state.memory.topics.pop(args, None)
        elif opcode == 0x01:
            state.memory.topics.clear()
        elif opcode == 0x02:
            state.pending = (b"", args)
        elif opcode == 0x03:
            state.memory.set_topic(args)
        elif opcode == 0x04:
            require(args in state.peers, "pubkey_missing")
            del state.peers[args]
        elif opcode == 0x05:
            state.peers.clear()
        elif opcode == 0x06:
            self.set_peer(state, args[:16], args[16:-8], number(args[-8:]))
        elif opcode == 0x07 and state.c2 != (args[cut:], args[:cut]):
            state.former_c2, state.c2 = (end.peer_signature, end.peer_kem), (args[cut:], args[:cut])
        elif opcode == 0x08 and (state.pending is None or state.nonce != args):
            assert self.row.signature and self.row.kem
            state.pending = self.random(self.row.signature.private_len), self.random(self.row.kem.private_len)
            state.nonce = args

    def set_peer(self, state: State, client: bytes, public: bytes, until: int) -> None:
        held = state.peers.get(client)
        if held is None:
            state.peers[client] = Peer(public)
        elif held.current == public:
            held.until = min(held.until, until)
        else:
            state.peers[client] = Peer(public, held.current, until)

    def sync(self, args: bytes, clock: float) -> None:
        """Section 4.4."""
        sent = self.hellos.get(args[:16])
        timely = sent is not None and 0 <= clock - sent <= SYNC_WITHIN_S and number(args[16:]) < 1000 * 2**32
        if sent is None or not (self.trusted or timely):
            return
        self.hellos, self.synchronised = {}, True
        if not self.trusted:
            self.offset, self.clock = number(args[16:]) / 1000 - clock, True

    # ------------------------------------------------------------------------------------------------------ section 4

    def hello(self, clock: float) -> bytes:
        nonce = self.random(16)
        self.hellos, self.synchronised = dict([*self.hellos.items(), (nonce, clock)][-8:]), False
        return self.report(HELLO, nonce)

    def ack(self, sequence: int, outcome: str, error: str = "") -> bytes:
        return self.report(ACK, ack_rest(sequence, outcome, error))

    def offer(self) -> bytes:
        assert self.row.signature and self.row.kem and self.state.pending
        signature_private, kem_private = self.state.pending
        rest = self.state.nonce + self.row.signature.public(signature_private) + self.row.kem.public(kem_private)
        signature = self.row.signature.sign(signature_private, offer_signed(self.client, rest))
        return self.report(OFFER, rest + signature)

    def report(self, kind: int, rest: bytes) -> bytes:
        state = self.state
        report = Report(kind, state.last, self.digest(), rest)
        shared = End(device_key=(state.pending or state.own)[1])
        end = shared if self.row.signature is None else End(b"", *state.own, *state.c2)
        return seal_control(self.row, REPORT, self.client, end, report.sequence, self.random(16), report.encode())

    def digest(self) -> bytes:
        """Section 4.2."""
        records = []
        for topic, epochs in self.state.memory.topics.items():
            sending = max((each for each, epoch in epochs.items() if epoch.use), default=0)
            newest = max(epochs)
            records.append(b"\x01" + topic + le(sending, 4) + le(newest, 4) + epochs[newest].mark)
        records += [b"\x02" + client + sha3(peer.current)[:8] for client, peer in self.state.peers.items()]
        return sha3(b"".join(sorted(records)))[:16]
