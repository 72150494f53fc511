# SPDX-License-Identifier: Apache-2.0
"""Where the C2 is that a command asks, and who asks: by options, variables, a profile, or a C2 on this machine.

A profile counts as a whole or not at all: no token of one place is ever sent to another.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from e4cli import profiles
from e4cli.api_client import Api
from e4cli.connection import Token
from e4core.errors import InvalidInput, StorageError
from e4core.keys import Secret

TOKEN_VARIABLE = "E4_TOKEN"  # noqa: S105
DATA_VARIABLE = "E4_DATA"
REACHING = ("url", "token_file", "ca", "profile")
"""Names of the options."""
_PLACE = ("E4_URL", TOKEN_VARIABLE, "E4_TOKEN_FILE", "E4_CA")

UrlOption = Annotated[str, typer.Option("--url", metavar="URL", envvar="E4_URL", help="Where the C2 is.")]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="E4_TOKEN_FILE",
        help=f"Its first line is the token; else ${TOKEN_VARIABLE} is it, or that of admin-token in ${DATA_VARIABLE} (./e4-data).",
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="FILE",
        envvar="E4_CA",
        help="PEM file of those who may vouch for the C2, instead of the system's.",
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        envvar=profiles.VARIABLE,
        help="Address and token that e4 login has stored under this name, instead of the others.",
        autocompletion=profiles.names,
    ),
]


def open_api(context: typer.Context, url: str, token_file: Path | None, ca: Path | None, profile: str | None) -> Api:
    """The C2 of these options, as they came to ``context``.

    Raises: InvalidInput: the URL, the token, or there is none. NotFound: the profile. StorageError: a file cannot be read or is
        open to others. typer.BadParameter: options that exclude each other. E4Error: as of `load_valid` and `Profile.shown`.
    """
    chosen = _profile(context, profile)
    if chosen is None:
        return Api(url, _token(token_file), ca)
    found = profiles.load_valid(chosen)
    return Api(found.url, found.shown(chosen), found.ca)


def data_folder() -> Path:
    """Where a C2 on this machine keeps its data."""
    return Path(os.environ.get(DATA_VARIABLE) or "e4-data")


def _profile(context: typer.Context, profile: str | None) -> str | None:
    """What counts is the command line, then variables, then a profile that is named `profiles.DEFAULT`."""
    typed = [name for name in REACHING if _is_typed(context, name)]
    if typed:
        if "profile" in typed and len(typed) > 1:
            raise typer.BadParameter("--profile says where the C2 is and who asks; leave it out, or the others")
        return profile if "profile" in typed else None
    set_ = [name for name in _PLACE if os.environ.get(name)]
    if profile and set_:
        raise InvalidInput(
            f"${profiles.VARIABLE} and ${set_[0]} both say where the C2 is; unset one", kind="two_places"
        )
    if profile or set_ or os.environ.get(DATA_VARIABLE):
        return profile
    return profiles.DEFAULT if profiles.path(profiles.DEFAULT).exists() else None


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _token(file: Path | None) -> Token:
    from e4core import files

    if file is None and (text := os.environ.get(TOKEN_VARIABLE)):
        return Token(Secret(os.fsencode(text).strip()), f"${TOKEN_VARIABLE}")
    path = file or data_folder() / "admin-token"
    try:
        return Token(Secret(files.first_line(path).strip()), str(path))
    except StorageError as error:
        if file is not None:
            raise
        raise StorageError(f"a token is needed, by e4 login, --token-file or ${TOKEN_VARIABLE}: {error}") from error
