# SPDX-License-Identifier: Apache-2.0
"""A device whose key pairs are in a token: it offers pairs made there, and goes on when that is back. Here it is in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from e4backends.fips import SUITE_PK
from e4backends.p256 import Ecdh, Ecdsa
from e4core.command2 import NewIDKey
from e4core.errors import Conflict, InvalidInput, KmsUnavailable, UnsupportedSuite
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4core.report import Hello, Offer, Outcome
from e4core.suite import TakesHandles
from e4device.in_token import DeviceInToken, device_at, name_of, opened
from tests.device.fleet import until
from tests.device.test_format2 import Fleet, tell

URI = "memory:lamp-{version}"


@dataclass
class Token:
    """Private keys by name."""

    pairs: dict[str, bytes] = field(default_factory=dict)
    available: bool = True
    handles: int = 0

    def open(self, uri: str, algorithm: str) -> Handle:
        assert algorithm == ("P-256 (ECDSA)" if uri.endswith("-sign") else "P-256 (ECDH)")
        self.handles += 1
        return Handle(self, uri)

    def device(self) -> DeviceInToken:
        assert isinstance(SUITE_PK.device, TakesHandles)
        return DeviceInToken(SUITE_PK.device, URI, self.open)


@dataclass
class Handle:
    token: Token
    uri: str

    def create(self) -> None:
        self._require()
        if self.uri in self.token.pairs:
            raise Conflict("there is one")
        self.token.pairs[self.uri] = Ecdsa().generate()

    def public(self) -> bytes:
        self._require()
        return Ecdsa().key(self.token.pairs[self.uri]).public

    def agree(self, peer_public: bytes, /) -> Secret:
        self._require()
        return Ecdh().key(self.token.pairs[self.uri]).decapsulate(peer_public)

    def sign(self, message: bytes, /) -> bytes:
        self._require()
        return Ecdsa().key(self.token.pairs[self.uri]).sign(message)

    def close(self) -> None:
        self.token.handles -= 1

    def _require(self) -> None:
        if not self.token.available:
            raise KmsUnavailable("the token does not answer")


@pytest.fixture
def token() -> Token:
    return Token()


def test_a_new_key_is_asked_for_and_made_in_the_token(token: Token) -> None:
    async def story(fleet: Fleet) -> None:
        async with fleet.enrol("lamp") as lamp, fleet.device(lamp):
            assert token.pairs.keys() == {"memory:lamp-1-sign", "memory:lamp-1-kem"}
            assert (await lamp.command(NewIDKey(b"n" * 16))).outcome is Outcome.APPLIED
            offer = await lamp.next_of(Offer)
            assert offer.public == token.open("memory:lamp-2-sign", "P-256 (ECDSA)").public() + (
                token.open("memory:lamp-2-kem", "P-256 (ECDH)").public()
            )

    tell(replace(SUITE_PK, device=token.device()), story)


def test_while_the_token_is_away_nothing_changes_and_then_the_device_goes_on(token: Token) -> None:
    async def story(fleet: Fleet) -> None:
        async with fleet.enrol("lamp") as lamp:
            device = fleet.device(lamp)
            token.available = False
            async with device as running:
                await lamp.send(NewIDKey(b"n" * 16))
                await until(lambda: running.counters.errors["kms_unavailable"] == 2)
                assert len(token.pairs) == 2
                assert running.counters.hellos == 0
                token.available = True
                await lamp.next_of(Hello)
                lamp.sequence -= 1
                assert (await lamp.command(NewIDKey(b"n" * 16))).outcome is Outcome.APPLIED
                assert len(token.pairs) == 4

    tell(replace(SUITE_PK, device=token.device()), story)


def test_pairs_that_are_there_already_are_never_taken_over(token: Token) -> None:
    first, second = token.device().generate(), token.device().generate()
    assert [name_of(first), name_of(second)] == ["memory:lamp-1", "memory:lamp-2"]
    assert token.handles == 0


def test_a_number_is_not_used_again_when_former_pairs_are_removed(token: Token) -> None:
    token.device().generate()
    second = token.device().generate()
    for use in ("sign", "kem"):
        del token.pairs[f"memory:lamp-1-{use}"]
    device = token.device()
    device.load(second)
    assert name_of(device.generate()) == "memory:lamp-3"
    device.close()
    assert token.handles == 0


@pytest.mark.parametrize(
    "stored", [bytes(64), b"", b"in token: 0 " + URI.encode(), b"in token: 1 memory:door-{version}", b"in token: \xff"]
)
def test_no_key_from_elsewhere_is_taken(token: Token, stored: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        token.device().load(stored)
    assert caught.value.kind == "bad_key"


def test_a_key_itself_needs_no_token() -> None:
    private = SUITE_PK.device.generate()
    assert name_of(private) is None
    with opened(SUITE_PK, private) as suite:
        assert suite is SUITE_PK


@pytest.mark.parametrize("name", ["sk", "pk", "fips-sk"])
def test_a_suite_that_takes_no_key_in_a_token_says_so(name: str) -> None:
    with pytest.raises(UnsupportedSuite, match=f"the suite {name} takes no device key in a token"):
        device_at(load_suite(name), URI)
    with pytest.raises(UnsupportedSuite), opened(load_suite(name), b"in token: 1 " + URI.encode()):
        pass


def test_a_uri_names_pairs_for_each_version() -> None:
    with pytest.raises(InvalidInput, match=r"write \{version\} into it"):
        device_at(SUITE_PK, "memory:lamp")
