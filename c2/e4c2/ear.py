# SPDX-License-Identifier: Apache-2.0
"""Whether this process hears the reports of the fleet.

Of several on one database one does: two that share them take the answers of one device out of order, and what a device holds is
judged by its last one. Which one is found at each beat (`e4c2.presence`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from e4c2 import replicas
from e4c2.reports import REPORTS
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4core.errors import StorageError
from e4core.transport import Transport


class Ear:
    """Of a courier."""

    def __init__(self, store: Store, realm: Realm, transport: Transport, wake: Callable[[], object]) -> None:
        """Args: wake: told when there is something to send again."""
        self._store, self._realm, self._transport, self._wake = store, realm, transport, wake
        self._is_due = not store.is_shared
        self._hears = False
        self._turned = asyncio.Event()

    @property
    def can_hear(self) -> bool:
        """Whether the link to the broker is up."""
        return self._transport.connected

    def should(self, hear: bool) -> None:
        """Begin to hear, or end it, soon: the broker is waited for elsewhere."""
        self._is_due = hear
        if hear != self._hears:
            self._turned.set()

    async def turn(self) -> None:
        """Do what is due now. Raises: TransportError: refused, or the transport was closed."""
        if not self._is_due and self._hears:
            await self._transport.unsubscribe(REPORTS)
            self._hears = False
        elif self._is_due and not self._hears:
            await self._transport.subscribe(REPORTS)
            with suppress(StorageError):  # else at the next beat
                await self._store.write(replicas.ask_again, self._realm)
                self._hears = True
                self._wake()

    async def run(self) -> None:
        """Work until cancelled. Raises: as `turn`."""
        while True:
            await self._turned.wait()
            self._turned.clear()
            await self.turn()
