# SPDX-License-Identifier: Apache-2.0
"""``e4 demo``: what E4 does, shown on a fleet that lives for some seconds, each claim checked as it is made."""

from __future__ import annotations

from typing import Annotated

import typer

from e4cli.output import Stream, StreamOption


def demo(
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Cryptography of the fleet, several if repeated; else as in e4.toml, else sk and pk."
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(metavar="URI", help="A broker where everybody may subscribe to #; else one inside this process."),
    ] = None,
    output: StreamOption = Stream.TABLE,
) -> None:
    """Run a C2 and five devices on a broker, attack them, and check that nothing comes of it."""
    from e4cli.signals import run_until_stopped
    from e4core.errors import PluginError

    try:
        from e4c2.settings import load
        from e4cli.demo.play import Play
        from e4cli.demo.screen import screen
    except ModuleNotFoundError as error:
        raise PluginError(f"the demo needs {error.name}; install it: pip install 'e4core[server]'") from error
    settings = load()
    chosen = [settings.suite] if "suite" in settings.model_fields_set else ["sk", "pk"]
    play = Play(suite or chosen, broker, screen(output))
    run_until_stopped(play.run())
    play.check()
