# SPDX-License-Identifier: Apache-2.0
"""Serving the port protocol over standard input and output, TCP, or a serial line."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from e4conformance.ports.links import raw, serial_target, tcp_target
from e4conformance.ports.request import bad, refused
from e4core.control2 import LONGEST

LINE = 2 * LONGEST + 4096
"""Bytes of the longest request, its newline included."""

Answers = Callable[[bytes], bytes]


class _Reading(Protocol):
    def readline(self, size: int = -1, /) -> bytes: ...


class _Writing(Protocol):
    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> None: ...


def run(make: Callable[[], Answers], address: str) -> None:
    """Until the other end closes; on TCP for ever. Args: make: a new port.  address: empty: standard input and output.

    Raises: InvalidInput: the address. OSError.
    """
    if address.startswith("tcp:"):
        _listen(make, address)
    elif address:
        path, speed = serial_target(address)
        with Path(path).open("r+b", buffering=0) as line, os.fdopen(os.dup(line.fileno()), "rb") as reading:
            raw(line.fileno(), speed)
            print(f"on {path}", file=sys.stderr, flush=True)
            serve(make(), reading, line)
    else:
        serve(make(), sys.stdin.buffer, sys.stdout.buffer)


def serve(answer: Answers, reading: _Reading, writing: _Writing) -> None:
    """Until the other end closes."""
    while line := reading.readline(LINE + 1):
        if len(line) > LINE:
            while line and not line.endswith(b"\n"):
                line = reading.readline(LINE)
            writing.write(refused(None, bad(f"a request has at most {LINE} bytes")))
        elif line.endswith(b"\n"):
            writing.write(answer(line))
        writing.flush()


def _listen(make: Callable[[], Answers], address: str) -> None:
    """One connection after the other, with a new port for each."""
    with socket.create_server(tcp_target(address)) as server:
        host, number = server.getsockname()[:2]
        print(f"listening on tcp://{host}:{number}", file=sys.stderr, flush=True)
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as stream:
                try:
                    serve(make(), stream, stream)
                except ConnectionError:
                    continue
