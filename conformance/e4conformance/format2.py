# SPDX-License-Identifier: Apache-2.0
"""Checks of the stories of Format 2 (`format2.md`); how a story reads is said in ``docs/reference/vectors.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from e4conformance.played import Device, Obeyed, Own
from e4conformance.vectorfile import Check, Entry, Facets, VectorFile, named
from e4core import report, stateform2
from e4core.client import Tolerance
from e4core.command2 import Sync, encode
from e4core.control2 import seal_command
from e4core.errors import AuthenticationFailed, E4Error, PluginError
from e4core.keys import ClientId, Secret
from e4core.state2 import new_state
from e4core.suite import Channel, Suite

ARGUMENTS = {
    "command": ("protected",),
    "protect": ("topic", "payload"),
    "unprotect": ("topic", "protected"),
    "unprotect_own": ("topic",),
    "sync": ("sequence", "nonce", "time_ms"),
    "to_offered": ("sequence", "plain"),
}
"""Operation -> fields of a step that are given; all others but ``op``, ``now`` and ``why`` are due."""
_SESSION = slice(29, 37)


Devices = Callable[[Suite, Entry], Device]
"""Makes the device of a story."""


def own(suite: Suite, entry: Entry) -> Device:
    private = Secret(bytes.fromhex(entry["private"]))
    c2 = suite.c2.public(suite.c2.load(bytes.fromhex(entry["c2_private"])))
    state = new_state(suite, ClientId(bytes.fromhex(entry["client_id"])), private, c2)
    return Own(suite, stateform2.dump(state), Tolerance(entry.get("skew_s", 30)), has_clock=entry.get("clock", True))


def stories(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """One check an entry; a wrong facet is named by its step."""
    for name, entry in named(section):
        try:
            file.suite_of(entry)
        except PluginError as error:
            yield Check(name, {}, None, missing=str(error))
        else:
            yield Check(name, due(entry), partial(play, file, entry))


def due(entry: Entry) -> Facets:
    """What must come of the steps of ``entry``."""
    return {
        f"{label}, {name}": value
        for label, step in _labelled(entry)
        for name, value in _flat(
            {each: step[each] for each in step if each not in ("op", "now", "why", *ARGUMENTS.get(step["op"], ()))}
        )
    }


def play(file: VectorFile, entry: Entry, devices: Devices = own) -> Facets:
    """What comes of them."""
    story = Story(file, entry, devices)
    return {f"{label}, {name}": value for label, step in _labelled(entry) for name, value in _flat(story.facets(step))}


def _labelled(entry: Entry) -> Iterator[tuple[str, Entry]]:
    for number, step in enumerate(entry["steps"]):
        yield f"step {number} ({step['op']})", step


def _flat(facets: Facets) -> Iterator[tuple[str, object]]:
    """With a facet of its own for each member of each report, so that a vector may leave out what is random."""
    for name, value in facets.items():
        if name != "reports":
            yield name, value
            continue
        assert isinstance(value, list)
        yield "reports", len(value)
        for number, content in enumerate(value):
            yield from ((f"report {number}, {member}", each) for member, each in content.items())


class Story:
    """One device that lives through the steps of an entry, and the C2 as far as the steps need it."""

    def __init__(self, file: VectorFile, entry: Entry, devices: Devices = own) -> None:
        self._suite = suite = file.suite_of(entry)
        self._id = ClientId(bytes.fromhex(entry["client_id"]))
        self._c2 = suite.c2.load(bytes.fromhex(entry["c2_private"]))
        private = Secret(bytes.fromhex(entry["private"]))
        own = {"name": "first", "c2_private": entry["c2_private"]}
        own["device_public"] = suite.device.public(suite.device.load(private)).hex()
        self._readers = [(each["name"], self._channel(each)) for each in entry.get("readers", [own])]
        self._nonces: list[bytes] = []
        self._offers: list[bytes] = []
        self._protected = b""
        self._device = devices(suite, entry)

    def facets(self, step: Entry) -> Facets:
        """What comes of ``step``."""
        try:
            return {"result": "ok", **_OPERATIONS[step["op"]](self, step)}
        except E4Error as error:
            return {"result": "error", "kind": error.kind}

    def _channel(self, reader: Entry) -> Channel:
        c2 = self._suite.c2.load(bytes.fromhex(reader["c2_private"]))
        return self._suite.control.at_c2(c2, bytes.fromhex(reader["device_public"]))

    def _restart(self, _step: Entry) -> Facets:
        self._device.restart()
        return {}

    def _close(self, _step: Entry) -> Facets:
        self._device.close()
        return {}

    def _protect(self, step: Entry) -> Facets:
        former = self._protected[_SESSION]
        data = self._protected = self._device.protect(bytes.fromhex(step["payload"]), step["topic"], step["now"])
        return {
            "epoch": int.from_bytes(data[1:5], "little"),
            "timestamp": int.from_bytes(data[5:13], "little"),
            "session": "same" if data[_SESSION] == former else "new",
            "sequence": int.from_bytes(data[37:41], "little"),
        }

    def _unprotect(self, step: Entry) -> Facets:
        return self._received(bytes.fromhex(step["protected"]), step)

    def _unprotect_own(self, step: Entry) -> Facets:
        return self._received(self._protected, step)

    def _received(self, data: bytes, step: Entry) -> Facets:
        message = self._device.unprotect(data, step["topic"], step["now"])
        return {
            "returned": message.payload.hex(),
            "sender": message.sender.hex() if message.sender else None,
            "authenticated": message.authenticated,
            "epoch": message.epoch,
            "timestamp": message.timestamp,
            "sequence": message.sequence,
        }

    def _command(self, step: Entry) -> Facets:
        return self._handled(self._device.command(bytes.fromhex(step["protected"]), step["now"]))

    def _sync(self, step: Entry) -> Facets:
        """Only now is the nonce known."""
        nonce = self._nonces[{"newest": -1, "before": -2}[step["nonce"]]]
        plain = encode([Sync(nonce, step["time_ms"])], int(step["now"]))
        return self._sealed(self._readers[0][1], step, plain)

    def _to_offered(self, step: Entry) -> Facets:
        channel = self._suite.control.at_c2(self._c2, self._offers[-1])
        self._readers.append(("offered", channel))
        return self._sealed(channel, step, bytes.fromhex(step["plain"]))

    def _sealed(self, channel: Channel, step: Entry, plain: bytes) -> Facets:
        salt = self._suite.hash.digest(plain)[:16]
        data = seal_command(self._suite, channel, self._id, step["sequence"], plain, salt)
        return self._handled(self._device.command(data, step["now"]))

    def _handled(self, obeyed: Obeyed) -> Facets:
        facets: dict[str, object] = {
            "outcome": obeyed.outcome,
            "synchronised": obeyed.synchronised,
            "reports": [self._read(each) for each in obeyed.reports],
        }
        return {**facets, "result": "error", "kind": obeyed.kind} if obeyed.kind else facets

    def _hello(self, step: Entry) -> Facets:
        data, synchronised = self._device.hello(step["now"])
        return {"reports": [self._read(data)], "synchronised": synchronised}

    def _read(self, data: bytes) -> Facets:
        """What the C2 reads in a report, and with which keys."""
        for name, channel in self._readers:
            try:
                content = report.open_report(self._suite, channel, self._id, data)
            except AuthenticationFailed:
                continue
            return {
                "last": content.last_sequence,
                "digest": content.digest.hex(),
                "reader": name,
                **self._said(content),
            }
        raise AuthenticationFailed("a report that no key of the story opens")

    def _said(self, content: report.Report) -> Facets:
        """Of random values: whether they are new."""
        if isinstance(content, report.Hello):
            fresh = content.nonce not in self._nonces
            self._nonces.append(content.nonce)
            return {"kind": "hello", "nonce": "fresh" if fresh else "old"}
        if isinstance(content, report.Offer):
            report.check_offer(self._suite, self._id, content)
            same = self._offers[-1:] == [content.public]
            self._offers.append(content.public)
            return {"kind": "offer", "nonce": content.nonce.hex(), "pairs": "same" if same else "new"}
        subject = int.from_bytes(content.subject, "little")
        outcome = content.outcome.name.lower()
        return {"kind": "ack", "subject": subject, "outcome": outcome, "error": content.refusal}


_OPERATIONS: dict[str, Callable[[Story, Entry], Facets]] = {
    "restart": Story._restart,
    "close": Story._close,
    "protect": Story._protect,
    "unprotect": Story._unprotect,
    "unprotect_own": Story._unprotect_own,
    "command": Story._command,
    "sync": Story._sync,
    "to_offered": Story._to_offered,
    "hello": Story._hello,
}
