# SPDX-License-Identifier: Apache-2.0
"""What a transport has to refuse, and with which error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from e4conformance.requirement import Unmet, text_of


async def refused(what: str, act: Callable[[], Awaitable[object]], kind: type[Exception]) -> Exception:
    """The error of this ``kind`` with which ``act`` ends. Raises: Unmet: it ends in another way; ``what`` was tried."""
    try:
        await act()
    except kind as error:
        return error
    except Exception as error:
        raise Unmet(f"{what}: raised {type(error).__name__} ({text_of(error)}), not {kind.__name__}") from error
    raise Unmet(f"{what}: accepted, where {kind.__name__} is due")
