# SPDX-License-Identifier: Apache-2.0
"""Messages of a call: nobody is waited for without end, whether they come or go."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.message import Message

from e4c2.api.bodies import BODY_S
from e4c2.api.connection import LIMITS
from e4c2.api.status import TOO_SLOW
from e4core.errors import InvalidInput


def needed(message: Any) -> bytes:
    """The message of a call that has one. Raises: InvalidInput: it has none."""
    if message is grpc.aio.EOF:
        raise InvalidInput("the call came without its message")
    return bytes(message)


async def following(context: Any, within_s: float = BODY_S) -> Any:
    """The next message, or the end. Raises: InvalidInput."""
    try:
        async with asyncio.timeout(within_s):
            return await context.read()
    except TimeoutError:
        raise InvalidInput(f"no message arrived for {within_s:.0f} s; call again", kind=TOO_SLOW) from None


async def write(context: Any, message: Message) -> None:
    """Raises: InvalidInput: nobody takes it."""
    try:
        async with asyncio.timeout(LIMITS.answer_s):
            await context.write(message.SerializeToString())
    except TimeoutError:
        raise InvalidInput("the answer was not taken; call again", kind=TOO_SLOW) from None
