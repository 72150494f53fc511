# SPDX-License-Identifier: Apache-2.0
"""``e4 device run``: a device at work."""

from __future__ import annotations

from typing import Annotated

import typer

from e4cli import asking, states
from e4cli.output import Output, OutputOption
from e4cli.passphrases import PassphraseFileOption
from e4cli.states import StateOption
from e4core.keys import check_topic_name


def run(
    state: StateOption,
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            envvar="E4_BROKER",
            help="As mqtt://host or mqtts://host; else the embedded one of the C2 with its data in ./e4-data.",
        ),
    ] = None,
    subscribe: Annotated[
        list[str] | None, typer.Option(metavar="TOPIC", help="Print what arrives there; may be repeated, + and # work.")
    ] = None,
    publish: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Publish each line of stdin there; without --subscribe end with stdin."),
    ] = None,
    hello_delay: Annotated[
        float,
        typer.Option(
            min=0, max=3600, metavar="SECONDS", help="Wait a random part of this before saying hello to the C2."
        ),
    ] = 30.0,
    passphrase_file: PassphraseFileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Obey and acknowledge the C2's commands, print messages, publish lines; until Ctrl-C or SIGTERM."""
    from e4cli.device_loop import work
    from e4cli.signals import run_until_stopped
    from e4core.plugins import load_transport

    if publish is not None:
        check_topic_name(publish)
    with states.client_of(states.existing(state, passphrase_file)) as client:
        transport = load_transport(broker or _embedded(), client.state.client_id.hex())
        run_until_stopped(work(client, transport, hello_delay, subscribe or [], publish, output))


def _embedded() -> str:
    """URI that a C2 on this machine has left for us. Raises: StorageError: it did not."""
    from e4core import files
    from e4core.errors import StorageError

    path = asking.data_folder() / "broker-uri"
    try:
        return files.first_line(path).decode()
    except (StorageError, ValueError) as error:
        raise StorageError(f"a broker is needed, by --broker or $E4_BROKER: {error}") from error
