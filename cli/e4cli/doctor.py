# SPDX-License-Identifier: Apache-2.0
"""``e4 doctor``: is this C2 well, and what to do if not."""

from __future__ import annotations

import asyncio

from e4cli.output import Output, OutputOption, Row, show_rows
from e4cli.serve import ConfigOption, server_extra
from e4core.errors import E4Error


def doctor(config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
    """Look at settings, files, KMSes, broker, clock and database, from the machine of the C2, whether it runs or not.

    It tries whether the broker lets in somebody without credentials. Nothing is changed. Status 1: something fails.
    """
    with server_extra():
        from e4c2.recovery.doctor import examine
        from e4c2.recovery.findings import Level
        from e4c2.settings import load
    found = asyncio.run(examine(load(config)))
    rows: list[Row] = [
        {"check": each.check, "level": each.level.value, "found": each.found, "remedy": each.remedy} for each in found
    ]
    show_rows(output, rows)
    failures = sum(each.level is Level.FAILURE for each in found)
    if failures:
        raise E4Error(f"{failures} of {len(found)} checks fail; the table says what to do", kind="unwell")
