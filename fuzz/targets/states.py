# SPDX-License-Identifier: Apache-2.0
"""State files: our own of both formats in clear and under a passphrase, and those of e4go."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from e4core import e4go, formats, jsonform
from e4core.errors import E4Error, InvalidInput, PluginError
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4device import statefile
from e4device.passphrase import Cost
from e4device.sealed import Sealed, SealingKey, is_sealed
from fuzz.target import Check, Target, accepted, always, must, quoted
from fuzz.targets.fleet import NOW, TOPIC, every_fleet, fleets, same

_CHEAP = Cost(64, 1, 1)


@contextmanager
def _state() -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "device.state"
        path.touch(0o600)

        def check(data: bytes) -> None:
            loaded = accepted(lambda: formats.load(data), InvalidInput)
            must(loaded is None or same(loaded), "a state that was read is written otherwise")
            path.write_bytes(data)
            state = accepted(lambda: statefile.StateFile(path).load(NOW), InvalidInput, PluginError)
            if state is not None:
                _used(state)

        yield check


def _used(state: formats.AnyState) -> None:
    """Whoever has such a state can be a device."""
    client = formats.new_client(load_suite(state.suite), state, lambda _state: None)
    for act in (lambda: client.protect(b"x", TOPIC, NOW), lambda: client.hello(NOW), lambda: client.command(b"x", NOW)):
        accepted(act, E4Error)
    client.close()
    must(same(client.state), "the state of a device that was stopped does not survive being saved")


def _sealed(data: bytes) -> None:
    body = accepted(lambda: jsonform.parse_json(data), InvalidInput)
    if body is None or not is_sealed(body):
        return
    sealed = accepted(lambda: Sealed.parse(data, body), InvalidInput)
    if sealed is not None and sealed.header.cost == _CHEAP:
        key = SealingKey(Secret(b"passphrase"), sealed.header)
        accepted(lambda: key.open(sealed), E4Error)


def _e4go(data: bytes) -> None:
    state = accepted(lambda: e4go.load(data, _suite_of), InvalidInput)
    if state is None:
        return
    must(same(state), "a state of e4go that was read is written otherwise")
    suite = load_suite(state.suite)
    must(e4go.load(e4go.dump(suite, state), _suite_of) == state, "a state of e4go is exported otherwise")


def _suite_of(key_type: int) -> Any:
    return load_suite("pk" if key_type else "sk")


def _states() -> Iterable[bytes]:
    for fleet in every_fleet():
        alice, bob = fleet.client("alice"), fleet.client("bob")
        bob.unprotect(alice.protect(b"x", TOPIC, NOW), TOPIC, NOW)
        yield formats.dump(bob.state)
        bob.close()
        yield formats.dump(bob.state)
        yield json.dumps(json.loads(formats.dump(bob.state)), separators=(",", ":")).encode()


def _sealed_states() -> Iterable[bytes]:
    for fleet in every_fleet():
        yield SealingKey.fresh(Secret(b"passphrase"), _CHEAP).seal(formats.dump(fleet.state("bob"))[:80])
    yield b'{"format":"e4-sealed-state"}'


def _e4go_states() -> Iterable[bytes]:
    for fleet in fleets(1):
        yield e4go.dump(fleet.suite, fleet.state("bob"))  # type: ignore[arg-type]
    vectors = json.loads((resources.files("e4conformance") / "vectors" / "e4-state.json").read_bytes())
    for entry in vectors["load"]:
        if "text" in entry:
            yield entry["text"].encode()


_WORDS = (
    *quoted("format version suite topics peers seen epoch key Key keyType keyData TopicKeys PubKeys e4-device-state"),
    b"null",
    b"true",
    b"1e999",
    b"-1",
    b"[[[[",
    b"\\ud800",
    b"18446744073709551616",
    b64encode(bytes(32)),
)

TARGETS = {
    "state": Target(_state, _states, _WORDS),
    "sealed-state": Target(always(_sealed), _sealed_states, _WORDS),
    "e4go-state": Target(always(_e4go), _e4go_states, _WORDS),
}
