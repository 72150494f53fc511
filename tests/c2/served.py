# SPDX-License-Identifier: Apache-2.0
"""A whole C2 behind its real HTTP server, in a thread of the test, with a clock that tests may put forward."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from e4c2.app import Started, serve
from e4c2.settings import Settings
from e4core.suite import Suite

PATIENCE_S = 60.0


@dataclass
class Served:
    """``http`` has the first token; ``bodies`` collects every answer that it got."""

    settings: Settings
    started: Started
    http: httpx2.Client
    bodies: list[bytes]
    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[None]
    ended: Future[None]
    clock: Clock

    @property
    def token(self) -> str:
        return self.settings.admin_token_file.read_text().strip()

    def stranger(self, token: str | None = None) -> httpx2.Client:
        """A client of the API with another token, or none."""
        headers = {} if token is None else bearer(token)
        return httpx2.Client(base_url=self.started.url, headers=headers, timeout=PATIENCE_S, trust_env=False)

    def stop(self) -> None:
        """Begin to stop in order."""
        self.loop.call_soon_threadsafe(self.task.cancel)

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run ``work`` in the event loop of the C2."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def client(self, name: str, key: bytes | None = None, suite: Suite | None = None) -> str:
        """Register a client; its id."""
        made = key or (device_key(suite) if suite else os.urandom(32))
        return str(created(self.http.post("/v1/clients", json={"name": name, "key": b64(made)}))["id"])

    def topic(self, name: str, *members: str) -> str:
        """Create a topic with members; its id."""
        identity = str(created(self.http.post("/v1/topics", json={"name": name}))["id"])
        if members:
            operation(self.http.post(f"/v1/topics/{identity}/members", json={"clients": members}))
        return identity


@dataclass
class Clock:
    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class _Run:
    """What the thread of the C2 tells to the thread of the test."""

    started: Future[tuple[Started, asyncio.AbstractEventLoop, asyncio.Task[None]]] = field(default_factory=Future)

    async def __call__(self, settings: Settings, clock: Clock) -> None:
        task = asyncio.ensure_future(serve(settings, self._tell, clock))
        self._task = task
        try:
            await task
        except asyncio.CancelledError:
            return
        finally:
            if not self.started.done():
                self.started.set_exception(RuntimeError("the C2 did not start"))

    def _tell(self, started: Started) -> None:
        self.started.set_result((started, asyncio.get_running_loop(), self._task))


def settings_in(folder: Path, **other: Any) -> Settings:
    """Settings of a C2 in ``folder``, with a broker of its own in memory and a free port."""
    return Settings(**{"data": folder / "data", "broker": f"memory:{secrets.token_hex(8)}", "port": 0, **other})


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """A C2 at work; stopped in order at the end, unless it has ended before."""
    clock, run, bodies = Clock(), _Run(), list[bytes]()
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(asyncio.run, run(settings, clock))
        try:
            started, loop, task = run.started.result(PATIENCE_S)
        except RuntimeError:
            ended.result(PATIENCE_S)
            raise
        with httpx2.Client(
            base_url=started.url,
            headers=bearer(settings.admin_token_file.read_text().strip()),
            timeout=PATIENCE_S,
            trust_env=False,
            event_hooks={"response": [lambda answer: bodies.append(answer.read())]},
        ) as http:
            served = Served(settings, started, http, bodies, loop, task, ended, clock)
            try:
                yield served
            finally:
                if not ended.done():
                    served.stop()


ADMIN = [{"role": "admin", "clients": ["*"], "topics": ["*"]}]
"""Grants of every permission."""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def device_key(suite: Suite) -> bytes:
    """What the C2 is told of a new device of this suite."""
    return suite.device.public(suite.device.load(suite.device.generate()))


def created(answer: httpx2.Response) -> dict[str, Any]:
    """The body of a 201 whose Location shows the very same thing."""
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{answer.request.url.path}/{body['id']}"
    return body


def operation(answer: httpx2.Response) -> dict[str, Any]:
    """The body of a 202."""
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"id", "kind", "subject", "created", "counts", "awaited"}
    return body


def problem(answer: httpx2.Response, status: int, kind: str | None = None) -> dict[str, Any]:
    """The body of an error, which is a problem of RFC 9457."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "kind"}
    assert body["status"] == status
    assert kind is None or body["kind"] == kind, body
    return body
