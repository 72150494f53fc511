# SPDX-License-Identifier: Apache-2.0
"""``e4 webhook``: who is told of events over HTTP. Its secret is shown once, where only the person asking for it looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from e4cli.api_client import Api
from e4cli.asking import LimitOption, lists, shows
from e4cli.events import KindOption
from e4cli.output import Row
from e4core.errors import E4Error, InvalidInput, NotFound, TransportError

app = typer.Typer(no_args_is_help=True, help="Have events posted to a URL.")

_PATH = "/v1/webhooks"
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the webhook.")]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="Where: https, or http on the machine of the C2.")]


@app.command()
@shows
def create(
    api: Api,
    name: NameArgument,
    receiver: UrlArgument,
    kind: KindOption = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write its secret there, mode 0600.")] = None,
) -> Row:
    """Have what happens from now on posted to a URL."""
    if out is None and not sys.stdout.isatty():
        raise InvalidInput("a secret is shown on a terminal only; write it with --out FILE", kind="no_terminal")
    made = api.post(_PATH, {"name": name, "url": receiver, "kinds": kind or []})
    shown = {**made["webhook"], "secret": made["secret"]}
    if out is None:
        return shown
    _write(api, made["id"], out, shown.pop("secret").encode() + b"\n")
    return {**shown, "file": str(out)}


@app.command("list")
@lists
def list_(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List webhooks by name, without their secrets."""
    return api.items(_PATH, limit)


@app.command()
@shows
def show(api: Api, name: NameArgument) -> Row:
    """Show a webhook, and whether it takes what it is sent."""
    return api.get(_path(api, name))


@app.command()
@shows
def change(
    api: Api,
    name: NameArgument,
    receiver: Annotated[str | None, typer.Argument(metavar="URL", help="Where from now on; else as before.")] = None,
    kind: KindOption = None,
    all_kinds: Annotated[bool, typer.Option("--all-kinds", help="All kinds again; else as before.")] = False,
) -> Row:
    """Change where events are posted, or which."""
    if kind and all_kinds:
        raise typer.BadParameter("give either --kind or --all-kinds")
    kinds = [] if all_kinds else kind or None
    return api.patch(_path(api, name), {"url": receiver, "kinds": kinds})


@app.command()
@shows
def test(api: Api, name: NameArgument) -> Row:
    """Post a test message. It fails if that is not taken."""
    tested = api.post(f"{_path(api, name)}/test")
    if tested["failure"] is not None:
        raise TransportError(str(tested["failure"]), kind="untaken")
    if not 200 <= int(tested["status"]) < 300:
        raise TransportError(f"the receiver answers {tested['status']}", kind="untaken")
    return {"status": tested["status"]}


@app.command()
@shows
def resume(api: Api, name: NameArgument) -> Row:
    """Try again at once, from where it stopped; also one that is paused."""
    return api.post(f"{_path(api, name)}/resume")


@app.command()
@shows
def remove(api: Api, name: NameArgument) -> Row:
    """Post nothing more to a webhook, and forget it."""
    api.delete(_path(api, name))
    return {"removed": name}


def _path(api: Api, name: str) -> str:
    """Raises: NotFound."""
    for found in api.items(_PATH):
        if found["name"] == name:
            return f"{_PATH}/{found['id']}"
    raise NotFound(f"there is no webhook {name!r}")


def _write(api: Api, identity: str, path: Path, text: bytes) -> None:
    """Nobody has a webhook whose secret could not be written."""
    from e4core import files

    try:
        files.create(path, text)
    except E4Error:
        api.delete(f"{_PATH}/{identity}")
        raise
