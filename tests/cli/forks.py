# SPDX-License-Identifier: Apache-2.0
"""Runs ``e4`` in forks of a process that has loaded it: to start Python and load it all takes most of a short command's time.

What runs is a process as any other, with its own arguments, environment, folder and standard streams. ``python -m tests.cli.forks``
is the process that forks; its standard input is the socket on which it is asked. The program itself, as it is installed, is run
where a test names it (`tests.cli.command.PROGRAM`), and by the guides.
"""

from __future__ import annotations

import atexit
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock, Thread
from typing import NoReturn

ROOT = Path(__file__).parents[2]
_LOADED = ("typer._adapters", "rich.table", "rich.progress", "nacl.bindings", "e4backends.sk", "e4backends.pk")
_LONGEST = 1 << 20


class Forks:
    """The process that forks, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket: socket.socket | None = None

    def run(
        self, arguments: Sequence[str], stdin: bytes, env: Mapping[str, str], cwd: Path | None, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """As `subprocess.run`. Raises: subprocess.TimeoutExpired: it was killed."""
        with TemporaryFile() as out, TemporaryFile() as err:
            source, sink = os.pipe()
            writer = Thread(target=_feed, args=(sink, stdin), daemon=True)
            request = json.dumps([arguments, dict(env), str(cwd or Path.cwd())]).encode()
            with self._ask(request, [source, out.fileno(), err.fileno()]) as answers:
                os.close(source)
                writer.start()
                pid, code = _followed(answers, timeout)
            if code is None:
                raise subprocess.TimeoutExpired(list(arguments), timeout, out.read(), err.read())
            writer.join()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess([str(pid), *arguments], code, out.read(), err.read())

    def _ask(self, request: bytes, streams: list[int]) -> socket.socket:
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            if self._socket is None:
                self._socket = _started()
            socket.send_fds(self._socket, [request], [theirs.fileno(), *streams])
        return ours


def _started() -> socket.socket:
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST)
    with theirs:
        process = subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs.fileno(), cwd=ROOT)
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _feed(sink: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(sink, "wb", buffering=0) as pipe:  # it may not want to know
        pipe.write(data)


def _followed(answers: socket.socket, timeout: float) -> tuple[int, int | None]:
    """Process id and exit status; no status: it took too long, and was killed."""
    with answers.makefile("r") as lines:
        pid = int(lines.readline())
        if select.select([answers], [], [], timeout)[0]:
            return pid, int(lines.readline())
    os.kill(pid, signal.SIGKILL)
    return pid, None


# ------------------------------------------------------------------------------------------- the process that forks


def main() -> None:
    for package in ("e4cli", "e4device", "e4transports"):
        for module in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    for name in _LOADED:
        import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    running: dict[int, socket.socket] = {}
    while True:
        readable, _, _ = select.select([requests.fileno(), woken], [], [])
        if woken in readable:
            os.read(woken, 1024)
            _reap(running)
        if requests.fileno() in readable:
            request, streams, _, _ = socket.recv_fds(requests, _LONGEST, 4)
            if not request:
                return
            answers = socket.socket(fileno=streams.pop(0))
            pid = os.fork()
            if not pid:
                _become(request, streams)
            for stream in streams:
                os.close(stream)
            answers.sendall(b"%d\n" % pid)
            running[pid] = answers


def _reap(running: dict[int, socket.socket]) -> None:
    for pid in list(running):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            with running.pop(pid) as answers:
                answers.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(request: bytes, streams: list[int]) -> NoReturn:
    """What Python does when it starts, for what has changed since."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        for standard, stream in enumerate(streams):
            os.dup2(stream, standard)
        os.closerange(3, max(streams) + 64)
        arguments, env, folder = json.loads(request)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(folder)
        sys.argv = ["e4", *arguments]
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
        from e4cli.start import main as e4

        try:
            e4()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
