# SPDX-License-Identifier: Apache-2.0
"""The independent implementation computes the bytes of the vectors, and lives through their stories."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from tests.conformance.format2.fleet import Json
from tests.conformance.format2.sizes import Sizes
from tests.conformance.witness2 import Device
from tests.conformance.witness2_algorithms import ROWS, Algorithms, Refused
from tests.conformance.witness2_c2 import C2
from tests.conformance.witness2_state import Handled, Pair
from tests.conformance.witness2_wire import (
    COMMAND,
    REPORT,
    End,
    Header,
    encode_command,
    le,
    number,
    seal_control,
    seal_message,
)


def private_pair(row: Algorithms, stored: bytes) -> Pair:
    cut = row.signature.private_len if row.signature else 0
    return stored[:cut], stored[cut:]


def public_pair(row: Algorithms, public: bytes) -> Pair:
    cut = row.public_lens[0]
    return public[:cut], public[cut:]


def public_of(row: Algorithms, private: Pair) -> Pair:
    if not row.signature or not row.kem:
        return private
    return row.signature.public(private[0]), row.kem.public(private[1])


class WitnessMaker:
    """`tests.conformance.format2.maker.Maker`."""

    def public(self, sizes: Sizes, private: bytes) -> bytes:
        row = ROWS[sizes.wire_name]
        return b"".join(public_of(row, private_pair(row, private)))

    def message(
        self, sizes: Sizes, key: bytes, topic: bytes, header: bytes, payload: bytes, private: bytes, wire_name: str
    ) -> bytes:
        row = replace(ROWS[sizes.wire_name], wire_name=wire_name)
        return seal_message(row, key, topic, Header.of(header), payload, private_pair(row, private)[0])

    def command(
        self, sizes: Sizes, client: bytes, c2: bytes, device: bytes, header: bytes, plain: bytes, wire_name: str
    ) -> bytes:
        row = replace(ROWS[sizes.wire_name], wire_name=wire_name)
        end = C2(row, client, private_pair(row, c2), public_pair(row, device)).end
        return seal_control(row, COMMAND, client, end, number(header[2:10]), header[10:], plain, header[:2])

    def report(
        self, sizes: Sizes, client: bytes, device: bytes, c2: bytes, header: bytes, plain: bytes, wire_name: str
    ) -> bytes:
        row = replace(ROWS[sizes.wire_name], wire_name=wire_name)
        own = private_pair(row, device)
        end = End(b"", *own, *public_pair(row, c2)) if row.signature else End(device_key=own[1])
        return seal_control(row, REPORT, client, end, number(header[2:10]), header[10:], plain, header[:2])


class Player:
    """A device of the independent implementation, and its C2, in one story."""

    def __init__(self, story: Json) -> None:
        self.row = row = ROWS[story["suite"]]
        self.client = bytes.fromhex(story["client_id"])
        own = private_pair(row, bytes.fromhex(story["private"]))
        self.c2_private = private_pair(row, bytes.fromhex(story["c2_private"]))
        c2 = public_of(row, self.c2_private) if row.signature else (b"", b"")
        self.device = Device(row, self.client, own, c2, skew=story.get("skew_s", 30), clock=story.get("clock", True))
        given = {
            "name": "first",
            "c2_private": story["c2_private"],
            "device_public": b"".join(public_of(row, own)).hex(),
        }
        self.readers = [self.reader(each) for each in story.get("readers", [given])]
        self.nonces: list[str] = []
        self.offers: list[Pair] = []
        self.protected = b""

    def reader(self, given: Json) -> tuple[str, C2]:
        private = private_pair(self.row, bytes.fromhex(given["c2_private"]))
        public = public_pair(self.row, bytes.fromhex(given["device_public"]))
        return given["name"], C2(self.row, self.client, private, public)

    def facets(self, step: Json) -> Json:
        """What comes of ``step``."""
        try:
            return {"result": "ok", **_OPERATIONS[step["op"]](self, step)}
        except Refused as error:
            return {"result": "error", "kind": error.kind}

    def protect(self, step: Json) -> Json:
        former = self.protected[29:37]
        self.protected = self.device.protect(bytes.fromhex(step["payload"]), step["topic"], step["now"])
        header = Header.of(self.protected)
        session = "same" if header.session == former else "new"
        return {"epoch": header.epoch, "timestamp": header.timestamp, "sequence": header.sequence, "session": session}

    def unprotect(self, step: Json) -> Json:
        return self.received(bytes.fromhex(step["protected"]), step)

    def unprotect_own(self, step: Json) -> Json:
        return self.received(self.protected, step)

    def received(self, data: bytes, step: Json) -> Json:
        got = self.device.unprotect(data, step["topic"], step["now"])
        return {
            "returned": got.payload.hex(),
            "sender": got.sender.hex(),
            "authenticated": got.authenticated,
            "epoch": got.epoch,
            "timestamp": got.timestamp,
            "sequence": got.sequence,
        }

    def command(self, step: Json) -> Json:
        return self.handled(self.device.command(bytes.fromhex(step["protected"]), step["now"]))

    def sync(self, step: Json) -> Json:
        nonce = bytes.fromhex(self.nonces[-1 if step["nonce"] == "newest" else -2])
        plain = encode_command(int(step["now"]), [(0x09, nonce + le(step["time_ms"], 8))])
        return self.sealed(self.readers[0][1], step, plain)

    def to_offered(self, step: Json) -> Json:
        c2 = self.readers[0][1].to(self.offers[-1])
        self.readers.append(("offered", c2))
        return self.sealed(c2, step, bytes.fromhex(step["plain"]))

    def sealed(self, c2: C2, step: Json, plain: bytes) -> Json:
        data = c2.seal(step["sequence"], plain, hashlib.sha256(plain).digest()[:16])
        return self.handled(self.device.command(data, step["now"]))

    def handled(self, handled: Handled) -> Json:
        facets = {"outcome": handled.outcome, "synchronised": self.device.synchronised}
        facets["reports"] = [self.read(each) for each in handled.reports]
        return {**facets, "result": "error", "kind": handled.error} if handled.error else facets

    def hello(self, step: Json) -> Json:
        report = self.read(self.device.hello(step["now"]))
        return {"reports": [report], "synchronised": self.device.synchronised}

    def read(self, data: bytes) -> Json:
        for name, c2 in self.readers:
            try:
                return self.noted({**c2.read(data), "reader": name})
            except Refused as error:
                if error.kind not in ("bad_signature", "not_authentic"):
                    raise
        raise Refused("report of nobody")

    def noted(self, content: Json) -> Json:
        """Says of random values whether they are new."""
        if content["kind"] == "hello":
            nonce = content["nonce"]
            content["nonce"] = "fresh" if nonce not in self.nonces else "old"
            self.nonces.append(nonce)
        if content["kind"] == "offer":
            public = public_pair(self.row, bytes.fromhex(content.pop("public")))
            content["pairs"] = "same" if self.offers[-1:] == [public] else "new"
            self.offers.append(public)
        return content

    def restart(self, _step: Json) -> Json:
        self.device.start()
        return {}

    def close(self, _step: Json) -> Json:
        self.device.stop()
        return {}


_OPERATIONS: dict[str, Callable[[Player, Json], Json]] = {
    "protect": Player.protect,
    "unprotect": Player.unprotect,
    "unprotect_own": Player.unprotect_own,
    "command": Player.command,
    "sync": Player.sync,
    "to_offered": Player.to_offered,
    "hello": Player.hello,
    "restart": Player.restart,
    "close": Player.close,
}
