# SPDX-License-Identifier: Apache-2.0
"""What a witness keeps: the signed checkpoints of an audit log, one JSON object a line, in the order in which they came."""

from __future__ import annotations

import os
from pathlib import Path

from e4c2.audit.signing import Checkpoint, PublicKey
from e4c2.audit.statements import Statements
from e4cli.output import Stream, remark, show_event
from e4core.errors import E4Error, StorageError
from e4core.transport import Transport


def load(path: Path) -> list[Checkpoint]:
    """Raises: StorageError: it cannot be read. InvalidInput (``bad_checkpoint``)."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    return [Checkpoint.decode(line) for line in lines if line.strip()]


def append(path: Path, checkpoint: Checkpoint) -> None:
    """Raises: StorageError."""
    try:
        with path.open("ab") as file:
            file.write(checkpoint.encoded() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


async def watch(
    transport: Transport, topic: str, key: PublicKey, path: Path, kept: list[Checkpoint], output: Stream
) -> None:
    """Keep what arrives and is signed with ``key``; what is not is told, and ignored, for anybody may publish.

    Args: kept: what ``path`` holds.

    Raises: Tampered (``audit_forked``): two that are signed contradict each other. TransportError. StorageError.
    """
    Statements(key, kept)
    async with transport:
        await transport.subscribe(topic)
        show_event(output, {"event": "watching", "topic": topic}, f"watching {topic}; {len(kept)} are kept")
        async for incoming in transport:
            try:
                seen = Checkpoint.decode(incoming.payload)
                seen.verify(key)
            except E4Error as error:
                remark(f"ignored, as it is no checkpoint of this log: {error}")
                continue
            if seen in kept:
                continue
            kept.append(seen)
            append(path, seen)
            show_event(output, {"event": "checkpoint", **seen.document()}, f"record {seen.number}: {seen.hash.hex()}")
            Statements(key, kept)
