# SPDX-License-Identifier: Apache-2.0
"""``e4 events``: what has happened to a fleet, and what happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import reports
from e4cli.output import Output, Row, show_each, show_rows

_PATH = "/v1/events"
_AGAIN_S = 1.0
"""Before the next try when a connection has ended."""

KindOption = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="Only these, as topic.rotated; may be given several times."),
]


def _show(output: Output, found: tuple[bool, Iterator[Document]]) -> None:
    goes_on, events = found
    if output is Output.JSON and not goes_on:
        show_rows(output, list(events))
    else:
        show_each(output, events, _line)


@reports(_show)
def events(
    api: Api,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")] = False,
    kind: KindOption = None,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10**18 - 1,
            metavar="N",
            help="Begin after the event with this number; else with all, or now with --follow.",
        ),
    ] = None,
) -> tuple[bool, Iterator[Document]]:
    """Tell what has happened, oldest first; or what happens."""
    if follow:
        return True, _followed(api, str(after) if after is not None else "newest", kind or [])
    return False, _listed(api, str(after or 0), kind or [])


def _listed(api: Api, after: str, kinds: list[str]) -> Iterator[Document]:
    while True:
        page = api.get(_PATH, after=after, kind=kinds, limit=api.page_len)
        yield from page["items"]
        after = str(page["next"])
        if len(page["items"]) < api.page_len:
            return


def _followed(api: Api, after: str, kinds: list[str]) -> Iterator[Document]:
    while True:
        for number, event in api.stream(f"{_PATH}/stream", after=after, kind=kinds):
            after = number
            if event is not None:
                yield event
        time.sleep(_AGAIN_S)


def _line(event: Row) -> str:
    when = datetime.fromtimestamp(float(str(event["created"])), UTC)
    about = [str(event[name]) for name in ("client", "topic") if event[name] is not None]
    data = event["data"] if isinstance(event["data"], dict) else {}
    told = [f"{name} {value}" for name, value in data.items()]
    return "  ".join([f"{when:%Y-%m-%d %H:%M:%SZ}", str(event["id"]), str(event["kind"]), *about, *told])
