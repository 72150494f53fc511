# SPDX-License-Identifier: Apache-2.0
"""The real e4go beside the vectors that it made, and beside our witness of it, through made-up lives."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from e4conformance.ports.client import Port
from e4conformance.ports.links import opener
from e4core.plugins import load_suite
from tests.examples.e4go import CRASH, Real, Told, Witness, built, kind_of, shown
from tests.interop import e4go_crypto as crypto
from tests.interop.e4go_vectors import MODES, TOPIC, Entry, value

Device = Real | Witness
START = 1_800_000_000
STEPS = 120
TOPICS = ("home/light", "Ωmega", "")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    port = Port(opener(str(built(tmp_path_factory.mktemp("e4go")))))
    yield port
    port.close()


@pytest.mark.parametrize("section", ["command_sequence", "command_negatives"])
@pytest.mark.parametrize("suite", MODES)
def test_commands_end_as_in_the_vectors(port: Port, suite: str, section: str) -> None:
    sequence = MODES[suite][section]
    device = Real(port, suite, *of_state(sequence["state_start"]))
    for step in sequence["steps"]:
        seen = device.command(value(step, "protected"), step["now_before"])
        assert seen == ({} if step["result"] == "ok" else kind_of(step["kind"])), step["name"]
        assert device.show() == shown(step["state_after"]), step["name"]


@pytest.mark.parametrize("suite", MODES)
def test_messages_end_as_in_the_vectors(port: Port, suite: str) -> None:
    state = MODES[suite].get("receiver_bob_state") or MODES[suite]["command_sequence"]["state_start"]
    who = of_state(state)
    key = Witness(suite, *who).command_key
    for entry in MODES[suite]["unprotect"]:
        device, now = Real(port, suite, *who), entry["now_before"]
        peers = state["Key"]["keyData"].get("PubKeys", {})
        orders = [b"\x03" + value(entry, "topic_key") + crypto.topic_hash(TOPIC)]
        orders += [b"\x06" + b64decode(public) + bytes.fromhex(peer) for peer, public in peers.items()]
        for order in orders:
            assert device.command(crypto.seal(key, order, crypto.timestamp(now)), now) == {}
        seen = device.unprotect(value(entry, "protected"), entry["topic"], now)
        assert seen == due(entry), entry["name"]


def due(entry: Entry) -> Told:
    if entry["result"] == "ok":
        return {"payload": value(entry, "returned") if entry["returned"] else b""}
    return kind_of(entry.get("kind", CRASH))


def of_state(state: Entry) -> tuple[bytes, bytes, bytes]:
    """Id, private key and the C2's public key."""
    data = {name: b64decode(text) for name, text in state["Key"]["keyData"].items() if isinstance(text, str)}
    return b64decode(state["ID"]), data.get("Key") or data["PrivateKey"], data.get("C2PubKey", b"")


class Life:
    """One made-up life, lived by both devices, which must tell the same at each step."""

    def __init__(self, port: Port, suite: str, seed: int) -> None:
        self.random, self.suite, self.now = Random(f"{suite} {seed}"), suite, START + 0.5
        self.c2_public = b"" if load_suite(suite).is_symmetric else self.public_of(self.draw(32))
        who = self.draw(16), self.device_key(), self.c2_public
        self.witness, self.real = Witness(suite, *who), Real(port, suite, *who)
        self.peers = {self.draw(16): self.device_key("pk") for _ in range(2)}
        self.sent: list[tuple[bytes, str]] = []
        self.ordered: list[bytes] = []
        self.keys: dict[str, list[bytes]] = {topic: [self.draw(32)] for topic in TOPICS}
        """The current one of each topic last."""
        self.is_over = False
        """e4go crashed, or cannot load what it saved."""
        for topic in TOPICS:
            self.obey(b"\x03" + self.keys[topic][0] + crypto.topic_hash(topic), topic)
        for peer, private in self.peers.items():
            self.obey(b"\x06" + private[32:] + peer)

    def draw(self, length: int) -> bytes:
        return self.random.randbytes(length)

    def device_key(self, suite: str = "") -> bytes:
        if load_suite(suite or self.suite).is_symmetric:
            return self.draw(32)
        private = Ed25519PrivateKey.from_private_bytes(self.draw(32))
        return private.private_bytes_raw() + private.public_key().public_bytes_raw()

    @staticmethod
    def public_of(private: bytes) -> bytes:
        return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()

    def step(self) -> None:
        """Raises: AssertionError: the witness is no witness."""
        receive = (self.unprotect,) * 4
        act = self.random.choice((self.order, self.order, self.protect, *receive, self.wait, self.restart, self.late))
        act()

    def same(self, what: str, act: Callable[[Device], Told]) -> Told:
        told = act(self.witness)
        assert act(self.real) == told, what
        self.is_over = told == CRASH
        if not self.is_over:
            assert self.real.show() == self.witness.show(), what
        return told

    def wait(self) -> None:
        self.now += self.random.choice((-5, 0.25, 0.25, 1, 1, 30, 599.75, 601, 3600.5))

    def restart(self) -> None:
        self.is_over |= self.same("a restart", lambda device: device.restart()) != {}

    def protect(self) -> None:
        topic, payload = self.random.choice(TOPICS), self.draw(self.random.choice((0, 1, 15, 16, 17, 300)))
        told = self.same("protecting", lambda device: device.protect(payload, topic, self.now))
        if isinstance(told, dict):
            self.sent.append((told["data"], topic))

    def unprotect(self) -> None:
        data, topic = self.random.choice([*self.sent, self.from_peer(), self.from_peer()])
        data, topic = self.spoilt(data), self.random.choice((topic, topic, topic, self.random.choice(TOPICS)))
        self.same(f"unprotecting {data.hex()}", lambda device: device.unprotect(data, topic, self.now))

    def late(self) -> None:
        """A message under a key that was replaced a while ago, at times with the topic forgotten in between."""
        topic = self.random.choice(TOPICS)
        topic_hash = crypto.topic_hash(topic)
        former, new = (b"\x03" + self.draw(32) + topic_hash for _ in range(2))
        forget = self.random.choice((b"", b"\x00" + topic_hash, b"\x01"))
        for plain in filter(None, (former, forget and new, forget, new)):
            self.obey(plain, topic)
        self.now += self.random.choice((1, 3599.25, 3600, 3600.25, 3601))
        data, _ = self.sealed(topic, former[1:33])
        self.same(f"unprotecting late {data.hex()}", lambda device: device.unprotect(data, topic, self.now))

    def from_peer(self) -> tuple[bytes, str]:
        """A message of another member, at times under a former key; in `pk` at times cut short before it is signed."""
        topic = self.random.choice(TOPICS)
        return self.sealed(topic, self.random.choice(self.keys[topic][-3:]))

    def sealed(self, topic: str, key: bytes) -> tuple[bytes, str]:
        ts = crypto.timestamp(self.now - self.random.choice((0, 0, 2, 590, -2)))
        sealed = crypto.aead_seal(key, self.draw(self.random.choice((0, 1, 16, 100))), ts)
        if load_suite(self.suite).is_symmetric:
            return ts + sealed, topic
        peer = self.random.choice(list(self.peers))
        sealed = self.random.choice((sealed, sealed, sealed, sealed[: self.random.randrange(16)]))
        return crypto.sign(self.peers[peer], peer, ts, sealed), topic

    def spoilt(self, data: bytes) -> bytes:
        """As it is, mostly; else with a bit flipped, cut, or with more at its end."""
        at = self.random.randrange(len(data))
        flipped = data[:at] + bytes([data[at] ^ 1 << self.random.randrange(8)]) + data[at + 1 :]
        return self.random.choice((data, data, data, flipped, data[:at], data + b"\x00"))

    def order(self) -> None:
        topic = self.random.choice(TOPICS)
        plain = self.arguments(topic)
        if self.random.random() < 0.1:
            plain = self.random.choice((plain[:-1] or plain, plain + b"\x00"))
        self.obey(plain, topic, self.random.choice((0, 0, 0, 0, 0, 0, 5, 601, -1)))

    def obey(self, plain: bytes, topic: str = "", ago_s: int = 0) -> None:
        """A command of that many seconds ago, or at times the one before it."""
        data = crypto.seal(self.witness.command_key, plain, crypto.timestamp(self.now - ago_s))
        if self.random.random() < 0.1:
            data = self.random.choice((self.spoilt(data), *self.ordered[-1:]))
        told = self.same(f"the command {plain.hex()}", lambda device: device.command(data, self.now))
        if told == {}:
            self.ordered.append(data)
            if plain[0] == 3 and any(plain[1:33]):
                self.keys[topic].append(plain[1:33])

    def arguments(self, topic: str) -> bytes:
        """A command: mostly a topic key, else any of the eight, at times with a key that is none, and what is no command."""
        topic_hash = crypto.topic_hash(topic)
        peer = self.random.choice([*self.peers, self.draw(16)])
        public = self.peers[peer][32:] if peer in self.peers else self.random.choice((bytes(32), *WEAK))
        return self.random.choice(
            (
                *(
                    b"\x03"
                    + self.random.choice((self.draw(32), self.random.choice(self.keys[topic]), bytes(32)))
                    + topic_hash,
                )
                * 6,
                b"\x03" + self.draw(32) + crypto.hash_of_hash(topic_hash),
                b"\x00" + topic_hash,
                self.random.choice((b"\x01", b"\x05")),
                b"\x02" + self.random.choice((self.device_key(), self.device_key(), bytes(32), bytes(64))),
                b"\x04" + peer,
                *(b"\x06" + public + peer,) * 6,
                b"\x07"
                + self.random.choice((self.public_of(self.draw(32)), self.public_of(self.draw(32)), bytes(32), *WEAK)),
                bytes([self.random.choice((8, 9, 255))]) + self.draw(16),
            )
        )


WEAK = [value.to_bytes(32, "little") for value in (1, crypto.P - 1, crypto.P, crypto.P + 1, crypto.P + 9, 2)]
"""Public keys of low order, not canonical, or no point."""


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("suite", MODES)
def test_the_witness_lives_as_e4go_does(port: Port, suite: str, seed: int) -> None:
    life = Life(port, suite, seed)
    for _ in range(STEPS):
        life.step()
        if life.is_over:
            break
