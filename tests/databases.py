# SPDX-License-Identifier: Apache-2.0
"""Real database servers, each started in a temporary folder at a free port; a test gets a database of its own in one."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from e4c2.store.address import Address
from tests.servers import ServerTls, free_port, tool, wait_for_port

Kind = Literal["postgresql", "mariadb"]
KINDS: tuple[Kind, ...] = ("postgresql", "mariadb")
_USER = "e4"
OWNER = "owner"
"""Who may do nothing but what the owner of a database may; `_USER` may do anything."""
_STOP: dict[Kind, signal.Signals] = {"postgresql": signal.SIGINT, "mariadb": signal.SIGTERM}
_USERS: dict[Kind, str] = {
    "postgresql": f"CREATE USER {OWNER}",
    "mariadb": f"CREATE USER {_USER}@'127.0.0.1', {OWNER}@'127.0.0.1'; GRANT ALL ON *.* TO {_USER}@'127.0.0.1'",
}
_CREATE: dict[Kind, str] = {
    "postgresql": "CREATE DATABASE {name} OWNER {user}",
    "mariadb": "CREATE DATABASE {name}; GRANT ALL ON {name}.* TO {user}@'127.0.0.1'",
}
_START_S = _STOP_S = 20.0
OPEN_TO_ALL = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")
"""To pytest's own folders a server's user does not get."""


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
        deadline = time.monotonic() + _START_S
        while subprocess.run([*self._sql, "SELECT 1"], check=False, capture_output=True, cwd=self.folder).returncode:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()  # the port is open before it answers
            time.sleep(0.1)

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

    def make(self, user: str = _USER) -> Address:
        """A new, empty database of this user."""
        name = f"e4_{secrets.token_hex(6)}"
        self.sql(_CREATE[self._kind].format(name=name, user=user))
        return Address(self._kind, user, "127.0.0.1", self.port, name)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def sql(self, statement: str) -> None:
        subprocess.run([*self._sql, statement], check=True, capture_output=True, cwd=self.folder)


def _postgresql(folder: Path, tls: ServerTls | None) -> DatabaseServer:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = str(programs[-1] / "initdb") if programs else tool("initdb", "postgresql")
    user = _unprivileged(folder, "postgres")
    data, port = folder / "data", free_port()
    make = [initdb, "-D", str(data), "-U", _USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run(make, check=True, capture_output=True, user=user, group=_group(user), cwd=folder)
    # not `hostssl`: it is for the client to see that its password does not travel in the clear
    (data / "pg_hba.conf").write_text(
        f"host all {_USER} all trust\nhost all {OWNER} all {'scram-sha-256' if tls else 'trust'}\n"
    )
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",  # nothing here survives the machine
        "max_connections": 60,
        "shared_buffers": "32MB",
        "dynamic_shared_memory_type": "mmap",  # in its folder, which goes when it was killed, too
    }
    if tls:
        certificate, key = _own(folder, user, tls)
        settings |= {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    server = str(Path(initdb).with_name("postgres"))
    ask = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", _USER, "-d", "postgres", "-c"]
    return DatabaseServer(folder, port, [server, "-D", str(data), *options], ask, "postgresql", user)


def _mariadb(folder: Path, tls: ServerTls | None) -> DatabaseServer:
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
    if tls:
        certificate, key = _own(folder, user, tls)
        options += [f"--ssl-cert={certificate}", f"--ssl-key={key}"]
    ask = [tool("mariadb", "mariadb-client-core"), "--no-defaults", f"--socket={socket}", "-u", "root", "-e"]
    return DatabaseServer(folder, port, [server, "--no-defaults", *options], ask, "mariadb", user)


_MAKE: dict[Kind, Callable[[Path, ServerTls | None], DatabaseServer]] = {"postgresql": _postgresql, "mariadb": _mariadb}


@contextmanager
def database_server(kind: Kind, tls: ServerTls | None = None, disk: Path = OPEN_TO_ALL) -> Iterator[DatabaseServer]:
    """A server that runs."""
    with tempfile.TemporaryDirectory(prefix="e4-db-", dir=disk) as folder:
        made = _MAKE[kind](Path(folder), tls)
        try:
            made.start()
            made.sql(_USERS[kind])
            yield made
        finally:
            made.kill()


def _own(folder: Path, user: str | None, tls: ServerTls) -> tuple[Path, Path]:
    """Certificate and key where the server's user reads them, and nobody else."""
    made = folder / "server.crt", folder / "server.key"
    for source, copy in zip((tls.cert, tls.key), made, strict=True):
        shutil.copy(source, copy)
        copy.chmod(0o600)
        if user:
            shutil.chown(copy, user)
    return made


def _group(user: str | None) -> str | None:
    return "nogroup" if user == "nobody" else user


def _unprivileged(folder: Path, user: str) -> str | None:
    """Whom a server runs as, where this is root, whom none serves."""
    if os.geteuid() != 0:
        return None
    shutil.chown(folder, user)
    return user
