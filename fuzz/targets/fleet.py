# SPDX-License-Identifier: Apache-2.0
"""Two devices and a C2 of each suite, whose keys follow from their names, so that an input means the same in every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha3_256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from e4core import formats
from e4core.formats import AnyClient, AnyState
from e4core.keys import ClientId, FullTopicHash, Secret, TopicHash, TopicKey
from e4core.plugins import load_suite
from e4core.report import fingerprint
from e4core.state import State, TopicState
from e4core.state2 import Epoch, Peer, State2
from e4core.suite import Channel, Suite

NOW = 1_800_000_000.5
SECOND = int(NOW)
TOPIC = "demoTopic"
EPOCH = 1000
NAMES = {1: ("sk", "pk"), 2: ("fips-sk", "fips-pk")}
"""By format: suites that are installed everywhere."""


def bytes32(name: str) -> bytes:
    return sha3_256(name.encode()).digest()


@dataclass(frozen=True)
class Fleet:
    """The device ``bob``, who is given everything, and ``alice``, who sends to him."""

    suite: Suite

    @property
    def bob(self) -> ClientId:
        return _id("bob")

    @cached_property
    def c2_private(self) -> bytes:
        return b"" if self.suite.is_symmetric else _digits("c2", self.suite.c2.private_len)

    @cached_property
    def channel(self) -> Channel:
        """The C2's end of the way to bob."""
        return self.suite.control.at_c2(self.suite.c2.load(Secret(self.c2_private)), self.public("bob"))

    def private(self, name: str) -> Secret:
        if self.suite.format == 1 and not self.suite.is_symmetric:
            # stored with its public half behind it
            seed = bytes32(name)
            return Secret(seed + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())
        return Secret(_digits(name, self.suite.device.private_len))

    def public(self, name: str) -> bytes:
        return self.suite.device.public(self.suite.device.load(self.private(name)))

    @cache  # noqa: B019  # there are as many fleets as suites
    def state(self, name: str) -> AnyState:
        suite = self.suite
        c2_public = b"" if suite.is_symmetric else suite.c2.public(suite.c2.load(Secret(self.c2_private)))
        fresh = formats.new_state(suite, _id(name), self.private(name), c2_public)
        return _knowing1(self, fresh) if isinstance(fresh, State) else _knowing2(self, fresh)

    def client(self, name: str) -> AnyClient:
        """A device that begins anew; what it saves is lost."""
        return formats.new_client(self.suite, self.state(name), lambda _state: None)

    def peers(self) -> Mapping[ClientId, bytes]:
        """Those whom bob knows, by the key that verifies them."""
        if self.suite.signature is None:
            return {}
        return {_id("alice"): self.public("alice")[: self.suite.signature.public_len]}


def _knowing1(fleet: Fleet, state: State) -> State:
    topic = TopicHash(fleet.suite.derive_topic(TOPIC))
    held = TopicState(TopicKey(bytes32("key")), TopicKey(bytes32("former key")), SECOND - 60)
    return replace(state, topics={topic: held}, peers=fleet.peers())


def _knowing2(fleet: Fleet, state: State2) -> State2:
    suite, topic = fleet.suite, FullTopicHash(fleet.suite.derive_topic(TOPIC))
    keys = TopicKey(bytes32("former key")), TopicKey(bytes32("key"))
    former, held = (Epoch(EPOCH - 1 + i, key, fingerprint(suite, key), 1, 600) for i, key in enumerate(keys))
    epochs = replace(former, until=SECOND + 60), held
    return replace(state, topics={topic: epochs}, peers={of: Peer(public) for of, public in fleet.peers().items()})


@cache
def fleets(number: int) -> tuple[Fleet, ...]:
    """Of each suite of a format."""
    return tuple(Fleet(load_suite(name)) for name in NAMES[number])


def every_fleet() -> tuple[Fleet, ...]:
    return fleets(1) + fleets(2)


def same(state: AnyState) -> bool:
    """Whether ``state`` survives being saved."""
    return bool(formats.load(formats.dump(state)) == state)


def _id(name: str) -> ClientId:
    return ClientId(bytes32(name)[:16])


def _digits(name: str, length: int) -> bytes:
    return b"".join(bytes32(f"{name}{number}") for number in range(-(-length // 32)))[:length]
