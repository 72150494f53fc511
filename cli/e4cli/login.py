# SPDX-License-Identifier: Apache-2.0
"""``e4 login``, ``e4 logout`` and ``e4 whoami``: where a C2 is and who asks it, said once, and who that is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from e4cli import profiles
from e4cli.api_client import Api
from e4cli.asking import shows
from e4cli.connection import DEFAULT_URL, Certificate
from e4cli.output import Output, OutputOption, Row, show_record, show_rows
from e4cli.profiles import By, Command, Profile
from e4cli.sign_in import SCOPE, sign_in
from e4core import files
from e4core.errors import E4Error, InvalidInput
from e4core.keys import Secret

NameOption = Annotated[
    str,
    typer.Option(
        "--profile", metavar="NAME", envvar=profiles.VARIABLE, help="Its name.", autocompletion=profiles.names
    ),
]


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the C2 is.")] = DEFAULT_URL,
    profile: NameOption = profiles.DEFAULT,
    ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PEM file of those who may vouch for the C2, instead of the system's."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its first line is the token, which is stored; else it is asked."),
    ] = None,
    token_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND", help="Run for each command; its first line is the token, as of an OIDC issuer."
        ),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of a client certificate, instead of a token.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM file of the key of --certificate.")] = None,
    issuer: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Sign in at this issuer of OpenID Connect, in any browser, instead."),
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(metavar="ID", help="As what the issuer knows this command; with --issuer.")
    ] = None,
    scope: Annotated[
        str,
        typer.Option(metavar="TEXT", help="What the issuer is asked for; without openid the access token is shown."),
    ] = SCOPE,
    list_: Annotated[bool, typer.Option("--list", help="Show the profiles that are stored, without secrets.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Store where a C2 is and who asks it, if it lets us in; later commands use that by --profile, or as the default profile."""
    if list_:
        show_rows(output, [_listed(name) for name in profiles.names()])
        return
    if sum(each is not None for each in (token_file, token_command, certificate, issuer)) > 1:
        raise typer.BadParameter("give one of --token-file, --token-command, --certificate and --issuer")
    file = profiles.path(profile)
    by = (
        _signed_in(issuer, client_id, scope)
        if issuer or client_id
        else _by(token_file, token_command, certificate, key)
    )
    made = Profile(url, ca.absolute() if ca else None, by)
    with Api(made.url, made.shown(profile), made.ca) as api:
        known = api.get("/v1/self")
    profiles.store(profile, made)
    show_record(output, {"profile": profile, "url": url, "file": str(file), **known})


def logout(profile: NameOption = profiles.DEFAULT) -> None:
    """Forget a profile. Its token stays valid until it is revoked."""
    profiles.remove(profile)


@shows
def whoami(api: Api) -> Row:
    """Show who asks the C2, and what they may do."""
    return api.get("/v1/self")


def _listed(name: str) -> Row:
    try:
        found = profiles.load(name)
    except E4Error as error:
        return {"profile": name, "url": None, "ca": None, "shows": None, "problem": str(error)}
    ca = str(found.ca) if found.ca else None
    return {"profile": name, "url": found.url, "ca": ca, "shows": found.kind, "problem": None}


def _by(token_file: Path | None, token_command: str | None, certificate: Path | None, key: Path | None) -> By:
    if (certificate is None) is not (key is None):
        raise typer.BadParameter("--certificate and --key go together")
    if certificate and key:
        return Certificate(certificate.absolute(), key.absolute())
    if token_command is not None:
        return Command(token_command)
    return Secret((files.first_line(token_file) if token_file else _asked()).strip())


def _signed_in(issuer: str | None, client_id: str | None, scope: str) -> By:
    if issuer is None or client_id is None:
        raise typer.BadParameter("--issuer and --client-id go together")
    return sign_in(issuer, client_id, scope)


def _asked() -> bytes:
    """At the terminal, even if stdin is something else. Raises: InvalidInput (``no_terminal``)."""
    from getpass import getpass

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        text = "a token is asked at a terminal, and there is none; give its file with --token-file"
        raise InvalidInput(text, kind="no_terminal") from error
    return getpass("token: ").encode()
