# SPDX-License-Identifier: Apache-2.0
"""Requests over a few connections that are kept, as fast as they are answered; who asks costs little beside who answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

CONNECTIONS = 8
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


def request(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """The bytes of a request."""
    head = [
        f"{method} {path} HTTP/1.1",
        "Host: bench",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
    ]
    head += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join(head).encode() + _END + body


def each_s(port: int, requests: Sequence[bytes], status: int) -> float:
    """Seconds a request, all of which must be answered with ``status``."""
    return asyncio.run(_ask(port, requests, status)) / len(requests)


async def _ask(port: int, requests: Sequence[bytes], status: int) -> float:
    waiting = list(reversed(requests))
    links = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]

    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while waiting:
            writer.write(waiting.pop())
            head = (await reader.readuntil(_END)).lower()
            length = int(head.partition(_LENGTH)[2].partition(b"\r\n")[0] or 0)
            body = await reader.readexactly(length)
            if int(head[9:12]) != status:
                raise SystemExit(f"answered with {head[9:12].decode()}: {body.decode()}")

    begun = time.perf_counter()
    await asyncio.gather(*(work(*link) for link in links))
    taken = time.perf_counter() - begun
    for _, writer in links:
        writer.close()
    return taken
