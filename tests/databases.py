# SPDX-License-Identifier: Apache-2.0
"""Real database servers, each started in a temporary folder at a free port; a test gets a database of its own in one."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from e4c2.store.address import Address
from tests.servers import free_port, tool, wait_for_port

Kind = Literal["postgresql", "mariadb"]
KINDS: tuple[Kind, ...] = ("postgresql", "mariadb")
_STOP: dict[Kind, signal.Signals] = {"postgresql": signal.SIGINT, "mariadb": signal.SIGTERM}
_STOP_S = 20.0
_IN_MEMORY = os.access("/dev/shm", os.W_OK)
_USER = "e4"


@dataclass
class DatabaseServer:
    """Started, stopped and killed by the test; what was committed outlives all of these."""

    folder: Path
    port: int
    _command: list[str]
    _sql: list[str]
    _kind: Kind
    _as: str | None
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, user=self._as, group=_group(self._as), cwd=self.folder
            )
        wait_for_port(self.port, self._process)

    def stop(self, how: signal.Signals | None = None) -> None:
        """Not waiting for those who are connected."""
        how = how or _STOP[self._kind]
        process, self._process = self._process, None
        if process:
            process.send_signal(how)
            process.wait(_STOP_S)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._kind == "postgresql" and self._process:  # its children notice only when they are asked
            subprocess.run(["pkill", "-KILL", "-P", str(self._process.pid)], check=False)
        self.stop(signal.SIGKILL)

    def make(self) -> Address:
        """A new, empty database."""
        name = f"e4_{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name}")
        return Address(self._kind, _USER, "127.0.0.1", self.port, name)

    def sql(self, statement: str) -> None:
        subprocess.run([*self._sql, statement], check=True, capture_output=True, cwd=self.folder)


def _postgresql(folder: Path) -> DatabaseServer:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = str(programs[-1] / "initdb") if programs else tool("initdb", "postgresql")
    user = _unprivileged(folder, "postgres")
    data, port = folder / "data", free_port()
    make = [initdb, "-D", str(data), "-U", _USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run(make, check=True, capture_output=True, user=user, group=_group(user), cwd=folder)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",  # nothing here survives the machine
        "max_connections": 60,
        "shared_buffers": "32MB",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    server = str(Path(initdb).with_name("postgres"))
    ask = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", _USER, "-d", "postgres", "-c"]
    return DatabaseServer(folder, port, [server, "-D", str(data), *options], ask, "postgresql", user)


def _mariadb(folder: Path) -> DatabaseServer:
    server = tool("mariadbd", "mariadb-server-core")
    user = _unprivileged(folder, "nobody")
    data, port, socket = folder / "data", free_port(), folder / "s"
    make = [tool("mariadb-install-db", "mariadb-server-core"), "--no-defaults", f"--datadir={data}"]
    make += ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
    make += [f"--user={user}"] if user else []
    here = {**os.environ, "TMPDIR": str(folder)}  # that of a test is nobody else's
    subprocess.run(make, check=True, capture_output=True, user=user, group=_group(user), cwd=folder, env=here)
    options = [
        f"--tmpdir={folder}",
        f"--datadir={data}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={socket}",
    ]
    options += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--skip-name-resolve"]
    options += ["--innodb-log-file-size=16M", f"--pid-file={folder / 'pid'}", "--performance-schema=OFF"]
    ask = [tool("mariadb", "mariadb-client-core"), "--no-defaults", f"--socket={socket}", "-u", "root", "-e"]
    made = DatabaseServer(folder, port, [server, "--no-defaults", *options], ask, "mariadb", user)
    made.start()
    made.sql(f"CREATE USER {_USER}@'127.0.0.1'; GRANT ALL ON *.* TO {_USER}@'127.0.0.1'")
    return made


_MAKE: dict[Kind, Callable[[Path], DatabaseServer]] = {"postgresql": _postgresql, "mariadb": _mariadb}


@contextmanager
def database_server(kind: Kind) -> Iterator[DatabaseServer]:
    """A server that runs, in a folder to which its user gets, as pytest's are for nobody else."""
    with tempfile.TemporaryDirectory(prefix="e4-db-", dir="/dev/shm" if _IN_MEMORY else "/tmp") as folder:
        made = _MAKE[kind](Path(folder))
        try:
            if made._process is None:
                made.start()
            yield made
        finally:
            made.kill()


def _group(user: str | None) -> str | None:
    return "nogroup" if user == "nobody" else user


def _unprivileged(folder: Path, user: str) -> str | None:
    """Whom a server runs as, where this is root, whom none serves."""
    if os.geteuid() != 0:
        return None
    shutil.chown(folder, user)
    return user
