# SPDX-License-Identifier: Apache-2.0
"""Runs ``e4`` in forks of a process that has loaded it: to start Python and load it all takes most of a command's time.

What runs is a process as any other, with its own arguments, environment, folder and standard streams. ``e4 ...`` in a shell asks
for it through `script`, which passes on signals and ends as the command does. ``python -m tests.forks PATH`` is the process that
forks, and is asked on the Unix socket at PATH. The installed program runs where a test names it (`tests.cli.command.PROGRAM`).
"""

from __future__ import annotations

import atexit
import gc
import marshal
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from e4cli.main import command
from e4core import plugins
from e4core.errors import PluginError

ROOT = Path(__file__).parents[1]
_PACKAGES = ("e4cli", "e4cli.demo", "e4device", "e4transports", "e4c2", "e4c2.api", "e4c2.store")
_LOADED = (
    "typer._adapters",
    "typer._click.decorators",
    "typer.rich_utils",
    "rich.table",
    "rich.progress",
    "httpx2",
    "httpcore2",
    "anyio.streams.tls",
    "encodings.idna",
    "sqlite3",
    "uvicorn.lifespan.off",
    "nacl.bindings",
    "e4backends.sk",
    "e4backends.pk",
    "amqtt.broker",
)
_LONGEST = 1 << 20

# What -I and -S leave out, and modules in Python, make most of a start. A folder with plugins of its own needs the real program.
_SCRIPT = """#!{python} -IS
import os, sys
given = [number for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)) if stream]
folder = os.environ.get("PYTHONPATH")
if folder and os.path.isdir(folder) and any(name.endswith(".dist-info") for name in os.listdir(folder)):
    os.execv("{python}", ["{python}", "-m", "e4cli", *sys.argv[1:]])
import array, marshal, _signal as signal, _socket as socket
ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # the command may be at work before this knows its number
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.connect("{path}")
request = marshal.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), given])
link.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", given))])
process = int(link.recv(32))
for number in ends:
    signal.signal(number, lambda number, _: os.kill(process, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
status = int(link.recv(32))
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@cache
def forks() -> Path:
    """The socket of the process that forks, which lives as long as this one."""
    folder = Path(tempfile.mkdtemp(prefix="e4-forks-"))
    path = folder / "socket"
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-m", __name__, str(path)], stdin=read, cwd=ROOT)
    os.close(read)

    def end() -> None:
        os.close(write)
        process.wait()
        shutil.rmtree(folder)

    atexit.register(end)
    return path


@cache
def script() -> Path:
    """A folder for PATH with the program ``e4``."""
    path = forks()
    _connected().close()  # it has loaded all
    program = path.with_name("e4")
    program.write_text(_SCRIPT.format(python=sys.executable, path=path))
    program.chmod(0o755)
    return program.parent


def run(
    arguments: Sequence[str], stdin: bytes, env: Mapping[str, str], cwd: Path | None, timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """As `subprocess.run`. Raises: subprocess.TimeoutExpired: it was killed."""
    source, sink = os.pipe()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _connected() as link:
        request = marshal.dumps([list(arguments), dict(env), str(cwd or Path.cwd()), [0, 1, 2]])
        socket.send_fds(link, [request], [source, out.fileno(), err.fileno()])
        os.close(source)
        writer = threading.Thread(target=_feed, args=(sink, stdin))
        writer.start()
        link.recv(32)
        link.settimeout(timeout)
        try:
            code = int(link.recv(32))
        except TimeoutError:
            raise subprocess.TimeoutExpired(list(arguments), timeout) from None
        writer.join()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(arguments), code, out.read(), err.read())


def _connected() -> socket.socket:
    path = str(forks())
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    while True:
        try:
            link.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):  # it is still loading
            select.select([], [], [], 0.02)
        else:
            return link


def _feed(sink: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(sink, "wb", buffering=0) as pipe:  # it may not want to know
        pipe.write(data)


# ------------------------------------------------------------------------------------------- the process that forks


class _Server:
    """``running``: connections on which somebody waits, by process."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen()
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker)
        self._running: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Until standard input ends."""
        while True:
            links = {link.fileno(): process for process, link in self._running.items()}
            ready, _, _ = select.select([0, self._woken, self._listener.fileno(), *links], [], [])
            if 0 in ready:
                for process in self._running:
                    os.kill(process, signal.SIGKILL)
                return
            for link in links.keys() & set(ready):  # whoever asked is gone, and so is what it ran
                os.kill(links[link], signal.SIGKILL)
            if self._woken in ready:
                os.read(self._woken, 1024)
            self._reap()
            if self._listener.fileno() in ready:
                self._begin()

    def _reap(self) -> None:
        for process in list(self._running):
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                with self._running.pop(process) as link, suppress(OSError):
                    link.sendall(b"%d" % os.waitstatus_to_exitcode(status))

    def _begin(self) -> None:
        link, _ = self._listener.accept()
        request, streams, _, _ = socket.recv_fds(link, _LONGEST, 3)
        if not request:
            link.close()
            return
        process = os.fork()
        if not process:
            _become(request, streams)
        for stream in streams:
            os.close(stream)
        self._running[process] = link
        with suppress(OSError):
            link.sendall(b"%d" % process)


def _become(request: bytes, streams: list[int]) -> NoReturn:
    """What Python does when it starts, for what has changed since."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        arguments, env, folder, given = marshal.loads(request)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(folder)
        os.closerange(0, 3)
        for standard, stream in zip(given, streams, strict=True):
            os.dup2(stream, standard)
        os.closerange(3, max(streams, default=3) + 64)
        tempfile.tempdir = None  # it looks into the environment once
        sys.argv = ["e4", *arguments]
        sys.stdin = open(0, closefd=False) if 0 in given else None  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False) if 1 in given else None  # noqa: SIM115
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False) if 2 in given else None  # noqa: SIM115
        from e4cli.start import main as e4

        try:
            e4()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except BaseException:  # whatever it is, as there
            traceback.print_exc()
        threading._shutdown()  # type: ignore[attr-defined]  # who left a thread behind waits for it
        atexit._run_exitfuncs()
        code = _flushed(code)
    finally:
        os._exit(code)


def _flushed(code: int) -> int:
    """What Python ends with when it could not write what was left, and else ``code``."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # of whatever kind, as there
            code = 120
    return code


def main() -> None:
    for package in _PACKAGES:
        for module in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
            if not module.name.endswith(("__main__", "migrations")):
                import_module(module.name)
    for name in _LOADED:
        import_module(name)
    for name in plugins.names(plugins.SUITES):
        with suppress(PluginError):
            plugins.load_suite(name)
    command()
    gc.collect()
    gc.freeze()  # else a fork copies what it only looks at
    _Server(sys.argv[1]).serve()


if __name__ == "__main__":
    main()
