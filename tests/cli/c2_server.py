# SPDX-License-Identifier: Apache-2.0
"""A C2 at work for commands to speak to, and servers that are none."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from typer.testing import CliRunner

from e4cli import exits
from e4cli.main import command
from e4core.errors import E4Error
from e4core.plugins import load_suite
from e4core.suite import Suite
from tests.c2.served import Served


class Done(NamedTuple):
    """How a command ended; ``stderr`` has no ``e4:`` before an error."""

    code: int
    stdout: str
    stderr: str


@dataclass
class C2:
    """``told`` is everything that commands have printed."""

    served: Served
    folder: Path
    told: list[str] = field(default_factory=list)

    @property
    def suite(self) -> Suite:
        return load_suite(self.served.settings.suite)

    @property
    def env(self) -> dict[str, str]:
        return {"E4_URL": self.served.started.url, "E4_TOKEN_FILE": str(self.served.settings.admin_token_file)}

    def run(self, *arguments: str | Path) -> Done:
        """What a command does, within this process, as starting one takes long."""
        code, error = 0, ""
        with contextlib.chdir(self.folder), CliRunner().isolation(env=self.env) as (out, err, _):
            try:
                command()(list(map(str, arguments)), prog_name="e4")
            except E4Error as refusal:
                code, error = exits.code_of(refusal), str(refusal)
            except SystemExit as end:
                code = int(end.code or 0)
            sys.stdout.flush()
            sys.stderr.flush()
            done = Done(code, out.getvalue().decode(), error or err.getvalue().decode())
        self.told += [done.stdout, done.stderr]
        return done

    def ok(self, *arguments: str | Path) -> str:
        done = self.run(*arguments)
        assert done.code == 0, done.stderr
        return done.stdout

    def answer(self, *arguments: str | Path) -> Any:
        """The JSON document that a command gives."""
        return json.loads(self.ok(*arguments[:2], "--output", "json", *arguments[2:]))

    def table(self, *arguments: str | Path) -> list[list[str]]:
        """The cells of a table, row by row, without its rule."""
        lines = [
            line for line in self.ok(*arguments).splitlines() if line.strip() and not set(line.strip()) <= {"─", " "}
        ]
        return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]

    def refused(self, code: int, *arguments: str | Path) -> str:
        """The sentence with which a command ends with ``code``, and without any result."""
        done = self.run(*arguments)
        assert (done.code, done.stdout) == (code, ""), done
        return done.stderr

    def key_file(self, name: str) -> tuple[Path, Path]:
        """A fresh device key: its private file, and what is registered."""
        private = self.folder / name
        self.ok("keygen", "--suite", self.suite.name, "--out", private)
        return private, private if self.suite.is_symmetric else private.with_name(f"{name}.pub")


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[Asked, BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def server(reply: Reply) -> Iterator[tuple[str, list[Asked]]]:
    """A web server on a free port that answers with ``reply``: its URL, and what it was asked."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append(Asked(self.command, self.path, headers, self.rfile.read(length)))
            reply(asked[-1], self)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}", asked
        finally:
            http.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, media_type: str, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("content-type", media_type)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
