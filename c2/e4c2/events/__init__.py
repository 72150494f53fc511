# SPDX-License-Identifier: Apache-2.0
"""What has happened: told in the transaction of the change itself, kept for a while, read in order by whoever follows.

`e4c2.events.log` holds them; `e4c2.events.feed` wakes those who listen; webhooks push them to others.
"""

from __future__ import annotations

from e4c2.events.log import tell, tell_each
from e4c2.model import EventKind as Kind

__all__ = ["Kind", "tell", "tell_each"]
