# SPDX-License-Identifier: Apache-2.0
"""Fixtures that start real servers, each test's own, on free ports of the loopback interface."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_START_S = 10.0
_STOP_S = 10.0


@dataclass(frozen=True)
class ServerTls:
    """PEM files of a TLS server. With ``client_ca``, only clients with a certificate of that CA are let in."""

    ca: Path
    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass
class Mosquitto:
    """A mosquitto with a fixed port, so that it can be stopped and started again.

    Sessions and queues outlive `stop`, since it writes them to ``folder``; they do not outlive `kill`.
    """

    program: str
    folder: Path
    port: int
    tls: ServerTls | None = None
    users: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Without user and options; to be completed with ``?...`` by the test."""
        # the certificates of a test name localhost
        return f"mqtts://localhost:{self.port}" if self.tls else f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(self._config()) + "\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([self.program, "-c", str(config)], stdout=log, stderr=log)
        wait_for_port(self.port, self._process)

    def stop(self) -> None:
        """End it in good order."""
        self._end(lambda process: process.terminate())

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(lambda process: process.kill())

    def pause(self) -> None:
        """Let it hang: connections stay open, and nothing moves any more."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `pause`."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        if process:
            how(process)
            process.wait(_STOP_S)

    def _config(self) -> list[str]:
        lines = [
            f"listener {self.port} 127.0.0.1",
            "max_inflight_messages 0",
            "max_queued_messages 0",
            "persistence true",
            f"persistence_location {self.folder}/",
            "log_dest stderr",
            *self.options,
        ]
        if os.geteuid() == 0:
            # else it gives up root for a user that may not write here
            lines.append("user root")
        if self.users:
            lines += ["allow_anonymous false", f"password_file {self._password_file()}"]
        else:
            lines.append("allow_anonymous true")
        if self.tls:
            lines += [f"certfile {self.tls.cert}", f"keyfile {self.tls.key}"]
            if self.tls.client_ca:
                lines += [f"cafile {self.tls.client_ca}", "require_certificate true"]
        return lines

    def _password_file(self) -> Path:
        path = self.folder / "passwords"
        path.write_text("".join(f"{user}:{password}\n" for user, password in self.users.items()))
        subprocess.run([tool("mosquitto_passwd", "mosquitto"), "-U", str(path)], check=True)
        return path


StartMosquitto = Callable[..., Mosquitto]


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[StartMosquitto]:
    """Starts a mosquitto: ``start_mosquitto(tls=ServerTls(...), users={"name": "password"}, options=("max_qos 1",))``."""
    program = tool("mosquitto", "mosquitto")
    started: list[Mosquitto] = []

    def start(
        *, tls: ServerTls | None = None, users: dict[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> Mosquitto:
        folder = tmp_path / f"mosquitto-{len(started)}"
        folder.mkdir()
        server = Mosquitto(program, folder, free_port(), tls, users or {}, options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def mosquitto(start_mosquitto: StartMosquitto) -> Mosquitto:
    """A mosquitto that lets everybody in."""
    return start_mosquitto()


def tool(program: str, package: str) -> str:
    """The path of a program; without it the test is skipped, in CI it fails."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path:
        return path
    text = f"{program} is not installed; run: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until ``process`` accepts connections at ``port``; fails the test if it ends instead."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    pytest.fail(f"{process.args!r} does not listen at port {port}")
