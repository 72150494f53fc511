# SPDX-License-Identifier: Apache-2.0
"""Live checks of the reports of a port, and of what it must never tell."""

from __future__ import annotations

from e4conformance.ports.book import must
from e4conformance.ports.fleet import OTHER, TOPIC, Fleet, in_each_suite, told
from e4conformance.ports.obeying import held_by
from e4conformance.requirement import Unmet, require
from e4conformance.spellings import leaks
from e4core import report
from e4core.errors import E4Error
from e4core.report import Hello


@must(
    "E4-PREP-001",
    "each command is acknowledged once, sealed for the C2, with its outcome and a digest of what is then held",
    source="format2.md sections 4.1 to 4.3",
    advice="compute the digest of the new state, over sorted records; seal with a fresh salt and the report's context",
    needs="reports",
)
@in_each_suite
def acknowledged(fleet: Fleet) -> None:
    salts: set[bytes] = set()
    for number in range(6):
        fleet.wait(2)
        fleet.epoch += 1
        c2 = fleet.bob.c2
        held = c2.set_topic((TOPIC, OTHER)[number % 2], fleet.random.randbytes(32), fleet.epoch)
        order = c2.remove_topic(OTHER) if number == 4 else held
        (data,) = c2.seal([order], fleet.now)
        due, seen = fleet.twin.command(data, fleet.now), fleet.bob.device.command(data, fleet.now)
        require(len(seen.reports) == 1, f"a command has {len(seen.reports)} reports, not one")
        content, expected = _read(fleet, seen.reports[0]), _read(fleet, due.reports[0])
        require(content == expected, f"acknowledges {content}, due is {expected}")
        require(seen.reports[0][10:26] not in salts, "a salt was used twice")
        salts.add(seen.reports[0][10:26])


def _read(fleet: Fleet, data: bytes) -> report.Report:
    """What the C2 reads. Raises: Unmet."""
    suite = fleet.suite
    channel = suite.control.at_c2(suite.c2.load(fleet.c2_private), fleet.bob.public)
    try:
        return report.open_report(suite, channel, fleet.bob.client_id, data)
    except E4Error as error:
        raise Unmet(f"a report does not open at the C2: {error.kind}") from error


@must(
    "E4-PREP-002",
    "a hello tells what is held; the Sync that answers it, and no other command, makes the device synchronised",
    source="format2.md section 4.4",
    advice="draw the nonce of a hello from the system's generator; compare a Sync with the nonces of the last hellos",
    needs="reports",
)
@in_each_suite
def hello(fleet: Fleet) -> None:
    fleet.meet()
    nonces: set[bytes] = set()
    for _ in range(3):
        fleet.wait(2)
        data, synchronised = fleet.bob.device.hello(fleet.now)
        content = _read(fleet, data)
        if not isinstance(content, Hello):
            raise Unmet(f"hello gives a report that is none: {type(content).__name__}")
        require(not synchronised, "says that it is synchronised before the Sync came")
        require(
            content.digest.hex() == held_by(fleet.twin)["digest"], "the digest of a hello is not that of what is held"
        )
        require(content.nonce not in nonces, "the nonce of a hello was used before")
        nonces.add(content.nonce)
        require(not _synchronised_by(fleet, bytes(range(16))), "a Sync with another nonce makes it synchronised")
        require(_synchronised_by(fleet, content.nonce), "the Sync with its nonce does not make it synchronised")


def _synchronised_by(fleet: Fleet, nonce: bytes) -> bool:
    fleet.wait(1)
    c2 = fleet.bob.c2
    (data,) = c2.seal([c2.sync(nonce, fleet.now)], fleet.now)
    fleet.twin.command(data, fleet.now)
    return fleet.bob.device.command(data, fleet.now).synchronised


@must(
    "E4-PSEC-001",
    "no key is in any answer, whatever is asked, nor in what a port writes beside its answers",
    source="port-protocol.md section 5",
    advice="let show tell hashes, numbers and digests alone, and write no key, plaintext of a command or stored state to a log",
)
@in_each_suite
def nothing_leaks(fleet: Fleet) -> None:
    port = fleet.subject.port
    fleet.meet(TOPIC, OTHER)
    port.heard.clear()
    fleet.rotate()
    fleet.opens(fleet.from_alice(), b"x")
    for data in (b"", bytes(26), bytes(200)):
        told(lambda data=data: fleet.bob.device.command(data, fleet.now))  # type: ignore[misc]
        told(lambda data=data: fleet.bob.device.unprotect(data, TOPIC, fleet.now))  # type: ignore[misc]
    fleet.bob.device.protect(b"x", OTHER, fleet.now)
    keys = {"client_id": fleet.bob.client_id.hex(), "c2_public": fleet.c2_public.hex()}
    wrong = fleet.bob.private[:-1].hex()
    told(
        lambda: port.ask(
            "provision", suite=fleet.suite.wire_name, private=wrong, **keys, skew_s=30, clock=True, repeats=[]
        )
    )
    for do in ("show", "about", "state", "dump", "restart", "show", "close", "show"):
        told(lambda do=do: port.ask(do))  # type: ignore[misc]
    said = b"\n".join([*port.heard, port.told()]).decode("latin-1")
    secrets = {
        "the device's key": fleet.bob.private,
        **{f"the key of {topic}": key for topic, key in fleet.keys.items()},
    }
    parts = {what: secret[:24] for what, secret in secrets.items()}  # enough to know it by
    found = leaks({"what it answers or writes": said}, parts)
    require(not found, "; ".join(found))
