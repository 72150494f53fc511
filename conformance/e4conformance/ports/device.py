# SPDX-License-Identifier: Apache-2.0
"""A port as the device of a story (`e4conformance.played.Device`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from e4conformance.played import Obeyed
from e4conformance.ports.client import Answer, Port
from e4conformance.ports.links import PortFault
from e4core.keys import ClientId
from e4core.message import Message

T = TypeVar("T")


class PortDevice:
    """The one device of a port. Making it provisions the port anew."""

    def __init__(
        self,
        port: Port,
        suite: str,
        client_id: bytes,
        private: bytes,
        c2_public: bytes,
        *,
        skew_s: float = 30,
        has_clock: bool = True,
        repeats: tuple[str, ...] = (),
    ) -> None:
        """Raises: E4Error with the kind that the port gives. PortFault."""
        self._port = port
        keys = {"client_id": client_id.hex(), "private": private.hex(), "c2_public": c2_public.hex()}
        port.ask("provision", suite=suite, **keys, skew_s=skew_s, clock=has_clock, repeats=list(repeats))

    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        return _bytes(self._port.ask("protect", topic=topic, payload=payload.hex(), now=now), "data")

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        answer = self._port.ask("unprotect", topic=topic, data=data.hex(), now=now)
        sender = None if answer.get("sender") is None else _parsed(answer, "sender", _client_id)
        return Message(
            _bytes(answer, "payload"),
            sender,
            member(answer, "authenticated", bool),
            member(answer, "epoch", int, 0),
            member(answer, "timestamp", int),
            member(answer, "repeated", bool, False),
            member(answer, "sequence", int, 0),
        )

    def command(self, data: bytes, now: float) -> Obeyed:
        answer = self._port.ask("command", data=data.hex(), now=now)
        outcome, kind = member(answer, "outcome", str), member(answer, "error", str, "")
        return Obeyed(outcome, kind, _reports(answer), member(answer, "synchronised", bool))

    def hello(self, now: float) -> tuple[bytes, bool]:
        answer = self._port.ask("hello", now=now)
        reports = _reports(answer)
        if len(reports) != 1:
            raise PortFault(f"hello gives {len(reports)} reports, not 1")
        return reports[0], member(answer, "synchronised", bool)

    def restart(self) -> None:
        self._port.ask("restart")

    def close(self) -> None:
        self._port.ask("close")

    def dump(self) -> Mapping[str, Any]:
        return self._port.ask("show")


def member(answer: Answer, name: str, kind: type[T], default: T | None = None) -> T:
    """Raises: PortFault: it is missing, or of another type."""
    value = answer.get(name, default)
    if type(value) is not kind:
        raise PortFault(f"an answer has {name} = {value!r}, which is no {kind.__name__}")
    return value


def _reports(answer: Answer) -> tuple[bytes, ...]:
    return tuple(_bytes({"reports": each}, "reports") for each in member(answer, "reports", list))


def _bytes(answer: Answer, name: str) -> bytes:
    return _parsed(answer, name, bytes.fromhex)


def _client_id(text: str) -> ClientId:
    return ClientId(bytes.fromhex(text))


def _parsed(answer: Answer, name: str, parse: Callable[[str], T]) -> T:
    text = member(answer, name, str)
    try:
        if text == text.lower():
            return parse(text)
    except ValueError:
        pass
    raise PortFault(f"an answer has {name} = {text[:80]!r}, which is not what it must be in lower-case hexadecimal")
