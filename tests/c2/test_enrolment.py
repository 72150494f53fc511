# SPDX-License-Identifier: Apache-2.0
"""Devices that enrol themselves, as use cases."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import pytest

from e4c2 import c2keys, clients, topics
from e4c2.enrolment import newcomers, tokens
from e4c2.enrolment.tokens import Enrolment
from e4c2.model import Reason
from e4core.enrolment import Request, prove
from e4core.errors import AuthenticationFailed, Conflict, Denied, InvalidInput, NotFound
from e4core.keys import Secret
from tests.c2.world import World

TEN_MINUTES = 600


@dataclass
class Newcomer:
    """A device that has made its key."""

    world: World
    name: str
    private: Secret

    @classmethod
    def made(cls, world: World, name: str) -> Newcomer:
        return cls(world, name, Secret(world.suite.device.generate()))

    def request(self, by: Enrolment) -> Request:
        version = self.world.do(c2keys.active_version)
        return Request(bytes.fromhex(by.id), self.name, self.world.public(self.private), version)

    def proof(self, request: Request) -> bytes:
        suite = self.world.suite
        private = suite.device.load(self.private)
        channel = suite.control.at_device(private, self.world.c2_public(request.c2_key))
        return prove(suite, channel, request, os.urandom(16))

    def enrol(self, by: Enrolment) -> clients.Client:
        request = self.request(by)
        return self.world.do(newcomers.enrol, request, self.proof(request))


def issued(world: World, pattern: str = "plant/*", uses: int = 2, topic: str = "t") -> Enrolment:
    if topic not in world.names(topics.page):
        world.do(topics.create, topic)
    return world.do(tokens.create, "line 1", pattern, [topic], uses, TEN_MINUTES)[0]


def test_a_device_becomes_a_client_and_a_member(world: World) -> None:
    token = issued(world)
    made = Newcomer.made(world, "plant/1").enrol(token)
    assert made == world.do(clients.show, "plant/1")
    assert world.names(topics.members, "t") == ["plant/1"]
    assert world.do(tokens.show, token.id).uses == 1


def test_asking_again_with_the_same_key_is_answered_the_same_and_changes_nothing(world: World) -> None:
    token = issued(world, uses=1)
    device = Newcomer.made(world, "plant/1")
    made = device.enrol(token)
    world.clock.now += TEN_MINUTES + 1
    before = world.dump()
    assert device.enrol(token) == made
    assert world.dump() == before


@pytest.mark.parametrize("why", ["used up", "expired", "revoked"])
def test_a_token_that_is_not_valid_says_only_that(world: World, why: str) -> None:
    token = issued(world, uses=1)
    Newcomer.made(world, "plant/1").enrol(token)
    if why == "expired":
        token = issued(world)
        world.clock.now += TEN_MINUTES
    if why == "revoked":
        token = issued(world)
        world.do(tokens.revoke, token.id)
        with world.refuses(NotFound):  # of the id; the API lets nobody so far
            Newcomer.made(world, "plant/2").enrol(token)
        return
    for name in ("plant/2", "plant/1"):  # nor is it told who is there
        with world.refuses(Denied, kind="unauthenticated"):
            Newcomer.made(world, name).enrol(token)


def test_a_name_that_exists_is_never_overwritten(world: World) -> None:
    world.add("plant/1")
    token = issued(world)
    with world.refuses(Conflict):
        Newcomer.made(world, "plant/1").enrol(token)


def test_names_outside_the_pattern_are_refused(world: World) -> None:
    token = issued(world)
    for name in ("plan", "other/1", "Plant/1"):
        with world.refuses(Denied, kind="forbidden"):
            Newcomer.made(world, name).enrol(token)


def test_a_proof_is_of_the_key_the_request_and_the_token(world: World) -> None:
    token, other = issued(world), issued(world)
    device = Newcomer.made(world, "plant/1")
    request = device.request(token)
    proof = device.proof(request)
    stranger = Newcomer.made(world, "plant/1")
    for asked, shown in (
        (replace(request, key=world.public(stranger.private)), proof),
        (replace(request, name="plant/2"), proof),
        (replace(request, enrolment=bytes.fromhex(other.id)), proof),
        (request, stranger.proof(request)),
        (request, proof[:-1] + bytes([proof[-1] ^ 1])),
    ):
        with world.refuses(AuthenticationFailed):
            world.do(newcomers.enrol, asked, shown)
    for shown in (b"", proof[:-1], proof + b"x", b"\1" + proof[1:]):
        with world.refuses(InvalidInput, AuthenticationFailed):
            world.do(newcomers.enrol, request, shown)


def test_a_suspended_client_is_not_let_in_again_with_its_key(world: World) -> None:
    token = issued(world)
    device = Newcomer.made(world, "plant/1")
    device.enrol(token)
    world.do(clients.new_key, "plant/1", Reason.COMPROMISED)
    with world.refuses(Conflict):
        device.enrol(token)


def test_topics_that_are_gone_are_left_out(world: World) -> None:
    token = issued(world)
    world.do(topics.remove, "t")
    assert world.do(tokens.show, token.id).topics == ()
    Newcomer.made(world, "plant/1").enrol(token)


def test_what_a_token_is_for_is_checked_when_it_is_made(world: World) -> None:
    world.do(topics.create, "t")
    for pattern, names, uses, lifetime_s in (
        ("", ["t"], 1, 1.0),
        ("*", ["t"], 0, 1.0),
        ("*", ["t"], 100_001, 1.0),
        ("*", ["t"], 1, 0.0),
        ("*", ["t"], 1, 30 * 86400 + 1.0),
        ("*", ["none"], 1, 1.0),
    ):
        with world.refuses(InvalidInput, NotFound):
            world.do(tokens.create, "x", pattern, names, uses, lifetime_s)


def test_old_tokens_leave_the_record(world: World) -> None:
    issued(world)
    world.do(tokens.prune)
    assert len(world.do(tokens.page)) == 1
    world.clock.now += 40 * 86400
    world.do(tokens.prune)
    assert world.do(tokens.page) == []
