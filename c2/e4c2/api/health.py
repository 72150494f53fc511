# SPDX-License-Identifier: Apache-2.0
"""Whether the C2 can do its work: each part is tried for real, at most once in a while however often anybody asks."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Literal, cast

import sqlalchemy as sa
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from e4c2.access.grants import Permission
from e4c2.api.caller import Asking
from e4c2.api.objects import WHOLE
from e4c2.api.parts import C2
from e4c2.model import outbox, realm, replica
from e4c2.store.server_time import server_time
from e4core.errors import E4Error, KmsUnavailable, StorageError, TransportError

router = APIRouter(prefix="/v1", tags=["c2"])
probes = APIRouter(tags=["c2"], include_in_schema=False)

RELEASE = version("e4core")
GOOD_FOR_S = 2.0
DATABASE_WITHIN_S = 10.0
CLOCK_OFF_S = 60.0
"""So far the clock may be behind what it was, and from that of the database server: it is set, and to ask takes time."""
DISK_MIN = 256 * 1024 * 1024
"""Bytes that should be free."""
DISK_LEAST = 1024 * 1024
"""With less it is full, even if the database finds room for a while in the files that it has."""


class PartState(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    """The C2 works, and somebody should look soon."""
    FAILED = "failed"
    """It does not do all its work."""


@dataclass(frozen=True, slots=True)
class Check:
    """Of one part; ``detail`` says what to do, and is empty when all is well."""

    name: str
    state: PartState
    detail: str
    error: E4Error | None = None


class Health:
    """Of one C2."""

    def __init__(self, c2: C2) -> None:
        self._c2 = c2
        self._latest = 0.0
        self._looking = asyncio.Lock()
        self._checks: tuple[Check, ...] = ()
        self._good_until = 0.0

    async def checks(self) -> tuple[Check, ...]:
        """Of all parts."""
        async with self._looking:
            if time.monotonic() >= self._good_until:
                self._checks = tuple([await self._check(name, look) for name, look in _LOOKS.items()])
                self._good_until = time.monotonic() + GOOD_FOR_S
            return self._checks

    async def require(self) -> PartState:
        """Raises: StorageError; KmsUnavailable; TransportError: what fails first."""
        checks = await self.checks()
        for check in checks:
            if check.error is not None:
                raise check.error
        return max((check.state for check in checks), key=list(PartState).index)

    async def _check(self, name: str, look: Callable[[Health], Awaitable[str | None]]) -> Check:
        try:
            warning = await look(self)
        except E4Error as error:
            return Check(name, PartState.FAILED, str(error), error)
        return Check(name, PartState.DEGRADED if warning else PartState.OK, warning or "")

    async def database(self) -> None:
        """A transaction that writes: a database that may only be read shows in nothing less, and a full disk at times in more."""
        try:
            async with asyncio.timeout(DATABASE_WITHIN_S):
                await self._c2.store.write(_touch)
        except TimeoutError:
            raise StorageError(f"the database did not take a change within {DATABASE_WITHIN_S:.0f} s") from None
        if full := self._c2.store.full:
            raise StorageError(f"the disk of the database is full; make room ({full})")

    async def keys(self) -> None:
        if self._c2.locksmith.failure:
            raise KmsUnavailable(f"the keys of the database could not be opened anew{self._c2.locksmith.failing}")

    async def c2_key(self) -> None:
        if self._c2.courier.failure:
            raise KmsUnavailable

    async def broker(self) -> None:
        if not self._c2.transport.connected:
            raise TransportError

    async def clock(self) -> str | None:
        """Commands sealed while it is behind are old to devices, and tokens live longer than they should.

        At a database server the clock of that is the judge, as what is newest in the database may be of a C2 that is ahead.
        Both may go back together, and nobody here can tell whether that is wrong now, or was before.
        """
        now, judge, newest = await self._c2.store.read(_times, self._c2.realm.clock)
        if (apart := abs(now - judge)) > CLOCK_OFF_S:
            how = "ahead of" if now > judge else "behind"
            return f"the clock is {apart:.0f} s {how} the database server's; set it, or the server's if each C2 says so"
        self._latest = max(self._latest, judge, newest)
        behind = self._latest - judge
        said = f"the clock is {behind:.0f} s behind what it was; set it, unless it was ahead until then"
        return said if behind > CLOCK_OFF_S else None

    async def disk(self) -> str | None:
        for folder in self._c2.folders:
            free = shutil.disk_usage(folder).free
            if free < DISK_LEAST:
                raise StorageError(f"the disk is full where {folder} is; make room")
            if free < DISK_MIN:
                return f"{free // 2**20} MiB are free where {folder} is; make room"
        return None

    async def certificate(self) -> str | None:
        of = self._c2.certificates
        return of.warning(self._c2.realm.clock()) if of else None


_LOOKS: Mapping[str, Callable[[Health], Awaitable[str | None]]] = {
    "database": Health.database,
    "keys": Health.keys,
    "c2_key": Health.c2_key,
    "broker": Health.broker,
    "clock": Health.clock,
    "disk": Health.disk,
    "certificate": Health.certificate,
}


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    status: Literal["ok", "degraded"] = Field(
        description="degraded: it works, and `/v1/c2/health` says what to look at soon"
    )


class Part(BaseModel):
    name: str = Field(description=f"one of {', '.join(_LOOKS)}")
    state: PartState
    detail: str = Field(description="what is wrong, and what to do; empty when nothing is")


class Condition(BaseModel):
    status: PartState = Field(description="the worst of its parts")
    parts: list[Part]
    release: str = Field(description="of the C2 that answers")
    time: float = Field(description="of its clock")
    replicas: int = Field(description="C2 processes at work on its database")


@probes.get("/livez")
@router.get("/health", summary="Whether the process answers; needs no token")
async def health() -> Alive:
    return Alive()


@probes.get("/readyz")
@router.get("/ready", summary="Whether database, broker and KMS can be used; needs no token")
async def ready(request: Request) -> Readiness:
    """503 `storage`: the database takes no change. 503 `transport`: the broker. 503 `kms_unavailable`: the database's keys could
    not be unwrapped anew, or commands and reports wait for the token of the C2's own key. `/readyz` is the same.
    """
    state = await cast(Health, request.app.state.health).require()
    return Readiness(status="ok" if state is PartState.OK else "degraded")


@router.get("/c2/health", summary="How each part of the C2 is, and what to do about it")
async def parts(asking: Asking, request: Request) -> Condition:
    await asking.admit(Permission.C2_READ, WHOLE)
    checks = await cast(Health, request.app.state.health).checks()
    found = [Part(name=check.name, state=check.state, detail=check.detail) for check in checks]
    return Condition(
        status=max((part.state for part in found), key=list(PartState).index),
        parts=found,
        release=RELEASE,
        time=asking.c2.realm.clock(),
        replicas=await asking.c2.store.read(_replicas),
    )


def _touch(db: sa.Connection) -> None:
    db.execute(sa.update(realm).values(created=realm.c.created))


def _replicas(db: sa.Connection) -> int:
    return db.scalar(sa.select(sa.func.count()).select_from(replica)) or 0


def _times(db: sa.Connection, clock: Callable[[], float]) -> tuple[float, float, float]:
    """Now, by this clock and by the one that judges it, and when the newest command was ordered, where this clock is the judge."""
    there, now = server_time(db), clock()
    if there is not None:
        return now, there, 0.0
    return now, now, db.scalar(sa.select(outbox.c.created).order_by(outbox.c.id.desc()).limit(1)) or 0.0
