# SPDX-License-Identifier: Apache-2.0
"""The demo itself: seven acts, each with the claims that are checked in it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from e4cli.demo import claims
from e4cli.demo.claims import NOT_AUTHENTIC, OUTCAST, REPLAY, STRANGER, Watch
from e4cli.demo.events import Act, Claim, Event, Note, Sight
from e4cli.demo.fleet import Fleet, Member

MEMBERS = ("thermometer", "heater", "gateway", "panel")
VISITOR = "visitor"
SPEAKER, IMPOSTOR, EVICTED, _ = MEMBERS
READERS = MEMBERS[1:]
STAYING = tuple(name for name in READERS if name != EVICTED)


class Story:
    """One fleet's life. ``events`` tells it while it happens."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._keys: set[bytes] = set()
        self._said: list[bytes] = []
        self._seen = b""

    async def events(self) -> AsyncGenerator[Event, None]:
        acts = [self._enrol, self._join, self._talk, self._rotate, self._attack, self._evict, self._look_back]
        for act in acts:
            async for event in act():
                yield event

    async def _enrol(self) -> AsyncGenerator[Event, None]:
        yield Act("Five devices are enrolled with the C2, and connect to the broker.")
        for name in (*MEMBERS, VISITOR):
            await self._fleet.enrol(name)
        yield Claim("each device has proved to the C2 that it holds its key", await self._fleet.proven())

    async def _join(self) -> AsyncGenerator[Event, None]:
        yield Act("Four of them become members of a topic; the visitor only subscribes to it.")
        operations = await self._fleet.open_topic(MEMBERS)
        held = [await self._fleet.confirmed(operation) for operation in operations]
        yield Claim("each member has confirmed the topic key", held[0])
        if not self._fleet.suite.is_symmetric:
            yield Claim("each member has confirmed the public keys of the others", len(held) > 1 and all(held[1:]))
        self._note_keys()

    async def _talk(self) -> AsyncGenerator[Event, None]:
        yield Act("The thermometer publishes a message.")
        fleet, payload = self._fleet, b"boiler room: 71.3 degrees"
        visitor = Watch(fleet, [VISITOR])
        seen = await self._say(payload)
        yield Claim("every other member reads it", await claims.read_by_all(fleet, READERS, payload))
        yield Claim("the visitor cannot read it", await visitor.refuse(STRANGER))
        yield self._sight(payload, seen)
        yield Claim("at the broker no word of it can be read", claims.conceals([seen], [payload, *payload.split()]))
        if fleet.suite.is_symmetric:
            yield Note("this suite says no sender: every member holds the key that protects messages, and may use it")
        else:
            held = claims.signed_by(fleet, READERS, payload, SPEAKER)
            yield Claim("each reader knows from its signature who sent it", held)

    async def _rotate(self) -> AsyncGenerator[Event, None]:
        yield Act("A thief copies all keys of the heater; then the C2 rotates the topic key.")
        fleet, old = self._fleet, self._fleet.topic_key(SPEAKER)
        thief = fleet.members[IMPOSTOR].double()
        yield Claim("with them the thief reads along", claims.opens(thief, self._seen, fleet.topic))
        held = await fleet.confirmed(await fleet.rotate()) and claims.renewed(fleet, MEMBERS, old)
        yield Claim("each member has confirmed the new key", held)
        self._note_keys()
        payload = b"boiler room: 72.0 degrees"
        seen = await self._say(payload)
        yield Claim("every other member reads on", await claims.read_by_all(fleet, READERS, payload))
        yield Claim("the stolen keys do not open it", not claims.opens(thief, seen, fleet.topic))

    async def _attack(self) -> AsyncGenerator[Event, None]:
        yield Act("The broker turns against the fleet, and sends what it likes.")
        fleet = self._fleet
        seen = await self._say(b"boiler room: 72.4 degrees")
        yield Claim("what is in order is read", await claims.read_by_all(fleet, READERS, self._said[-1]))
        watch = Watch(fleet, READERS)
        await fleet.inject(seen)
        yield Claim("an old message, sent again, is refused as a replay", await watch.refuse(REPLAY))
        # one that nobody has read yet, as a copy of another is a replay whatever was done to it
        tampered = bytearray(fleet.members[SPEAKER].client.protect(self._said[-1], fleet.topic, time.time()))
        tampered[-1] ^= 1
        watch = Watch(fleet, READERS)
        await fleet.inject(bytes(tampered))
        yield Claim("a message with one bit changed is refused as not authentic", await watch.refuse(NOT_AUTHENTIC))
        if not fleet.suite.is_symmetric:
            forger = fleet.members[IMPOSTOR].posing_as(fleet.members[SPEAKER].id)
            lie = forger.protect(b"boiler room: 20.0 degrees", fleet.topic, time.time())
            watch = Watch(fleet, READERS)
            await fleet.inject(lie)
            yield Claim("a member that poses as another one is refused", await watch.refuse(NOT_AUTHENTIC))

    async def _evict(self) -> AsyncGenerator[Event, None]:
        yield Act("The gateway is evicted; it has kept a copy of all its keys.")
        fleet = self._fleet
        rogue, old = fleet.members[EVICTED].double(), fleet.topic_key(SPEAKER)
        operation = await fleet.evict(EVICTED)
        held = await fleet.confirmed(operation) and claims.renewed(fleet, (SPEAKER, *STAYING), old)
        yield Claim("those who stay have confirmed a new key", held)
        self._note_keys()
        yield Claim("the gateway itself has forgotten the key", fleet.topic_key(EVICTED) is None)
        payload = b"boiler room: 73.1 degrees"
        gateway = Watch(fleet, [EVICTED])
        seen = await self._say(payload)
        yield Claim("those who stay read on", await claims.read_by_all(fleet, STAYING, payload))
        yield Claim("the gateway cannot read it", await gateway.refuse(STRANGER))
        yield Claim("what the gateway has kept does not open it", not claims.opens(rogue, seen, fleet.topic))
        lie = rogue.protect(b"boiler room: 20.0 degrees", fleet.topic, time.time())
        watch = Watch(fleet, STAYING)
        await fleet.inject(lie)
        yield Claim("what the gateway sends with it is refused", await watch.refuse(OUTCAST))
        yield self._sight(payload, seen)

    async def _look_back(self) -> AsyncGenerator[Event, None]:
        seen = [payload for _, payload in self._fleet.wire.seen]
        yield Act(f"The broker has seen {len(seen)} messages, {sum(map(len, seen))} bytes.")
        yield Claim("no key passed it in clear", claims.conceals(seen, self._keys))
        yield Claim("nothing that was said passed it in clear", claims.conceals(seen, self._said))

    async def _say(self, payload: bytes) -> bytes:
        self._said.append(payload)
        self._seen = await self._fleet.say(SPEAKER, payload)
        return self._seen

    def _note_keys(self) -> None:
        self._keys |= claims.keys_of(self._fleet, (*MEMBERS, VISITOR))

    def _sight(self, payload: bytes, seen: bytes) -> Sight:
        def reading(member: Member) -> str:
            return payload.decode() if any(each.payload == payload for each in member.read) else "nothing"

        read = {name: reading(self._fleet.members[name]) for name in (*READERS, VISITOR)}
        return Sight(SPEAKER, payload.decode(), self._fleet.topic, seen, read)
