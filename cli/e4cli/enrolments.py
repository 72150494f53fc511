# SPDX-License-Identifier: Apache-2.0
"""``e4 enrolment``: tokens by which devices enrol themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from e4cli.api_client import Api
from e4cli.asking import LimitOption, hex_id, lists, shows
from e4cli.completing import known_topics
from e4cli.output import Row
from e4cli.token import checked_name, write_token
from e4core.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Let devices enrol themselves, for a while.")

EnrolmentArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the enrolment token; see list.")]
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9})([smhd])")


@app.command()
@shows
def create(
    api: Api,
    name: Annotated[str, typer.Argument(help="What it is for; several may have the same.")],
    clients: Annotated[
        str, typer.Option(metavar="PATTERN", help="The name that the device takes, or a beginning of names and *.")
    ],
    topic: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="Each device joins it; may be repeated.", autocompletion=known_topics),
    ] = None,
    uses: Annotated[int, typer.Option(min=1, help="How many devices it lets in.")] = 1,
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it is valid: 90s, 10m, 8h or 2d.")] = "10m",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write its text there, mode 0600.")] = None,
) -> Row:
    """Make an enrolment token."""
    if out is None and not sys.stdout.isatty():
        raise InvalidInput("a token is shown on a terminal only; write it with --out FILE", kind="no_terminal")
    asked = {"clients": clients, "topics": topic or [], "uses": uses, "lifetime_s": _seconds(expires)}
    made = api.post("/v1/enrolments", {"name": checked_name(name), **asked})
    if out is None:
        return made
    write_token(api, f"/v1/enrolments/{made['id']}", out, made.pop("token").encode() + b"\n")
    return {**made, "file": str(out)}


@app.command("list")
@lists
def list_(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List enrolment tokens, without their texts."""
    return api.items("/v1/enrolments", limit)


@app.command()
@shows
def show(api: Api, enrolment: EnrolmentArgument) -> Row:
    """Show an enrolment token, without its text."""
    return api.get(f"/v1/enrolments/{hex_id(enrolment)}")


@app.command()
@shows
def revoke(api: Api, enrolment: EnrolmentArgument) -> Row:
    """Revoke an enrolment token, at once; devices that it has let in stay what they are."""
    identity = hex_id(enrolment)
    api.delete(f"/v1/enrolments/{identity}")
    return {"revoked": identity}


def _seconds(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if not found:
        raise typer.BadParameter("a time is a whole number and a unit: 90s, 10m, 8h or 2d")
    return int(found[1]) * _UNITS_S[found[2]]
