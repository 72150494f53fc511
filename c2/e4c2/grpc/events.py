# SPDX-License-Identifier: Apache-2.0
"""The data of server-sent events, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def events(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What each event says. Comments, which keep a connection alive, say nothing."""
    left = b""
    async for part in parts:
        *whole, left = (left + part).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in whole:
            data = [line.removeprefix(b"data:").strip() for line in event.split(b"\n") if line.startswith(b"data:")]
            if data:
                yield b"\n".join(data)
