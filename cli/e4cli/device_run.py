# SPDX-License-Identifier: Apache-2.0
"""``e4 device run``: a device at work."""

from __future__ import annotations

from typing import Annotated

import typer

from e4cli import reaching, states
from e4cli.output import Stream, StreamOption
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
        list[str] | None,
        typer.Option(
            metavar="TOPIC",
            help="Print what arrives there, senders that nothing proves as (claimed); may be repeated, + and # work.",
        ),
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
    no_clock: Annotated[
        bool,
        typer.Option(
            "--no-clock",
            help="Do not trust this machine's clock: protect and read nothing before the C2 has told the time. Not in sk and pk.",
        ),
    ] = False,
    passphrase_file: PassphraseFileOption = None,
    output: StreamOption = Stream.TABLE,
) -> None:
    """Obey and acknowledge the C2's commands, print messages, publish lines; until Ctrl-C or SIGTERM."""
    import time

    from e4cli.device_loop import work
    from e4cli.signals import run_until_stopped
    from e4core.plugins import load_transport
    from e4device.runtime import Device

    if publish is not None:
        check_topic_name(publish)
    file = states.existing(state, passphrase_file)
    with states.client_of(file, clock_is_trusted=not no_clock) as client:
        id_ = client.state.client_id.hex()
        transport = load_transport(reached(broker), id_)
        # without a clock one that is never set, as only its steps count
        device = Device(client, transport, time.monotonic if no_clock else time.time, hello_delay_s=hello_delay)
        mark = file.mark_synchronised
        run_until_stopped(work(device, id_, subscribe or [], publish, output, mark, waits_for_time=no_clock))


def reached(broker: str | None) -> str:
    """``broker``, but where that is the embedded one, as one E4_BROKER for a C2 and its devices says, what the C2 has left for us.

    Raises: StorageError: it did not.
    """
    from e4core import files
    from e4core.errors import StorageError

    if broker and not broker.startswith("embedded:"):
        return broker
    path = reaching.data_folder() / "broker-uri"
    try:
        return files.first_line(path).decode()
    except (StorageError, ValueError) as error:
        raise StorageError(f"a broker is needed, by --broker or $E4_BROKER: {error}") from error
