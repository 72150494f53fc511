# SPDX-License-Identifier: Apache-2.0
"""Which request this is done for; whatever is logged on its behalf says so."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request at work in this context; None: what the C2 does by itself."""

_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def identify(given: str | None) -> str:
    """``given`` if it is 1 to 64 letters, digits and ``._:-``, else a new one."""
    return given if given is not None and _SANE.fullmatch(given) else secrets.token_hex(8)
