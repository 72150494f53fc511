# SPDX-License-Identifier: Apache-2.0
"""A client's protect and unprotect, replay memory included, against the bare library calls over the same distinct messages.

The floor keeps its keys ready, slices as the format needs, and checks, remembers and looks up nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from nacl import bindings
from timing import Figures, compare, seconds

from e4core.client import Client
from e4core.keys import ClientId, Secret, TopicHash, TopicKey
from e4core.plugins import load_suite
from e4core.state import State, TopicState
from e4core.suite import Suite

Work = Callable[[list[bytes]], None]

TOPIC = "sensors/room-1/temperature"
NOW = 1_800_000_000.5
SIZES = {64: {"sk": 2_000, "pk": 300}, 1024: {"sk": 2_000, "pk": 300}, 65536: {"sk": 200, "pk": 100}}
"""Payload size in bytes -> messages a run, by suite."""


@dataclass(frozen=True)
class Case:
    """One suite and one size: a member who may read its own messages, and distinct messages for it."""

    suite: Suite
    state: State
    key: bytes
    payloads: list[bytes]

    def client(self) -> Client:
        return Client(self.suite, self.state, lambda _state: None)


def figures() -> Figures:
    measured: Figures = {}
    for name, floors in FLOORS.items():
        for size, counts in SIZES.items():
            measured.update(_measure(_case(load_suite(name), size, counts[name]), floors))
    return measured


def _measure(case: Case, floors: Callable[[Case], tuple[Work, Work]]) -> Figures:
    member = case.client()
    protected = [member.protect(payload, TOPIC, NOW) for payload in case.payloads]
    floor_protect, floor_unprotect = floors(case)
    name, size = case.suite.name, len(case.payloads[0])
    return {
        f"{name}.protect.{size}": compare(
            _per_message(lambda: _protect(case), case.payloads), _per_message(lambda: floor_protect, case.payloads)
        ),
        f"{name}.unprotect.{size}": compare(
            _per_message(lambda: _unprotect(case), protected), _per_message(lambda: floor_unprotect, protected)
        ),
    }


def _case(suite: Suite, size: int, count: int) -> Case:
    client_id = ClientId(suite.derive_id("bench"))
    private = Secret(suite.device.generate())
    public = suite.device.public(suite.device.load(private))
    c2_public = suite.c2.public(suite.c2.load(suite.c2.generate()))
    key = TopicKey(os.urandom(32))
    state = State(
        suite=suite.name,
        client_id=client_id,
        control_topic=f"e4/{client_id.hex()}",
        private=private,
        c2_public=c2_public,
        topics={TopicHash(suite.derive_id(TOPIC)): TopicState(key)},
        peers={} if suite.is_symmetric else {client_id: public},
    )
    return Case(suite, state, bytes(key), [os.urandom(size) for _ in range(count)])


def _per_message(prepare: Callable[[], Work], messages: list[bytes]) -> Callable[[], float]:
    """Seconds a message; ``prepare`` (a fresh client) is not measured."""

    def run() -> float:
        work = prepare()
        return seconds(lambda: work(messages)) / len(messages)

    return run


def _protect(case: Case) -> Work:
    protect = case.client().protect

    def work(messages: list[bytes]) -> None:
        for message in messages:
            protect(message, TOPIC, NOW)

    return work


def _unprotect(case: Case) -> Work:
    unprotect = case.client().unprotect

    def work(messages: list[bytes]) -> None:
        for message in messages:
            unprotect(message, TOPIC, NOW)

    return work


def _floor_sk(case: Case) -> tuple[Work, Work]:
    siv = AESSIV(case.key + case.key)
    header = int(NOW).to_bytes(8, "little")

    def protect(messages: list[bytes]) -> None:
        encrypt = siv.encrypt
        for message in messages:
            encrypt(message, [header])

    def unprotect(messages: list[bytes]) -> None:
        decrypt = siv.decrypt
        for message in messages:
            decrypt(message[8:], [message[:8]])

    return protect, unprotect


def _floor_pk(case: Case) -> tuple[Work, Work]:
    siv = AESSIV(case.key + case.key)
    header = int(NOW).to_bytes(8, "little")
    private, public = bytes(case.state.private), case.state.peers[case.state.client_id]

    def protect(messages: list[bytes]) -> None:
        encrypt, sign = siv.encrypt, bindings.crypto_sign
        for message in messages:
            sign(encrypt(message, [header]), private)

    def unprotect(messages: list[bytes]) -> None:
        decrypt, verify = siv.decrypt, bindings.crypto_sign_open
        for message in messages:
            verify(message[-64:] + message[:-64], public)
            decrypt(message[24:-64], [message[:8]])

    return protect, unprotect


FLOORS = {"sk": _floor_sk, "pk": _floor_pk}
