# SPDX-License-Identifier: Apache-2.0
"""Ways to a port: a child process, a TCP connection, a serial line. Lines go out and come in, each with a deadline."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import termios
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, urlsplit

from e4conformance.requirement import Unmet
from e4core.errors import InvalidInput, TransportError

ANSWER_MOST = 4 * 1024 * 1024
"""Longest line that a port may send, in bytes."""
_CHUNK = 65536
_CONNECT_S = 5.0
_END_S = 1.0
_TOLD = 3
"""Lines of stderr that are shown."""
_TOLD_LEN = 300


class PortFault(Unmet):
    """The port does not keep to the protocol: it hangs, ends, or sends what is no answer."""


@dataclass
class Link:
    """Two file descriptors, which may be one, and how they are given up. Args: told: what the port said beside its answers."""

    reading: int
    writing: int
    close: Callable[[], None]
    told: Callable[[], bytes] = bytes
    _rest: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        for descriptor in {self.reading, self.writing}:
            os.set_blocking(descriptor, False)

    def send(self, data: bytes, deadline_s: float) -> None:
        """Raises: PortFault."""
        end, left = time.monotonic() + deadline_s, memoryview(data)
        while left:
            self._wait(self.writing, select.POLLOUT, end, "takes no request")
            try:
                left = left[os.write(self.writing, left) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise PortFault(f"the port has gone ({error.strerror})") from error

    def line(self, deadline_s: float) -> bytes:
        """The next line, without its end. Raises: PortFault."""
        end = time.monotonic() + deadline_s
        searched = 0
        while (found := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > ANSWER_MOST:
                raise PortFault(f"the port sends a line of more than {ANSWER_MOST} bytes")
            self._wait(self.reading, select.POLLIN, end, "does not answer")
            self._rest += self._read()
        line = bytes(self._rest[:found])
        del self._rest[: found + 1]
        return line

    def is_quiet(self, wait_s: float) -> bool:
        """Whether nothing more comes in this time."""
        return not self._rest and not _poll(self.reading, select.POLLIN, wait_s)

    def _read(self) -> bytes:
        try:
            data = os.read(self.reading, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PortFault(f"the port has gone ({error.strerror})") from error
        if not data:
            raise PortFault("the port has ended")
        return data

    def _wait(self, descriptor: int, event: int, end: float, what: str) -> None:
        if not _poll(descriptor, event, end - time.monotonic()):
            raise PortFault(f"the port {what} in time")


def said(data: bytes) -> str:
    """The last lines of ``data``, for people."""
    lines = [line.strip()[:_TOLD_LEN] for line in data.decode(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_TOLD:])


def opener(target: str) -> Callable[[], Link]:
    """How to reach ``target``: ``COMMAND ARGUMENTS``, ``tcp://HOST:PORT`` or ``serial:/dev/...[?baud=115200]``.

    Raises: InvalidInput (``bad_uri``). What is given back raises TransportError.
    """
    if target.startswith("tcp:"):
        return _tcp(target)
    if target.startswith("serial:"):
        return _serial(target)
    return _command(target)


def raw(descriptor: int, speed: int) -> None:
    """Every byte as it is, nothing echoed. Args: speed: as `termios` has it, ``termios.B115200``."""
    tty.setraw(descriptor, termios.TCSANOW)
    settings = termios.tcgetattr(descriptor)
    settings[4] = settings[5] = speed
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)


def serial_target(target: str) -> tuple[str, int]:
    """Device and speed of ``serial:...``. Raises: InvalidInput (``bad_uri``)."""
    parts = _split(target)
    options = dict(parse_qsl(parts.query))
    baud = options.pop("baud", "115200")
    speed = getattr(termios, f"B{baud}", None) if baud.isdecimal() else None
    if parts.scheme != "serial" or parts.netloc or not parts.path or options or speed is None:
        text = f"{target!r} is no serial line; write serial:/dev/ttyUSB0 or serial:/dev/ttyUSB0?baud=115200"
        raise InvalidInput(text, kind="bad_uri")
    return parts.path, speed


def tcp_target(target: str) -> tuple[str, int]:
    """Host and port of ``tcp://...``. Raises: InvalidInput (``bad_uri``)."""
    parts = _split(target)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.path.strip("/") or parts.query:
        raise InvalidInput(f"{target!r} is no address; write tcp://HOST:PORT", kind="bad_uri")
    return host, port


def _split(target: str) -> SplitResult:
    try:
        return urlsplit(target)
    except ValueError as error:
        raise InvalidInput(
            f"{target!r} cannot be read: {error}; write an IPv6 address as [::1]", kind="bad_uri"
        ) from error


def _command(target: str) -> Callable[[], Link]:
    try:
        words = shlex.split(target)
    except ValueError as error:
        raise InvalidInput(f"{target!r} is no command: {error}", kind="bad_uri") from error
    if not words:
        raise InvalidInput("a port needs a command, tcp://HOST:PORT or serial:/dev/...", kind="bad_uri")

    def start() -> Link:
        told = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the link
        try:
            child = subprocess.Popen(  # noqa: S603  # the command is what the user asks to examine
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told, bufsize=0, start_new_session=True
            )
        except OSError as error:
            told.close()
            raise TransportError(
                f"{words[0]} does not start: {error.strerror}; give a command that can be run"
            ) from error
        assert child.stdin and child.stdout
        inward, outward = child.stdin, child.stdout

        def close() -> None:
            inward.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_END_S)  # one that ends by itself may have something to tell of itself, as sanitisers do
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            outward.close()
            told.close()

        return Link(outward.fileno(), inward.fileno(), close, lambda: os.pread(told.fileno(), 1 << 20, 0))

    return start


def _tcp(target: str) -> Callable[[], Link]:
    address = tcp_target(target)

    def connect() -> Link:
        try:
            connection = socket.create_connection(address, _CONNECT_S)
        except OSError as error:
            raise TransportError(
                f"nobody answers at {target}: {error.strerror or error}; start the port there"
            ) from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Link(connection.fileno(), connection.fileno(), connection.close)

    return connect


def _serial(target: str) -> Callable[[], Link]:
    path, speed = serial_target(target)

    def open_line() -> Link:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            raw(descriptor, speed)
            termios.tcflush(descriptor, termios.TCIOFLUSH)
        except (OSError, termios.error) as error:
            raise TransportError(f"{path} cannot be used as a serial line: {error}") from error
        return Link(descriptor, descriptor, lambda: os.close(descriptor))

    return open_line


def _poll(descriptor: int, event: int, wait_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(0.0, wait_s) * 1000))
