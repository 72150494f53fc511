# SPDX-License-Identifier: Apache-2.0
"""The book of what a port must do. The modules that write in it: `protocol`, `told` and those of live checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from e4conformance.ports.links import PortFault, said
from e4conformance.ports.subject import PortSubject
from e4conformance.requirement import Book, NotExercised, Unmet

Check = Callable[[PortSubject], str | None]

PORTS: Book[PortSubject] = Book("port")


def must(number: str, says: str, *, source: str, advice: str, needs: str | None = None) -> Callable[[Check], Check]:
    """As `Book.must`; what the port writes on stderr meanwhile stands in the detail of a failure."""
    add = PORTS.must(number, says, source=source, advice=advice, needs=needs)
    return lambda check: add(_with_told(check))


def should(number: str, says: str, *, source: str, advice: str, needs: str | None = None) -> Callable[[Check], Check]:
    """As `must`."""
    add = PORTS.should(number, says, source=source, advice=advice, needs=needs)
    return lambda check: add(_with_told(check))


def _with_told(check: Check) -> Check:
    @wraps(check)
    def checked(subject: PortSubject) -> str | None:
        before = len(subject.port.told())
        try:
            return check(subject)
        except (PortFault, NotExercised):
            raise
        except Unmet as error:
            told = said(subject.port.told()[before:])
            raise Unmet(f"{error}; it told: {told}" if told else str(error)) from error

    return checked
