# SPDX-License-Identifier: Apache-2.0
"""Which commands are still to be obeyed: none that was obeyed before, none older than the newest (`wire.md` section 13).

Two things are kept apart. *Repeats* are known by the tags of the last commands obeyed; what is forgotten lies at or below a floor,
and is refused. So whatever a clock does, no command is obeyed twice. The *order* follows the command obeyed last. Only if that one
lies further ahead than a clock could be set back in passing, the newest of those that do not takes its place: else a clock that
once ran far ahead would leave the device deaf for as long.
"""

from __future__ import annotations

from dataclasses import replace

from e4core.errors import Replayed, TooOld
from e4core.message import WINDOW_S
from e4core.state import State

KEPT = 256
"""Tags kept, besides those of the newest second."""
PER_SECOND = 65_536


def check(state: State, tag: bytes, sent: int, latest: float) -> None:
    """Args: latest: the newest second that is acceptable at all, now and the skew.

    Raises: TooOld. Replayed.
    """
    if sent <= state.command_floor or sent < _newest(state, latest + WINDOW_S):
        raise TooOld("older than the newest command accepted")
    tags = state.command_tags.get(sent, frozenset())
    if tag in tags:
        raise Replayed("this command was applied before")
    if len(tags) >= PER_SECOND:
        raise TooOld("too many commands in one second")


def obeyed(state: State, tag: bytes, sent: int) -> State:
    """State after the command was obeyed."""
    tags = {**state.command_tags, sent: state.command_tags.get(sent, frozenset()) | {tag}}
    floor, count = state.command_floor, sum(map(len, tags.values()))
    for second in sorted(tags)[:-1]:
        if count <= KEPT:
            break
        count -= len(tags.pop(second))
        floor = second
    return replace(state, command_second=sent, command_floor=floor, command_tags=tags)


def reset(state: State, latest: int) -> State:
    """Forget an order beyond ``latest``; the tags stay."""
    return replace(
        state,
        command_second=min(state.command_second, latest),
        command_floor=min(state.command_floor, latest),
    )


def _newest(state: State, horizon: float) -> int:
    if state.command_second <= horizon:
        return state.command_second
    return max((second for second in state.command_tags if second <= horizon), default=0)
