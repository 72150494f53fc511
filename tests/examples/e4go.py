# SPDX-License-Identifier: Apache-2.0
"""The real e4go as a port, built from ``examples/port-e4go``, and its witness (`tests.interop.e4go_like`) beside it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from e4conformance.ports.client import Port
from e4conformance.ports.device import PortDevice
from e4conformance.ports.links import PortFault
from e4core.errors import E4Error
from e4core.plugins import load_suite
from tests.interop.e4go_crypto import E4goError
from tests.interop.e4go_like import Client, PkKey

EXAMPLE = Path(__file__).parents[2] / "examples" / "port-e4go"
GO = Path("/usr/local/go/bin")
"""Where Go lies if it was not packaged."""
CANNOT = (
    "the real e4go is not examined: its module cannot be had here. Name a folder with its sources in E4GO_SOURCE, or in "
    "GOPROXY a module proxy that has github.com/teserakt-io/e4go; Go is needed too"
)
CRASH = "panic"
_KINDS = {"too_short_inner": "bad_length", "bad_old_key": "bad_state"}
"""What is told more exactly in the vectors than by the port protocol."""

Told = Mapping[str, Any] | str


def built(folder: Path) -> Path:
    """The program. Without e4go the test is skipped: no network is asked for it unless GOPROXY says so."""
    program = folder / "port-e4go"
    environment = {
        **os.environ,
        "PATH": f"{os.environ['PATH']}:{GO}",
        "GOPROXY": os.environ.get("GOPROXY", "off"),
        "GOTOOLCHAIN": "local",
    }
    done = subprocess.run(
        [EXAMPLE / "build", program], env=environment, capture_output=True, text=True, check=False, timeout=500
    )
    if done.returncode and "E4GO_SOURCE" in os.environ:
        pytest.fail(f"with the e4go of E4GO_SOURCE the port is not built: {done.stderr}")
    if done.returncode:
        pytest.skip(CANNOT)
    return program


class Real:
    """One e4go device behind the port. `CRASH` is told of what ends its process."""

    def __init__(self, port: Port, suite: str, client_id: bytes, private: bytes, c2_public: bytes) -> None:
        self._device = PortDevice(port, suite, client_id, private, c2_public, skew_s=0)

    def protect(self, payload: bytes, topic: str, now: float) -> Told:
        return _told(lambda: {"data": self._device.protect(payload, topic, now)})

    def unprotect(self, data: bytes, topic: str, now: float) -> Told:
        return _told(lambda: {"payload": self._device.unprotect(data, topic, now).payload})

    def command(self, data: bytes, now: float) -> Told:
        return _told(lambda: self._device.command(data, now).kind or {})

    def restart(self) -> Told:
        def restart() -> Told:
            self._device.restart()
            return {}

        return _told(restart)

    def show(self) -> Mapping[str, Any]:
        return self._device.dump()


class Witness:
    """The same of the witness, which is told of what it holds by its store alone, as the port is."""

    def __init__(self, suite: str, client_id: bytes, private: bytes, c2_public: bytes) -> None:
        is_symmetric = load_suite(suite).is_symmetric
        self.client = (
            Client.new_sk(client_id, private) if is_symmetric else Client.new_pk(client_id, private, c2_public)
        )

    def protect(self, payload: bytes, topic: str, now: float) -> Told:
        return _told(lambda: {"data": self.client.protect(payload, topic, now)})

    def unprotect(self, data: bytes, topic: str, now: float) -> Told:
        return _told(lambda: {"payload": self.client.unprotect(data, topic, now) or b""})

    def command(self, data: bytes, now: float) -> Told:
        def obey() -> Told:
            assert self.client.unprotect(data, self.client.receiving_topic, now) is None
            return {}

        return _told(obey)

    def restart(self) -> Told:
        def load() -> Told:
            self.client = Client.load(self.client.store)
            return {}

        return _told(load)

    def show(self) -> Mapping[str, Any]:
        self.client.store.seek(0)
        return shown(json.JSONDecoder().raw_decode(self.client.store.read().decode())[0])

    @property
    def command_key(self) -> bytes:
        """With which the C2 seals for it."""
        key = self.client.key
        return key.shared_key if isinstance(key, PkKey) else key.key


def shown(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the port shows of a state of e4go: current topic keys have 32 bytes, 44 in base64."""
    topics = sorted(topic for topic, key in state["TopicKeys"].items() if len(key) == 44)
    peers = sorted(state["Key"]["keyData"].get("PubKeys", {}))
    return {"topics": [{"hash": topic, "epochs": []} for topic in topics], "peers": peers}


def kind_of(kind: str) -> str:
    """As the port protocol has it."""
    return _KINDS.get(kind, kind)


def _told(act: Callable[[], Told]) -> Told:
    try:
        return act()
    except E4goError as error:
        return kind_of(error.kind)
    except PortFault:
        return CRASH
    except E4Error as error:
        return error.kind
