# SPDX-License-Identifier: Apache-2.0
"""``e4 topics``: topics of a C2, and who is a member of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import LimitOption, PrefixOption, WaitSecondsOption, changes, lists, shows
from e4cli.completing import known_clients, known_topics
from e4cli.output import Row
from e4core.keys import check_topic_name

app = typer.Typer(no_args_is_help=True, help="Create topics, and say who may read and write them.")

NewTopicArgument = Annotated[str, typer.Argument(metavar="TOPIC", help="Name of the topic.")]
TopicArgument = Annotated[str, typer.Argument(metavar="TOPIC", help="Name of the topic.", autocompletion=known_topics)]
ClientsArgument = Annotated[
    list[str], typer.Argument(metavar="CLIENT", help="Names of clients.", autocompletion=known_clients)
]


@app.command()
@shows
def create(api: Api, topic: NewTopicArgument) -> Row:
    """Create a topic with a fresh key and no members. Never overwrites or rotates one."""
    return api.post("/v1/topics", {"name": check_topic_name(topic)})


@app.command("list")
@lists
def list_(api: Api, prefix: PrefixOption = "", limit: LimitOption = None) -> Iterable[Row]:
    """List topics by name."""
    return api.items("/v1/topics", limit, prefix=prefix)


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
    wait_s: WaitSecondsOption = None,
) -> Document:
    """Evict members from a topic."""
    waiting = {} if wait_s is None else {"wait_s": wait_s}
    return api.post(f"{api.topic(topic)}/evict", {"clients": _ids(api, clients), "rekey": rekey, **waiting})


@app.command()
@lists
def laggards(api: Api, topic: TopicArgument, limit: LimitOption = None) -> Iterable[Row]:
    """List the members that are not known to have the present key."""
    return api.items(f"{api.topic(topic)}/laggards", limit)


@app.command()
@lists
def evicted(api: Api, topic: TopicArgument, limit: LimitOption = None) -> Iterable[Row]:
    """List who was evicted and still knows the key, and when it is re-keyed."""
    return api.items(f"{api.topic(topic)}/evicted", limit)


@app.command()
@lists
def history(api: Api, topic: TopicArgument, limit: LimitOption = 20) -> Iterable[Row]:
    """List the keys that a topic got, the newest first, and how long it took until all members had each."""
    return api.items(f"{api.topic(topic)}/changes", limit)


@app.command()
@shows
def aim(
    api: Api,
    topic: TopicArgument,
    within: Annotated[
        float | None, typer.Option("--within", min=0.001, metavar="SECONDS", help="Else as the settings of the C2 say.")
    ] = None,
) -> Row:
    """Set how long a revocation is to take at most: until every member that stays has the new key."""
    return api.patch(api.topic(topic), {"revoke_within_s": within})


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
