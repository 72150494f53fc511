# SPDX-License-Identifier: Apache-2.0
"""Checks of the stories of Format 2 (`format2.md`); how a story reads is said in ``docs/reference/vectors.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from e4conformance.vectorfile import Check, Entry, Facets, VectorFile, named
from e4core import report, stateform2
from e4core.client import Tolerance
from e4core.client2 import Client2
from e4core.command2 import Command2, Sync, encode
from e4core.control2 import seal_command
from e4core.errors import AuthenticationFailed, E4Error, PluginError
from e4core.keys import ClientId, Secret
from e4core.obeying import Handled
from e4core.state2 import State2, new_state
from e4core.suite import Channel

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


def stories(file: VectorFile, section: list[Entry]) -> Iterator[Check]:
    """One check an entry; a wrong facet is named by its step."""
    for name, entry in named(section):
        try:
            file.suite_of(entry)
        except PluginError as error:
            yield Check(name, {}, None, missing=str(error))
        else:
            yield Check(name, _due(entry), partial(_play, file, entry))


def _due(entry: Entry) -> Facets:
    return {
        f"{label}, {name}": value
        for label, step in _labelled(entry)
        for name, value in _flat(
            {each: step[each] for each in step if each not in ("op", "now", "why", *ARGUMENTS.get(step["op"], ()))}
        )
    }


def _play(file: VectorFile, entry: Entry) -> Facets:
    story = Story(file, entry)
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

    def __init__(self, file: VectorFile, entry: Entry) -> None:
        self._suite = suite = file.suite_of(entry)
        self._tolerance = Tolerance(entry.get("skew_s", 30))
        self._has_clock = entry.get("clock", True)
        self._id = ClientId(bytes.fromhex(entry["client_id"]))
        self._c2 = suite.c2.load(bytes.fromhex(entry["c2_private"]))
        private = Secret(bytes.fromhex(entry["private"]))
        own = {"name": "first", "c2_private": entry["c2_private"]}
        own["device_public"] = suite.device.public(suite.device.load(private)).hex()
        self._readers = [(each["name"], self._channel(each)) for each in entry.get("readers", [own])]
        self._saved = stateform2.dump(new_state(suite, self._id, private, suite.c2.public(self._c2)))
        self._nonces: list[bytes] = []
        self._offers: list[bytes] = []
        self._protected = b""
        self._client: Client2
        self._start()

    def facets(self, step: Entry) -> Facets:
        """What comes of ``step``."""
        try:
            return {"result": "ok", **_OPERATIONS[step["op"]](self, step)}
        except E4Error as error:
            return {"result": "error", "kind": error.kind}

    def _channel(self, reader: Entry) -> Channel:
        c2 = self._suite.c2.load(bytes.fromhex(reader["c2_private"]))
        return self._suite.control.at_c2(c2, bytes.fromhex(reader["device_public"]))

    def _start(self) -> None:
        state = stateform2.load(self._saved)
        self._client = Client2(self._suite, state, self._save, self._tolerance, clock_is_trusted=self._has_clock)

    def _save(self, state: State2) -> None:
        self._saved = stateform2.dump(state)

    def _now(self, step: Entry) -> float:
        now: float = step["now"] + self._client.clock_offset_s
        return now

    def _restart(self, _step: Entry) -> Facets:
        self._start()
        return {}

    def _close(self, _step: Entry) -> Facets:
        self._client.close()
        return {}

    def _protect(self, step: Entry) -> Facets:
        former = self._protected[_SESSION]
        data = self._protected = self._client.protect(bytes.fromhex(step["payload"]), step["topic"], self._now(step))
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
        message = self._client.unprotect(data, step["topic"], self._now(step))
        return {
            "returned": message.payload.hex(),
            "sender": message.sender.hex() if message.sender else None,
            "authenticated": message.authenticated,
            "epoch": message.epoch,
            "timestamp": message.timestamp,
            "sequence": message.sequence,
        }

    def _command(self, step: Entry) -> Facets:
        return self._handled(self._client.command(bytes.fromhex(step["protected"]), self._now(step)))

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
        return self._handled(self._client.command(data, self._now(step)))

    def _handled(self, handled: Handled[Command2]) -> Facets:
        facets: dict[str, object] = {
            "outcome": handled.outcome.name.lower(),
            "synchronised": self._client.synchronised,
            "reports": [self._read(each) for each in handled.reports],
        }
        return facets if handled.error is None else {**facets, "result": "error", "kind": handled.error.kind}

    def _hello(self, step: Entry) -> Facets:
        content = self._read(self._client.hello(self._now(step)))
        return {"reports": [content], "synchronised": self._client.synchronised}

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
