# SPDX-License-Identifier: Apache-2.0
"""``e4 topics``: topics of a C2, and who is a member of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import LimitOption, changes, lists, shows
from e4cli.output import Row
from e4core.keys import check_topic_name

app = typer.Typer(no_args_is_help=True, help="Create topics, and say who may read and write them.")

TopicArgument = Annotated[str, typer.Argument(metavar="TOPIC", help="Name of the topic.")]
ClientsArgument = Annotated[list[str], typer.Argument(metavar="CLIENT", help="Names of clients.")]


@app.command()
@shows
def create(api: Api, topic: TopicArgument) -> Row:
    """Create a topic with a fresh key and no members. Never overwrites or rotates one."""
    return api.post("/v1/topics", {"name": check_topic_name(topic)})


@app.command("list")
@lists
def list_(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List all topics by name."""
    return api.items("/v1/topics", limit)


@app.command()
@shows
def show(api: Api, topic: TopicArgument) -> Row:
    """Show a topic."""
    return api.get(api.topic(topic))


@app.command()
@lists
def members(api: Api, topic: TopicArgument, limit: LimitOption = None) -> Iterable[Row]:
    """List the members of a topic by name."""
    return api.items(f"{api.topic(topic)}/members", limit)


@app.command()
@changes
def join(api: Api, topic: TopicArgument, clients: ClientsArgument) -> Document:
    """Make clients members of a topic: each gets its key."""
    return api.post(f"{api.topic(topic)}/members", {"clients": _ids(api, clients)})


@app.command()
@changes
def leave(
    api: Api,
    topic: TopicArgument,
    clients: ClientsArgument,
    rekey: Annotated[
        bool,
        typer.Option("--rekey/--no-rekey", help="One new key for those who stay; without it the evicted can read on."),
    ] = True,
) -> Document:
    """Evict members from a topic."""
    return api.post(f"{api.topic(topic)}/evict", {"clients": _ids(api, clients), "rekey": rekey})


@app.command()
@changes
def rotate(api: Api, topic: TopicArgument) -> Document:
    """Give a topic a new key, and send it to all members."""
    return api.post(f"{api.topic(topic)}/rotate")


@app.command()
@changes
def remove(api: Api, topic: TopicArgument) -> Document:
    """Forget a topic; its members are told to forget its key."""
    return api.delete(api.topic(topic))


def _ids(api: Api, names: list[str]) -> list[str]:
    return [api.client_id(name) for name in dict.fromkeys(names)]
