# SPDX-License-Identifier: Apache-2.0
"""What the work needs does not answer, or refuses: the token of the C2's own key, the database, or the broker. Told once, waited
out, and asked less and less often.

A PIN that was refused is burnt by no retry: the driver of a token remembers it, and does not ask the token again (`e4kms.pkcs11`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from e4c2.commands import pause
from e4core.errors import KmsDenied, KmsError, StorageError, Tampered, TransportError

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Outage:
    """As one task meets it that cannot work meanwhile; ``failure`` None: there is none."""

    def __init__(self, waiting: str) -> None:
        """Args: waiting: what does, in the plural."""
        self._waiting = waiting
        self._tries = 0
        self._told: set[str] = set()
        self.failure: str | None = None
        """Of a token; what fails of the database is told by its health."""

    @property
    def is_on(self) -> bool:
        return self._tries > 0

    @property
    def pause_s(self) -> float:
        """How long to wait before the next try."""
        return pause(FIRST_PAUSE_S, LONGEST_PAUSE_S, max(self._tries - 1, 0))

    @contextmanager
    def met(self) -> Iterator[None]:
        """Do one try: it ends the outage, or fails and goes on with the statement after. Raises: Tampered."""
        try:
            yield
        except Tampered:
            raise
        except (KmsError, StorageError, TransportError) as error:
            self._begin(error)
        else:
            self._end()

    def _begin(self, error: KmsError | StorageError | TransportError) -> None:
        self.failure = str(error) if isinstance(error, KmsError) else None
        self._tries += 1
        if error.kind not in self._told:
            self._told.add(error.kind)
            advice = "; then start the C2 anew, if this does not end" if isinstance(error, KmsDenied) else ""
            log.error("%s wait: %s%s", self._waiting, error, advice)

    def _end(self) -> None:
        if self.is_on:
            log.warning("%s go on", self._waiting)
        self.failure = None
        self._tries = 0
        self._told.clear()
