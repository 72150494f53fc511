# SPDX-License-Identifier: Apache-2.0
"""``e4 identity``: what those may do whom an issuer of OpenID Connect or a CA vouches for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from e4cli.api_client import Api
from e4cli.asking import LimitOption, hex_id, lists, shows
from e4cli.output import Row
from e4cli.token import ClientsOption, RoleOption, TopicsOption, checked_name, grants_of

app = typer.Typer(no_args_is_help=True, help="Say what those may do whom an issuer or a CA vouches for.")

IdentityArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the identity; see list.")]


@app.command()
@shows
def create(
    api: Api,
    name: Annotated[str, typer.Argument(help="Of whom it is; several may have the same.")],
    role: RoleOption,
    subject: Annotated[str | None, typer.Option(help="Subject (sub) of an OIDC token.")] = None,
    group: Annotated[str | None, typer.Option(help="One of the groups of an OIDC token.")] = None,
    issuer: Annotated[str | None, typer.Option(metavar="URL", help="Who issues it, as it is in the token.")] = None,
    san: Annotated[
        str | None, typer.Option(metavar="NAME", help="In a certificate: dns:NAME, uri:URI or email:ADDRESS.")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="SHA256", help="Of one certificate, hexadecimal, with or without colons.")
    ] = None,
    clients: ClientsOption = None,
    topics: TopicsOption = None,
) -> Row:
    """Make an identity. It lets do no more than your own token does."""
    by = {"subject": subject, "group": group, "san": san, "fingerprint": fingerprint}
    given = [(kind, value) for kind, value in by.items() if value is not None]
    if len(given) != 1:
        raise typer.BadParameter("name them by one of --subject, --group, --san and --fingerprint")
    ((found_by, value),) = given
    body = {"name": checked_name(name), "found_by": found_by, "value": value, "issuer": issuer}
    return api.post("/v1/identities", {**body, "grants": grants_of(role, clients, topics)})


@app.command("list")
@lists
def list_(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List identities."""
    return api.items("/v1/identities", limit)


@app.command()
@shows
def show(api: Api, identity: IdentityArgument) -> Row:
    """Show an identity."""
    return api.get(f"/v1/identities/{hex_id(identity)}")


@app.command()
@shows
def remove(api: Api, identity: IdentityArgument) -> Row:
    """Remove an identity, at once."""
    found = hex_id(identity)
    api.delete(f"/v1/identities/{found}")
    return {"removed": found}
