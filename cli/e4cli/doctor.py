# SPDX-License-Identifier: Apache-2.0
"""``e4 doctor``: is this C2 well, and what to do if not."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from e4cli.connection import DEFAULT_URL
from e4cli.output import Output, OutputOption, Row, show_rows
from e4cli.reaching import CaOption, ProfileOption, TokenFileOption, UrlOption, open_api
from e4cli.serve import ConfigOption, server_extra
from e4core.errors import E4Error

OnlineOption = Annotated[
    bool,
    typer.Option("--online", help="Ask a C2 that runs, from any machine, instead of looking at this one's settings."),
]


def doctor(
    context: typer.Context,
    config: ConfigOption = None,
    online: OnlineOption = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Look at settings, files, KMSes, broker, clock and database, from the machine of the C2, whether it runs or not.

    With --online look at a C2 at work instead, over its API, and at its broker, from here.

    It tries whether the broker lets in somebody without credentials. Nothing is changed. Status 1: something fails.
    """
    with server_extra():
        from e4c2.recovery.doctor import examine
        from e4c2.recovery.findings import Level
        from e4c2.settings import load
        from e4cli import doctor_online
    if online:
        with open_api(context, url, token_file, ca, profile) as api:
            found = doctor_online.examine(api)
    else:
        found = asyncio.run(examine(load(config)))
    rows: list[Row] = [
        {"check": each.check, "level": each.level.value, "found": each.found, "remedy": each.remedy} for each in found
    ]
    show_rows(output, rows)
    failures = sum(each.level is Level.FAILURE for each in found)
    if failures:
        raise E4Error(f"{failures} of {len(found)} checks fail; the table says what to do", kind="unwell")
