# SPDX-License-Identifier: Apache-2.0
"""Which client and which state belong to a suite: the one place of the core and the devices that tells the formats apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from e4core import container, sending2, state, state2, stateform2, transition
from e4core.client import Client, Tolerance
from e4core.client2 import Client2
from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.jsonform import parse_json
from e4core.keys import ClientId, Secret
from e4core.state import State
from e4core.state2 import State2
from e4core.suite import Suite

AnyClient = Client | Client2
AnyState = State | State2

__all__ = [
    "AnyClient",
    "AnyState",
    "check_keys",
    "dump",
    "faded",
    "load",
    "new_client",
    "new_state",
    "overheads",
]


@dataclass(frozen=True, slots=True)
class _Format:
    state: type[Any]
    client: Callable[..., Any]
    new_state: Callable[..., Any]
    check_keys: Callable[..., None]
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]
    faded: Callable[[Any, float], Any]
    overheads: Callable[[Suite], tuple[int, int]]


def _client1(
    suite: Suite, state: State, save: Callable[[AnyState], None], tolerance: Tolerance, clock_is_trusted: bool
) -> Client:
    if not clock_is_trusted:
        text = f"in the suite {suite.name} a device needs a clock that is right: set it, or take a suite of Format 2"
        raise UnsupportedSuite(text)
    return Client(suite, state, save, tolerance)


def _client2(
    suite: Suite, state: State2, save: Callable[[AnyState], None], tolerance: Tolerance, clock_is_trusted: bool
) -> Client2:
    return Client2(suite, state, save, tolerance, clock_is_trusted=clock_is_trusted)


def _unchanged(state: State2, _now: float) -> State2:
    """What is over is for the client to say, who knows whether the clock is to be trusted."""
    return state


def _overheads1(suite: Suite) -> tuple[int, int]:
    signed = 16 + suite.signature.signature_len if suite.signature else 0
    return 8 + suite.aead.tag_len + signed, 8 + suite.aead.tag_len


def _overheads2(suite: Suite) -> tuple[int, int]:
    signed = suite.signature.signature_len if suite.signature else 0
    return sending2.HEADER_LEN + suite.aead.tag_len + signed, container.HEADER_LEN + suite.control.overhead


_FORMATS = {
    1: _Format(
        State, _client1, state.new_state, state.check_keys, state.dump, state.load, transition.faded, _overheads1
    ),
    2: _Format(
        State2, _client2, state2.new_state, state2.check_keys, stateform2.dump, stateform2.load, _unchanged, _overheads2
    ),
}
"""By number of the format, which also is the version of the form in which its states are saved."""


def new_client(
    suite: Suite,
    state: AnyState,
    save: Callable[[AnyState], None],
    tolerance: Tolerance = Tolerance(),  # noqa: B008  # immutable
    *,
    clock_is_trusted: bool = True,
) -> AnyClient:
    """A client of ``suite``; see `Client` and `Client2`. Args: clock_is_trusted: must be true in Format 1.

    Raises: UnsupportedSuite: the state is of another suite, or the suite needs a clock. InvalidInput (``bad_key``).
    """
    client: AnyClient = _FORMATS[suite.format].client(suite, state, save, tolerance, clock_is_trusted)
    return client


def overheads(suite: Suite) -> tuple[int, int]:
    """Bytes by which a message is longer than its payload, and by which a command or a batch of them is."""
    return _FORMATS[suite.format].overheads(suite)


def new_state(suite: Suite, client_id: ClientId, private: Secret, c2_public: bytes = b"") -> AnyState:
    """State of a device that has had no command yet. Raises: InvalidInput (``bad_key``)."""
    made: AnyState = _FORMATS[suite.format].new_state(suite, client_id, private, c2_public)
    return made


def check_keys(suite: Suite, state: AnyState) -> None:
    """Refuse keys that are none of ``suite``, or a state of another format. Raises: InvalidInput (``bad_key``, ``bad_state``)."""
    form = _FORMATS[suite.format]
    if not isinstance(state, form.state):
        raise InvalidInput(f"the state is not of the format of the suite {suite.name}", kind="bad_state")
    form.check_keys(suite, state)


def dump(state: AnyState) -> bytes:
    """JSON form of ``state``, secrets in clear: keep it in a file of mode 0600."""
    return _of(state).dump(state)


def load(data: bytes) -> AnyState:
    """Parse what `dump` wrote; the keys themselves are checked by `check_keys`. Raises: InvalidInput (``bad_state``)."""
    version = parse_json(data).get("version")
    form = _FORMATS.get(version) if type(version) is int else None
    loaded: AnyState = (form or _FORMATS[1]).load(data)
    return loaded


def faded(state: AnyState, now: float) -> AnyState:
    """``state`` without keys that are over at ``now``, where that can be said."""
    after: AnyState = _of(state).faded(state, now)
    return after


def _of(state: AnyState) -> _Format:
    return next(form for form in _FORMATS.values() if isinstance(state, form.state))
