# SPDX-License-Identifier: Apache-2.0
"""``e4 serve``: a C2 at work."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from e4cli.output import Row, Stream, StreamOption, show_event

if TYPE_CHECKING:
    from e4c2.app import Started


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Instead of E4_CONFIG, or of e4.toml in this directory."),
]


def serve(config: ConfigOption = None, output: StreamOption = Stream.TABLE) -> None:
    """Run a C2 until Ctrl-C or SIGTERM; without any configuration it keeps its data in ./e4-data."""
    from e4cli.signals import run_until_stopped

    with server_extra():
        from e4c2.app import serve
        from e4c2.settings import load
        from e4c2.telemetry import logs
    settings = load(config)
    verbose = logging.getLogger().isEnabledFor(logging.INFO) and settings.log_level is logs.LogLevel.WARNING
    logs.set_up(settings.log_format, logs.LogLevel.INFO if verbose else settings.log_level)
    run_until_stopped(serve(settings, lambda started: _tell(started, output)))


@contextmanager
def server_extra() -> Iterator[None]:
    """Around imports of the C2. Raises: PluginError: it is not installed whole."""
    from e4core.errors import PluginError

    try:
        yield
    except ModuleNotFoundError as error:
        raise PluginError(f"a C2 needs {error.name}; install it: pip install 'e4core[server]'") from error


def _tell(started: Started, output: Stream) -> None:
    file = str(started.admin_token_file) if started.admin_token_file else None
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, started.reload)
    event: Row = {"event": "listening", "url": started.url, "broker": started.broker, "admin_token_file": file}
    others = {"grpc": started.grpc, "metrics": started.metrics}
    where = f"{started.url}, for gRPC at {started.grpc}" if started.grpc else started.url
    show_event(
        output,
        {**event, **{name: value for name, value in others.items() if value}},
        f"the API listens at {where}, devices meet at {started.broker}",
    )
    if output is Stream.TABLE:
        if file:
            show_event(output, event, f"the admin token is in {file}")
        # only where a person looks: nothing that collects the output of servers may come to hold it
        if started.admin_token and sys.stdout.isatty():
            show_event(output, event, f"it is {started.admin_token.decode()}")
