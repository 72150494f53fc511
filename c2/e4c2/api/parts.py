# SPDX-License-Identifier: Apache-2.0
"""What the API works on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from e4c2.access.limits import Limits
from e4c2.api.certificates import Certificates
from e4c2.delivery import Courier
from e4c2.events.feed import Feed
from e4c2.locksmith import Locksmith
from e4c2.notary import Notary
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4c2.telemetry.metrics import Metrics
from e4c2.telemetry.tracing import UNTRACED, Tracer
from e4core.transport import Transport

if TYPE_CHECKING:
    from e4c2.oidc.issuer import Issuer


@dataclass(frozen=True, slots=True)
class C2:
    """The parts of a running C2; ``broker`` is the URI that ``transport`` connects to."""

    store: Store
    realm: Realm
    transport: Transport
    courier: Courier
    locksmith: Locksmith
    broker: str
    metrics: Metrics
    feed: Feed
    notary: Notary
    limits: Limits
    folders: tuple[Path, ...] = ()
    """Where it writes."""
    certificates: Certificates | None = None
    """Of its listeners; None: they have none."""
    issuer: Issuer | None = None
    """Of OIDC tokens; None: none are taken."""
    tracer: Tracer = UNTRACED
    four_eyes_above: int | None = None
    """So many clients at once are removed without approval; None: nothing needs any."""
    protects: bool = False
    """Whether it protects messages of topics."""
    unprotects: bool = False
    """Whether it unprotects them."""
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the audit log is verified for a comparison with a checkpoint."""
