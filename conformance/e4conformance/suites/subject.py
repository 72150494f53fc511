# SPDX-License-Identifier: Apache-2.0
"""A suite under examination, and what its checks share: identities made once, what its operations cost, draws by the seed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from random import Random
from typing import TypeVar

from cryptography.hazmat.backends.openssl import backend

from e4conformance.border import told_by
from e4conformance.requirement import Book, NotExercised
from e4conformance.suites.algorithms import ALGORITHMS, Reference, alike, recognised
from e4conformance.suites.curves import SIGNATURES, SignatureAnswer, is_x25519
from e4conformance.suites.entries import groups_of
from e4core.errors import PluginError
from e4core.plugins import SUITES as GROUP
from e4core.plugins import distributions, load_suite, names
from e4core.suite import Identity, PrivateKey, Signature, Suite, TakesHandles

T = TypeVar("T")

SUITES: Book[SuiteSubject] = Book("suite")
SIZES = (0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025, 65536)
"""Lengths in bytes at the edges of blocks, of tags, and of what has one or two bytes of length."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried of what is too much to be tried in full."""

    budget_s: float
    """Time that one sample may take, at the price of its operation as it was measured."""
    least: int
    """Size of a sample, whatever it costs."""
    patience_s: float = 20.0
    """How long threads may take until they count as hung."""


FULL, THIN = Effort(0.2, 8), Effort(0.005, 2)


@dataclass(frozen=True, slots=True)
class Entity:
    """A device, or a C2."""

    stored: bytes
    private: PrivateKey
    public: bytes


@dataclass(frozen=True)
class SuiteSubject:
    """``others``: whatever else is installed, for the checks that compare. ``installed``: another process finds it by its name."""

    suite: Suite
    seed: int
    others: tuple[Suite, ...] = ()
    effort: Effort = FULL
    installed: bool = False

    @cached_property
    def declared(self) -> frozenset[str]:
        suite = self.suite
        told = {
            f"format-{suite.format}": True,
            "signature": suite.signature is not None,
            "public-key": not suite.is_symmetric,
            "symmetric": suite.is_symmetric,
            "tokens": any(isinstance(part, TakesHandles) for part in (suite.device, suite.c2)),
            "approved": suite.approved,
            "nonce": suite.aead.nonce_len > 0,
            "known-aead": self.reference is not None,
            "same-aead": bool(self.same_aead),
            "twin": bool(self.twins),
            "known-signature": self.known_signature is not None,
            "curve": self.known_signature is not None or is_x25519(suite.c2),
            "encapsulates": suite.format == 2 and not suite.is_symmetric,
            "fork": hasattr(os, "fork"),
            "installed": self.installed,
        }
        return frozenset(name for name, has in told.items() if has) | groups_of(suite.wire_name)

    @property
    def about(self) -> Mapping[str, str]:
        """Of what the suite consists."""
        suite = self.suite
        parts = ("aead", "hash", "device", "c2", "control", "signature")
        types = {part: type(getattr(suite, part)) for part in parts if getattr(suite, part) is not None}
        about = {part: f"{kind.__module__}.{kind.__qualname__}" for part, kind in types.items()}
        told = {name: each for part in types for name, each in told_by(getattr(suite, part)).items()}
        known = {"aead algorithm": self.reference.name} if self.reference else {}
        return {
            "wire name": suite.wire_name,
            "format": str(suite.format),
            "distribution": distributions(GROUP, suite.name),
            "cryptography": version("cryptography"),
            "openssl": backend.openssl_version_text(),
            **told,
            **about,
            **known,
        }

    def random(self, what: str) -> Random:
        """Draws that follow from the seed alone, others for each ``what``."""
        return Random(f"{self.seed}/{what}")  # noqa: S311  # no secrets

    def sample(self, items: Sequence[T], cost_s: float, what: str) -> Sequence[T]:
        """All ``items``, or of expensive ones as many as the effort allows, drawn by the seed."""
        room = max(self.effort.least, int(self.effort.budget_s / max(cost_s, 1e-6)))
        return items if len(items) <= room else list(islice(_shuffled(items, self.random(what)), room))

    def bits(self, length: int, cost_s: float, what: str) -> list[int]:
        """Which bits of ``length`` bytes to flip: some at both edges and in each 32nd of it, and a sample of all."""
        random, step = self.random(f"{what}, {length} bytes"), max(256, -(-length // 32))
        edges = {0, 15, 16, length // 2, length - 17, length - 16, length - 1} & set(range(length))
        places = [(at, 1) for at in sorted(edges)] + [(at, min(step, length - at)) for at in range(0, length, step)]
        chosen = [8 * at + random.randrange(8 * width) for at, width in places]
        return [*chosen, *self.sample(range(8 * length), cost_s, what)]

    @cached_property
    def reference(self) -> Reference | None:
        """The algorithm that the AEAD is, by the wire name or by what it gives."""
        due = ALGORITHMS.get(self.suite.wire_name)
        return due or recognised(self.suite.aead)

    @cached_property
    def known_signature(self) -> SignatureAnswer | None:
        """The published signature that this one verifies."""
        signature = self.suite.signature
        return next((each for each in SIGNATURES if signature is not None and each.is_of(signature)), None)

    @cached_property
    def twins(self) -> tuple[Suite, ...]:
        """Others of the same wire name: they must understand this one byte for byte."""
        return tuple(each for each in self.others if each.wire_name == self.suite.wire_name)

    @cached_property
    def same_aead(self) -> tuple[Suite, ...]:
        """Others whose AEAD is another implementation of the same algorithm, as far as one short input tells."""
        own = self.suite.aead
        return tuple(each for each in self.others if each.aead != own and alike(each.aead, own))

    @property
    def signature(self) -> Signature:
        """Raises: NotExercised: there is none."""
        if self.suite.signature is None:
            raise NotExercised("the suite has no signatures")
        return self.suite.signature

    @cached_property
    def devices(self) -> tuple[Entity, Entity, Entity]:
        part = self.suite.device
        return _entity(part), _entity(part), _entity(part)

    @cached_property
    def c2s(self) -> tuple[Entity, Entity]:
        return _entity(self.suite.c2), _entity(self.suite.c2)

    @cached_property
    def verify_s(self) -> float:
        """What one verification costs."""
        signature = self.signature.signer(self.devices[0].private).sign(b"price")
        verifier = self.signature.verifier(self.signature_public(self.devices[0]))
        return timed(lambda: verifier.verify(b"price", signature))

    @cached_property
    def sign_s(self) -> float:
        signer = self.signature.signer(self.devices[0].private)
        return timed(lambda: signer.sign(b"price"))

    @cached_property
    def seal_s(self) -> float:
        """What it costs to seal a container of the control channel."""
        at_c2 = self.suite.control.at_c2(self.c2s[0].private, self.devices[0].public)
        return timed(lambda: at_c2.seal(b"info", bytes(26), b"price"))

    @cached_property
    def channel_s(self) -> float:
        """What it costs to open one."""
        at_device = self.suite.control.at_device(self.devices[0].private, self.c2s[0].public)
        at_c2 = self.suite.control.at_c2(self.c2s[0].private, self.devices[0].public)
        body = at_c2.seal(b"info", bytes(26), b"price")
        return timed(lambda: at_device.open(b"info", bytes(26), body))

    @property
    def message_s(self) -> float:
        """What it costs at most to refuse a message."""
        return self.channel_s if self.suite.signature is None else max(self.sign_s / 8, self.verify_s)

    def signature_public(self, entity: Entity) -> bytes:
        """What a verifier of ``entity`` takes."""
        return entity.public[: self.signature.public_len]

    def need(self, capability: str) -> None:
        """Raises: NotExercised: the suite does not declare it, so there is nothing to see."""
        if capability not in self.declared:
            raise NotExercised(f"{capability}: nothing to check here")


def _shuffled(items: Sequence[T], random: Random) -> Iterator[T]:
    """All ``items``, each once: the first of them are the same, however many are taken."""
    moved: dict[int, int] = {}
    for left in range(len(items), 0, -1):
        at = random.randrange(left)
        yield items[moved.get(at, at)]
        moved[at] = moved.get(left - 1, left - 1)


def timed(act: Callable[[], object]) -> float:
    """Seconds of the quicker of two calls."""
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        act()
        times.append(time.perf_counter() - begun)
    return min(times)


def subject(name: str, seed: int) -> SuiteSubject:
    """The installed suite called ``name``. Raises: PluginError."""
    return replace(of(load_suite(name), seed), installed=True)


def of(suite: Suite, seed: int) -> SuiteSubject:
    """Any value; compared with what is installed."""
    return SuiteSubject(suite, seed, tuple(other for name in names(GROUP) for other in _loaded(name, suite)))


def _loaded(name: str, but: Suite) -> list[Suite]:
    """One suite or none: whether it loads is a question to itself."""
    try:
        other = load_suite(name)
    except PluginError:
        return []
    return [] if other is but or other.name == but.name else [other]


def _entity(part: Identity) -> Entity:
    stored = part.generate()
    private = part.load(stored)
    return Entity(stored, private, part.public(private))
