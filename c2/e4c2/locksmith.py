# SPDX-License-Identifier: Apache-2.0
"""The locksmith: asks the KMSes, and keeps the database's keys fresh, while the C2 serves.

No KMS is ever asked inside a transaction, for an answer may take seconds. Every change is one transaction that finds things as they
were read or is refused; whatever a crash interrupts is gone on with at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from e4c2 import deks, events, key_acts, replicas, resealing
from e4c2.audit import chain
from e4c2.audit.records import OWN, Act
from e4c2.providers import Provider, failing_kind, provider
from e4c2.resealing import Mark
from e4c2.rows import Kept, Realm
from e4c2.store.engine import Store
from e4core.errors import Conflict, E4Error, InvalidInput, KmsError, StorageError, Tampered
from e4core.kms import Kms
from e4kms import deks as wrapping
from e4kms.deks import Dek, Purpose, State
from e4kms.keyring import Keyring, Lease

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
LONGEST_PAUSE_S = 30.0
FOLLOWED_WITHIN_S = 15.0
"""In which all other C2 at work on this database must hold a new version, else it is not taken into use."""


class Locksmith:
    """Runs beside the courier; one a database."""

    def __init__(self, store: Store, realm: Realm, database_id: bytes, kmses: Mapping[str, Kms], lease: Lease) -> None:
        self._store = store
        self._realm = realm
        self._database_id = database_id
        self._kmses = kmses
        self._lease = lease
        self._changing = asyncio.Lock()
        self._behind = asyncio.Event()
        self.failure: str | None = None
        """Why the lease of the keys could not be renewed lately."""
        self.failing = ""
        """Which KMSes failed then, for whoever asks: their places in the settings, and neither names nor addresses."""
        self.stopped: str | None = None
        """Why rows are not put under the newest keys any more, until the next rotation or start."""
        self.passed_over = 0
        """Rows that the last resealing left under their former keys, as they were tampered with."""
        self._told: set[str] = set()
        self.held = b""
        """`e4c2.deks.fingerprint` of the versions that the keyring was renewed from last; empty: at the start."""

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep())
            tasks.create_task(self._reseal())

    async def providers(self) -> list[Provider]:
        """All configured KMSes, in their order, asked at the same time."""
        return await asyncio.gather(*[provider(uri, kms) for uri, kms in self._kmses.items()])

    async def rotate(self, purpose: Purpose, version: int, by: Act = OWN) -> Dek:
        """Make the version that follows ``version`` and use it for all that is new; what is old follows by and by.

        Raises: Conflict: that one is not active, a KMS that is not configured opens it too, or rows of the rotation before are
        still behind. KmsError: a configured KMS did not wrap it, or not open it again; then the version is prepared, and the next
        call goes on with it.
        """
        async with self._changing:
            self._behind.set()  # perhaps what had stopped it was mended meanwhile
            prepared, following = await self._store.read(deks.following, self._realm, self._kmses, purpose, version)
            if not prepared:
                made = await asyncio.to_thread(
                    wrapping.create, purpose, following, self._database_id, self._kmses, State.PREPARED
                )
                await self._write(by.step("dek_made", key_acts.name(purpose, following)), deks.add, made)
            await self._renew()  # held first, so that nothing is ever sealed that could not be opened
            await self._followed()
            await self._activate(purpose, following, by)
        return await self._store.read(deks.require, purpose, following)

    async def add_wrap(self, purpose: Purpose, version: int, uri: str, first: bool, by: Act = OWN) -> Dek:
        """Raises: NotFound. Conflict: it has one. InvalidInput: not configured. KmsError."""
        kms = self._kms(uri)

        def add(dek: Dek) -> Dek:
            root = wrapping.unwrap(dek, self._database_id, self._kmses)
            return wrapping.add_wrap(dek, self._database_id, root, uri, kms, first=first)

        return await self._rewrapped(purpose, version, add, by)

    async def remove_wrap(self, purpose: Purpose, version: int, uri: str, dry_run: bool = False, by: Act = OWN) -> Dek:
        """Args: dry_run: only say whether it would be refused.

        Raises: NotFound. Conflict: it is the last, or no other opens now. KmsError.
        """

        def remove(dek: Dek) -> Dek:
            left = wrapping.remove_wrap(dek, uri)
            try:
                wrapping.unwrap(left, self._database_id, self._kmses)
            except KmsError as error:
                raise Conflict(f"without its wrap by {uri} nothing opens {dek} now: {error}") from error
            return left

        return await self._rewrapped(purpose, version, remove, by, dry_run)

    async def rewrap(self, purpose: Purpose, version: int, uri: str, by: Act = OWN) -> Dek:
        """Put a wrap under the newest version of the key at ``uri``. Raises: as `add_wrap`. Tampered."""
        change = partial(wrapping.rewrap, database_id=self._database_id, uri=uri, kms=self._kms(uri))
        return await self._rewrapped(purpose, version, change, by)

    async def check_wrap(self, purpose: Purpose, version: int, uri: str) -> str | None:
        """Prove that a wrap opens to what was made; which of its shares do not, if it has any (None: all do).

        Raises: NotFound. InvalidInput: not configured. Tampered. KmsError.
        """
        kms = self._kms(uri)
        dek = await self._store.read(deks.require, purpose, version)
        return await asyncio.to_thread(wrapping.check_wrap, dek, self._database_id, uri, kms)

    async def retire(self, purpose: Purpose, version: int, dry_run: bool = False, by: Act = OWN) -> Dek:
        """Destroy a former version that no row names: this database has no wrap of it any more.

        A backup has its own wraps, and opens as long as a KMS opens one of them.
        Args: dry_run: only say whether it would be refused.
        Raises: NotFound. Conflict.
        """
        if dry_run:
            return await self._store.read(deks.retirable, self._realm, purpose, version)
        async with self._changing:
            await self._write(by.step("dek_retired", key_acts.name(purpose, version)), deks.retire, purpose, version)
            self._realm.keyring.forget(purpose, version)
        return await self._store.read(deks.require, purpose, version)

    async def _keep(self) -> None:
        """Renew the lease in time; when it could not be, forget the keys at its end."""
        keyring, pause, is_lost = self._realm.keyring, LOOK_EVERY_S, False
        while True:
            await asyncio.sleep(pause)
            try:
                if not keyring.half_over and not await self._is_behind():
                    continue
                async with self._changing:
                    await self._renew()
                    self._behind.set()  # whoever rotated may have died before all rows had followed
            except E4Error as error:
                if str(error) != self.failure:
                    log.error("the keys of the database could not be unwrapped anew: %s", error)
                self.failure = str(error)
                if not keyring.seconds_left:
                    self._realm.expire()
                self.failing = await self._failing()
                pause = min(pause * 2, LONGEST_PAUSE_S, max(keyring.seconds_left, LOOK_EVERY_S))
                is_lost = is_lost or await self._tell(events.Kind.KMS_LOST)
            else:
                pause = LOOK_EVERY_S
                is_lost = is_lost and not await self._tell(events.Kind.KMS_BACK)

    async def _tell(self, kind: events.Kind) -> bool:
        """Whether it could be."""
        with suppress(StorageError):
            await self._store.write(events.tell, self._realm, kind)
            return True
        return False

    async def _renew(self) -> None:
        stored = await self._store.read(deks.load)
        fresh = await asyncio.to_thread(Keyring.unwrap, stored, self._database_id, self._kmses, self._lease)
        # what nobody had verified named these keys: it must be true before one of them is used
        await self._store.read(
            deks.verify_as_read, replace(self._realm, keyring=fresh, channels=Kept(), verified=Kept()), stored
        )
        for uri in sorted(fresh.passed_over - self._realm.keyring.passed_over):
            log.warning("%s did not answer; the next KMS did", uri)
        self._realm.keyring.renew(fresh)
        self.held = deks.fingerprint(stored)
        self.failure, self.failing = None, ""

    async def _is_behind(self) -> bool:
        """Whether another C2 has changed the DEKs."""
        return self._store.is_shared and deks.fingerprint(await self._store.read(deks.load)) != self.held

    async def _followed(self) -> None:
        """Wait until all C2 at work on this database hold the same DEKs. Raises: Conflict: one does not."""
        until = asyncio.get_running_loop().time() + FOLLOWED_WITHIN_S
        while self._store.is_shared and await self._store.write(replicas.hold) != {self.held}:
            if asyncio.get_running_loop().time() > until:
                raise Conflict(
                    "another C2 on this database does not hold the new version of the DEK, so nobody uses it yet; see that its"
                    " KMS answers, then rotate again"
                )
            await asyncio.sleep(LOOK_EVERY_S)

    async def _reseal(self) -> None:
        """Go on with what a crash interrupted, then with each rotation."""
        is_resumed = False
        while True:
            self._behind.clear()
            self.stopped = None
            try:
                if (
                    not is_resumed
                ):  # only what was there at the start: what is prepared now may be another C2's, at work on it
                    await self._resume()
                    is_resumed = True
                await self._reseal_all()
            except Tampered as error:
                self.stopped = str(error)
                log.error("resealing stopped, and goes on after the next rotation or start: %s", error)
            except (KmsError, StorageError, Conflict) as error:
                log.warning("resealing waits: %s", error)
                await asyncio.sleep(LONGEST_PAUSE_S)
                continue
            await self._behind.wait()

    async def _resume(self) -> None:
        async with self._changing:
            for dek in await self._store.read(deks.load):
                if dek.state is State.PREPARED:
                    await self._activate(dek.purpose, dek.version)

    async def _reseal_all(self) -> None:
        """Raises: Tampered: there are rows that were passed over."""
        mark: Mark | None = None
        passed_over: dict[str, Tampered] = {}
        while True:
            batch = await self._store.write(resealing.reseal, self._realm, mark)
            passed_over |= batch.passed_over
            self.passed_over = len(passed_over)
            for row in sorted(batch.passed_over.keys() - self._told):
                self._told.add(row)
                log.error("the row %s stays under its former key: %s", row, batch.passed_over[row])
            if (mark := batch.after) is None:
                break
            await asyncio.sleep(0)  # whoever wants to change something has its turn first
        for error in passed_over.values():
            raise Tampered(
                "rows that somebody changed in the database stay under their former keys, and are to be restored from a backup:"
                f" {len(passed_over)}, one of them as {error}"
            )
        await self._retire_former()

    async def _retire_former(self) -> None:
        """What all rows have left is destroyed at once, for who knows it must gain nothing by that."""
        async with self._changing:
            if self._store.is_shared:  # the new states are told too, or they are waited for
                await self._renew()
            await self._followed()
            for dek in await self._store.write(key_acts.retire_former, self._realm):
                self._realm.keyring.forget(dek.purpose, dek.version)
                log.info("nothing is under %s any more; it is destroyed", dek)

    async def _activate(self, purpose: Purpose, version: int, by: Act = OWN) -> None:
        async def activate() -> None:
            await self._write(
                by.step(key_acts.ACTIVATED, key_acts.name(purpose, version)), deks.activate, purpose, version
            )
            self._behind.set()

        await _whole(activate())

    async def _rewrapped(
        self, purpose: Purpose, version: int, change: Callable[[Dek], Dek], by: Act, dry_run: bool = False
    ) -> Dek:
        async with self._changing:
            before = await self._store.read(deks.require, purpose, version)
            if before.state is State.RETIRED:
                raise Conflict(f"{before} is retired; nothing opens it any more")
            after = await asyncio.to_thread(change, before)
            if dry_run:
                return before
            act = by.step("dek_wraps_changed", key_acts.name(purpose, version))
            await self._write(act, lambda db, _realm: deks.put_wraps(db, before, after))
        return after

    async def _write(self, act: Act, change: Callable[..., None], *args: Any) -> None:
        await self._store.write(chain.recorded, self._realm, act, change, *args)

    async def _failing(self) -> str:
        kinds = await asyncio.gather(*[asyncio.to_thread(failing_kind, kms) for kms in self._kmses.values()])
        numbered = zip(count(1), self._kmses, kinds, strict=False)
        told = [f"number {number}, {uri.partition(':')[0]} ({kind})" for number, uri, kind in numbered if kind]
        return f"; of the KMSes in the C2's settings these fail: {', '.join(told)}" if told else ""

    def _kms(self, uri: str) -> Kms:
        if uri not in self._kmses:
            raise InvalidInput(f"{uri} is not among the KMSes of the settings: {', '.join(self._kmses)}")
        return self._kmses[uri]


async def _whole(work: Coroutine[None, None, None]) -> None:
    """Finish ``work`` also when cancelled in the midst of it, and only then be so: half of it must never stay."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and (error := task.exception()) is not None:
        log.error("what was cancelled failed: %s", error)
    if cancelled:
        raise asyncio.CancelledError
    task.result()
