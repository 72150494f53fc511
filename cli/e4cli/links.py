# SPDX-License-Identifier: Apache-2.0
"""``e4 links``: which client holds whose public key, and so believes whose signatures (public-key suites)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import LimitOption, changes, lists
from e4cli.completing import known_clients
from e4cli.output import Row

app = typer.Typer(no_args_is_help=True, help="Say whose signatures a client believes, in public-key suites.")

HolderArgument = Annotated[
    str,
    typer.Argument(metavar="HOLDER", help="Name of the client that holds public keys.", autocompletion=known_clients),
]
PeerArgument = Annotated[
    str,
    typer.Argument(metavar="PEER", help="Name of the client whose public key it is.", autocompletion=known_clients),
]


@app.command()
@changes
def send(api: Api, holder: HolderArgument, peer: PeerArgument) -> Document:
    """Send HOLDER the public key of PEER, now and whenever it changes."""
    return api.post(f"{api.client(holder)}/links", {"peer": api.client_id(peer)})


@app.command("list")
@lists
def list_(api: Api, holder: HolderArgument, limit: LimitOption = None) -> Iterable[Row]:
    """List the clients whose public keys HOLDER holds, by name."""
    return api.items(f"{api.client(holder)}/links", limit)


@app.command()
@changes
def remove(api: Api, holder: HolderArgument, peer: PeerArgument) -> Document:
    """Make HOLDER forget the public key of PEER."""
    return api.delete(f"{api.client(holder)}/links/{api.client_id(peer)}")


@app.command()
@changes
def reset(api: Api, holder: HolderArgument) -> Document:
    """Make HOLDER forget all public keys."""
    return api.delete(f"{api.client(holder)}/links")
