# SPDX-License-Identifier: Apache-2.0
"""``--wait``: follow an operation until every device that reports has answered; to the others its commands are sent."""

from __future__ import annotations

import time

from e4cli.api_client import Api, Document
from e4cli.output import remark
from e4cli.progress import progress
from e4core.errors import E4Error, KmsUnavailable, RateExceeded, StorageError, TransportError

UNSENT = ("pending", "sending")
DEAD = ("refused", "expired")
PASSING = (KmsUnavailable, RateExceeded, StorageError, TransportError)
"""What may end by itself, as when a C2 is started anew."""
_SHARE, _POLL_S = 0.1, (0.05, 5.0)
"""Of the time that it has taken, until the next question; and the least and the longest pause."""


def follow(api: Api, operation: Document, timeout_s: float) -> Document:
    """``operation``, of which ``id`` may be all that is known, as it is when it is over, or after ``timeout_s``.

    Raises: KeyboardInterrupt, E4Error: after a remark that the C2 goes on by itself; what is `PASSING` only at the end.
    """
    begun = time.monotonic()
    try:
        with progress("commands") as advance:
            if "counts" not in operation:
                operation = _asked(api, operation, begun, timeout_s)
            while True:
                total = sum(operation["counts"].values())
                left = unsent(operation) + awaited(operation)
                advance(total - left, total)
                waited_s = time.monotonic() - begun
                if not left or waited_s >= timeout_s:
                    return operation
                time.sleep(min(pause(waited_s), timeout_s - waited_s))
                operation = _asked(api, operation, begun, timeout_s)
    except (KeyboardInterrupt, E4Error):
        remark(f"the change is made, and its commands go out without this: e4 commands show {operation['id']}")
        raise


def check(operation: Document, timeout_s: float) -> None:
    """Raises: E4Error (``refused``, ``expired``). TransportError: commands are still to be sent (``undelivered``), or answered
    (``unconfirmed``)."""
    for state in DEAD:
        if dead := operation["counts"].get(state, 0):
            raise E4Error(f"{dead} commands were {state}; see e4 commands list --state {state}", kind=state)
    later = f"the C2 goes on: e4 commands show {operation['id']}"
    if waiting := unsent(operation):
        raise TransportError(f"{waiting} commands are not sent after {timeout_s:g} s; {later}", kind="undelivered")
    if silent := awaited(operation):
        raise TransportError(
            f"{silent} commands are sent and not confirmed after {timeout_s:g} s; {later}", kind="unconfirmed"
        )


def pause(waited_s: float) -> float:
    """Seconds until the next question: what takes long is asked about seldom, as counting what is large costs the C2."""
    least, longest = _POLL_S
    return min(max(_SHARE * waited_s, least), longest)


def patience(error: E4Error, waited_s: float) -> float:
    """Seconds until the next question after one that failed: as long as the C2 says, if it does."""
    return (error.wait_s if isinstance(error, RateExceeded) else None) or pause(waited_s)


def awaited(operation: Document) -> int:
    """How many devices that report are still to answer; none, of a C2 that is older than this."""
    return int(operation.get("awaited", 0))


def unsent(operation: Document) -> int:
    """How many commands are still to be sent."""
    return sum(operation["counts"].get(state, 0) for state in UNSENT)


def _asked(api: Api, operation: Document, begun: float, timeout_s: float) -> Document:
    """``operation`` as it is now. Raises: as `follow`."""
    while True:
        try:
            return Document({**operation, **api.get(f"/v1/operations/{operation['id']}")})
        except PASSING as error:
            waited_s = time.monotonic() - begun
            if waited_s >= timeout_s:
                raise
            time.sleep(min(patience(error, waited_s), timeout_s - waited_s))
