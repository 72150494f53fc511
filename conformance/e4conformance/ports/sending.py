# SPDX-License-Identifier: Apache-2.0
"""Live checks of what a port sends, at members of this implementation."""

from __future__ import annotations

from e4conformance.ports.book import must
from e4conformance.ports.fleet import OTHER, TOPIC, Fleet, in_each_suite, in_format_2, told
from e4conformance.requirement import Unmet, require

_SESSION = slice(29, 37)
_PATIENCE = frozenset({"rate_exceeded", "timestamp_old"})
"""With which a device may refuse to send what would be the same bytes."""


@must(
    "E4-PMSG-021",
    "messages of the port open at this implementation, of every length up to its limit, and say who sent them",
    source="wire.md sections 5 and 6; format2.md section 2",
    advice="compare with the worked example byte for byte: header, key derivation, nonce, associated data, tag, signature",
)
@in_each_suite
def sends_every_length(fleet: Fleet) -> None:
    fleet.meet(TOPIC, OTHER)
    for number, size in enumerate(fleet.sizes()):
        topic = (TOPIC, OTHER)[number % 2]
        payload = fleet.random.randbytes(size)
        data = fleet.bob.device.protect(payload, topic, fleet.now)
        fleet.wait(0.7)
        seen = told(lambda data=data, topic=topic: fleet.alice.device.unprotect(data, topic, fleet.now))  # type: ignore[misc]
        if isinstance(seen, str):
            raise Unmet(f"its message of {size} bytes is refused here: {seen}")
        require(seen.payload == payload, f"its message of {size} bytes opens to other {len(seen.payload)} bytes")
        who = fleet.bob.client_id if fleet.suite.format == 2 or not fleet.suite.is_symmetric else None
        require(seen.sender == who, f"its message says that {seen.sender} sent it")
        require(abs(seen.timestamp - fleet.now) < 60, f"its message says that it was sent at {seen.timestamp}")


@must(
    "E4-PMSG-022",
    "no two messages of a port are the same bytes, also if their payloads are, and over restarts",
    source="wire.md section 12, no. 1; format2.md section 2.3",
    advice="AES-SIV is deterministic: let the timestamp of an equal payload step; Format 2: the sequence makes them differ",
)
@in_each_suite
def never_the_same_bytes(fleet: Fleet) -> None:
    fleet.meet()
    seen: set[bytes] = set()
    for _ in range(3):
        for _ in range(5):
            data = told(lambda: fleet.bob.device.protect(b"the same", TOPIC, fleet.now))
            if isinstance(data, str):
                require(data in _PATIENCE, f"protecting equal payloads is refused: {data}")
                continue
            require(data not in seen, "the same bytes were sent twice")
            seen.add(data)
            fleet.wait(1)
        fleet.bob.device.restart()
        fleet.wait(10)
    require(bool(seen), "nothing was protected")


@must(
    "E4-PMSG-023",
    "a session is never taken again, not after a stop, a crash or a new enrolment, and sequences count from 0 without a gap",
    source="format2.md section 2.3",
    advice="draw the session at every start from the system's generator, the clock and a saved counter; save no session",
    needs="format-2",
)
@in_format_2
def sessions(fleet: Fleet) -> None:
    fleet.meet(TOPIC, OTHER)
    lives: set[bytes] = set()
    for life in range(12):
        drawn = {_life(fleet, TOPIC), _life(fleet, OTHER)}
        require(len(drawn) == 1, "one life of a device has two sessions")
        require(not drawn & lives, "a session was taken again after a restart")
        lives |= drawn
        if life % 3 == 2:
            fleet.bob.device.close()
        fleet.bob.device.restart()


def _life(fleet: Fleet, topic: str) -> bytes:
    sent = [fleet.bob.device.protect(b"x", topic, fleet.now) for _ in range(4)]
    numbers = [int.from_bytes(data[37:41], "little") for data in sent]
    require(numbers == [0, 1, 2, 3], f"the sequences of a new session are {numbers}")
    (session,) = {data[_SESSION] for data in sent}
    require(
        all(data[13:29] == fleet.bob.client_id for data in sent), "a message has another sender id than its sender's"
    )
    return session


@must(
    "E4-PMSG-024",
    "a port protects with the newest key that it may send with, from the command on that brought it",
    source="wire.md section 8; format2.md section 2.4",
    advice="take the newest epoch with use = 1, and derive anew when a command changes the topic",
)
@in_each_suite
def newest_key(fleet: Fleet) -> None:
    fleet.meet()
    for number in range(3):
        fleet.bob.device.protect(b"before", TOPIC, fleet.now)
        fleet.rotate()
        data = fleet.bob.device.protect(bytes([number]), TOPIC, fleet.now)
        seen = told(lambda data=data: fleet.alice.device.unprotect(data, TOPIC, fleet.now))  # type: ignore[misc]
        if isinstance(seen, str):
            raise Unmet(f"after rotation {number} its message is refused here: {seen}")
        require(fleet.suite.format == 1 or seen.epoch == fleet.epoch, f"it is of epoch {seen.epoch}, not {fleet.epoch}")
