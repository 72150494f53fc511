# SPDX-License-Identifier: Apache-2.0
"""Moto's server of AWS KMS, and a proxy before it for what moto does not do: throttle, refuse, fail, hang."""

from __future__ import annotations

import atexit
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port, wait_for_port

REGION = "eu-west-1"

Fault = Callable[[BaseHTTPRequestHandler, threading.Event], None]
"""Answers a request, or does not; the event is set when the proxy stops."""


def refusal(code: str, status: int = 400, message: str = "") -> Fault:
    """An error as AWS tells it."""
    return answer(json.dumps({"__type": code, "message": message}).encode(), status)


def answer(body: bytes, status: int = 200) -> Fault:
    def send(handler: BaseHTTPRequestHandler, _stopped: threading.Event) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/x-amz-json-1.1")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return send


def hang(_handler: BaseHTTPRequestHandler, stopped: threading.Event) -> None:
    """No answer, for ever."""
    stopped.wait()


def drip(handler: BaseHTTPRequestHandler, stopped: threading.Event) -> None:
    """An answer that never ends, though something comes all the time."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while not stopped.wait(0.1):
        handler.wfile.write(b" ")


def drop(handler: BaseHTTPRequestHandler, _stopped: threading.Event) -> None:
    """The connection ends instead of an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


class FaultProxy(ThreadingHTTPServer):
    """``asked`` holds name and parameters of every request, those that a fault answered included; ``askers`` who signed them."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, moto_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.askers: list[str] = []
        self.connections: set[object] = set()
        self.stopped = threading.Event()
        self.moto_port = moto_port
        self._next: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def once(self, operation: str, *faults: Fault) -> None:
        """Answer the next calls of ``operation`` like this, one after the other."""
        self._next[operation].extend(faults)

    def always(self, operation: str, fault: Fault) -> None:
        self._always[operation] = fault

    def never(self) -> None:
        """No faults any more."""
        self._always.clear()

    @property
    def operations(self) -> list[str]:
        return [name for name, _ in self.asked]

    def fault(self, operation: str) -> Fault | None:
        faults = self._next[operation]
        return faults.popleft() if faults else self._always.get(operation)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that gave up are what is tested here."""


class _Handler(BaseHTTPRequestHandler):
    server: FaultProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        self.server.asked.append((operation, json.loads(body)))
        self.server.connections.add(self.client_address)
        self.server.askers.append(self.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
        fault = self.server.fault(operation)
        if fault:
            with suppress(OSError):
                fault(self, self.server.stopped)
            self.close_connection = True
            return
        status, text = self._moto(operation, body)
        answer(text, status)(self, self.server.stopped)

    def _moto(self, operation: str, body: bytes) -> tuple[int, bytes]:
        if operation == "ReEncrypt":
            asked = json.loads(body)
            opening = {"CiphertextBlob": "CiphertextBlob", "KeyId": "SourceKeyId"}
            opening["EncryptionContext"] = "SourceEncryptionContext"
            # moto does not look at the SourceKeyId
            status, text = self._moto("Decrypt", json.dumps({to: asked[of] for to, of in opening.items()}).encode())
            if status != 200:
                return status, text
        headers = {name: value for name, value in self.headers.items() if name != "Content-Length"}
        headers["X-Amz-Target"] = f"TrentService.{operation}"
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.moto_port, timeout=30)) as moto:
            moto.request("POST", "/", body, headers)
            response = moto.getresponse()
            # which key made a wrap is no secret to AWS, while moto denies every other one
            return response.status, response.read().replace(b"AccessDeniedException", b"IncorrectKeyException")

    def log_message(self, *_arguments: object) -> None: ...


@contextmanager
def proxy_before(moto_port: int) -> Iterator[FaultProxy]:
    proxy = FaultProxy(moto_port)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join(10)


@cache
def moto_port() -> int:
    """The port of the moto server of this process, with which it ends."""
    running = ExitStack()
    atexit.register(running.close)
    folder = running.enter_context(tempfile.TemporaryDirectory(prefix="e4-moto-"))
    return running.enter_context(_moto_server(Path(folder)))


@contextmanager
def _moto_server(folder: Path) -> Iterator[int]:
    port = free_port()
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "MOTO_ALLOW_NONEXISTENT_REGION": "no",
    }
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [moto_program(), "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log, env=environment
        )
    try:
        _wait(port, process)
        yield port
    finally:
        process.kill()
        process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    # importing it takes longer than other servers take to start
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    wait_for_port(port, process)


def moto_program() -> str:
    """The path of moto's server; without it the test is skipped, in CI it fails."""
    found = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
    if found:
        return found
    text = "moto_server is not installed; run: pip install 'moto[kms,server]'"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
