# SPDX-License-Identifier: Apache-2.0
"""Messages as commands show them."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from e4cli.output import Row

if TYPE_CHECKING:
    from e4core.message import Message


def fields(topic: str, message: Message) -> Row:
    """For scripts. ``text`` is null where the payload is no UTF-8; ``timestamp`` is the sender's, in Unix seconds."""
    return {
        "topic": topic,
        "payload_base64": b64encode(message.payload).decode(),
        "text": _text(message.payload),
        "sender": message.sender.hex() if message.sender else None,
        "authenticated": message.authenticated,
        "epoch": message.epoch,
        "timestamp": message.timestamp,
        "repeated": message.repeated,
        "sequence": message.sequence,
    }


def line(topic: str, message: Message) -> str:
    """For people."""
    text = _text(message.payload)
    shown = text if text is not None else f"base64:{b64encode(message.payload).decode()}"
    sender = f" {message.sender.hex()}" if message.sender else ""
    claimed = " (claimed)" if sender and not message.authenticated else ""
    return f"{topic}{sender}{claimed}: {shown}"


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None
