# SPDX-License-Identifier: Apache-2.0
"""A socket that reads and writes in bulk.

paho reads a packet in three steps of a few bytes, and writes each packet alone. Every step is a system call, which hands the
interpreter's lock to other threads, and every small write wakes the broker.
"""

from __future__ import annotations

import socket
import ssl

_BULK_LEN = 65536
_FAREWELL_S = 1.0
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BulkSocket:
    """Around a connected socket, with or without TLS: what arrived is read ahead, and what is to be sent waits for `flush`.

    Both are at most 64 KiB. The methods are those that paho uses.
    """

    def __init__(self, link: socket.socket) -> None:
        # without Nagle's algorithm, which waits up to 40 ms for an acknowledgement of TCP
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link = link
        self._arrived = b""
        self._unsent = b""
        self.fileno = link.fileno
        self.setblocking = link.setblocking
        self.shutdown = link.shutdown

    def waits(self) -> bool:
        """Something is still to be sent."""
        return bool(self._unsent)

    def pending(self) -> int:
        """Bytes that can be read, though nothing may arrive any more."""
        held = self._link.pending() if isinstance(self._link, ssl.SSLSocket) else 0
        return len(self._arrived) + held

    def recv(self, limit: int) -> bytes:
        data = self._arrived or self._link.recv(_BULK_LEN)
        self._arrived = data[limit:]
        return data[:limit]

    def send(self, data: bytes | bytearray) -> int:
        """Raises: BlockingIOError: enough waits already."""
        if len(self._unsent) >= _BULK_LEN:
            self.flush()
        room = _BULK_LEN - len(self._unsent)
        if not room:
            raise BlockingIOError
        self._unsent += data[:room]
        return min(room, len(data))

    def flush(self) -> None:
        """Send what can be sent now; that the link is dead shows when it is read next."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._link.send(self._unsent) :]
        except _LATER:
            pass
        except OSError:
            self._unsent = b""

    def close(self) -> None:
        """Send what waits, if the peer takes it within a second."""
        try:
            self._link.settimeout(_FAREWELL_S)
            self._link.sendall(self._unsent)
        except OSError:
            pass
        finally:
            self._link.close()
