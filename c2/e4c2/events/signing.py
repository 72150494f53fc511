# SPDX-License-Identifier: Apache-2.0
"""How a webhook proves where it comes from: Standard Webhooks 1.0.0, symmetric signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime

from e4c2.events.log import Event
from e4core.keys import Secret

PREFIX = "whsec_"
_SECRET_LEN = 32


@dataclass(frozen=True, slots=True)
class Message:
    """``id``: the same at each try, and without a full stop, which ends it in what is signed."""

    id: str
    body: bytes


def secret() -> Secret:
    """32 random bytes as receivers are given them: ``whsec_``, then base64."""
    return Secret(PREFIX.encode() + base64.b64encode(os.urandom(_SECRET_LEN)))


def message(event: Event) -> Message:
    """A database that is restored numbers anew: so the id has the time, too."""
    what = {"id": event.id, "client": event.client, "topic": event.topic, **event.data}
    return made(f"evt_{event.id}_{int(event.created * 1000)}", event.kind, event.created, what)


def made(identity: str, kind: str, at: float, data: object) -> Message:
    """Args: at: when it happened, Unix seconds.  data: as JSON has it."""
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Message(identity, json.dumps({"type": kind, "timestamp": when, "data": data}).encode())


def headers(secret: Secret, message: Message, now: float) -> dict[str, str]:
    """Args: secret: as `secret` makes them.  now: of this try, Unix seconds."""
    key = base64.b64decode(bytes(secret).removeprefix(PREFIX.encode()))
    signed = f"{message.id}.{int(now)}.".encode() + message.body
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {"webhook-id": message.id, "webhook-timestamp": str(int(now)), "webhook-signature": f"v1,{signature}"}
