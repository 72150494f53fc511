# SPDX-License-Identifier: Apache-2.0
"""What Tab offers for the names of clients and topics: those that the C2 knows, if it answers at once.

A shell may evaluate what it is offered, and names are chosen by people who need not be trusted: only plain ones are offered.
"""

from __future__ import annotations

import re

import typer
from typer.exceptions import TyperException

from e4cli.reaching import REACHING, open_api
from e4core.errors import E4Error

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_MOST = 100
"""Names; more help nobody."""
_WITHIN_S = 2.0


def known_clients(context: typer.Context, incomplete: str) -> list[str]:
    """Names of clients that begin so."""
    return _names(context, "/v1/clients", incomplete)


def known_topics(context: typer.Context, incomplete: str) -> list[str]:
    """Names of topics that begin so."""
    return _names(context, "/v1/topics", incomplete)


def _names(context: typer.Context, path: str, incomplete: str) -> list[str]:
    try:
        with open_api(context, **{name: context.params[name] for name in REACHING}) as api:
            api.wait_at_most(_WITHIN_S)
            names = [str(each["name"]) for each in api.items(path, _MOST, prefix=incomplete)]
    except (E4Error, TyperException):  # the command itself says why
        return []
    return [name for name in names if PLAIN.fullmatch(name)]
