# SPDX-License-Identifier: Apache-2.0
"""``e4 plans``: rotations of a topic whose key is at the members before anybody uses it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import LimitOption, begins, lists, shows
from e4cli.output import Row
from e4cli.topics import TopicArgument
from e4core.errors import NotFound

app = typer.Typer(
    no_args_is_help=True, help="Rotate a topic without losing a message: the next key first, then its use."
)


def _path(plan: Document) -> str:
    return f"/v1/topics/{plan['topic']}/plans/{plan['id']}"


class AtDeadline(StrEnum):
    """What becomes of a plan whose quorum is not reached in time."""

    ACTIVATE = "activate"
    ABORT = "abort"


@app.command()
@begins(_path)
def begin(
    api: Api,
    topic: TopicArgument,
    quorum: Annotated[
        float, typer.Option(min=0.0001, max=1, metavar="SHARE", help="Of the members, that must hold the key.")
    ] = 1.0,
    within: Annotated[float, typer.Option("--within", min=1, metavar="SECONDS", help="Until the deadline.")] = 86400,
    at_deadline: Annotated[
        AtDeadline, typer.Option(help="What to do if the quorum is not reached by then.")
    ] = AtDeadline.ACTIVATE,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="At the quorum wait for e4 plans activate, until the deadline.")
    ] = False,
) -> Document:
    """Send the next key of a topic to all members, who hold it; it is used when a quorum has confirmed that.

    --wait ends when they hold it, not when it is used.
    """
    terms = {"quorum": quorum, "within_s": within, "at_deadline": at_deadline.value, "automatic": not by_hand}
    return api.post(f"{api.topic(topic)}/plans", terms)


@app.command("list")
@lists
def list_(api: Api, topic: TopicArgument, limit: LimitOption = 20) -> Iterable[Row]:
    """List the plans of a topic, the newest first."""
    return api.items(f"{api.topic(topic)}/plans", limit)


@app.command()
@shows
def show(api: Api, topic: TopicArgument) -> Row:
    """Show the newest plan of a topic, and how many members hold its key."""
    return api.get(_newest(api, topic))


@app.command()
@begins(_path)
def activate(
    api: Api,
    topic: TopicArgument,
    force: Annotated[bool, typer.Option(help="Although the quorum does not hold the key.")] = False,
) -> Document:
    """Use the key of the newest plan from now on."""
    return api.post(f"{_newest(api, topic)}/activate", {"force": force})


@app.command()
@begins(_path)
def abort(api: Api, topic: TopicArgument) -> Document:
    """Give the newest plan up before its key is used; who holds the key is told to forget it."""
    return api.post(f"{_newest(api, topic)}/abort")


def _newest(api: Api, topic: str) -> str:
    path = f"{api.topic(topic)}/plans"
    plans: list[Document] = list(api.items(path, 1))
    if not plans:
        raise NotFound(f"no rotation of {topic!r} was planned; begin one with e4 plans begin")
    return f"{path}/{plans[0]['id']}"
