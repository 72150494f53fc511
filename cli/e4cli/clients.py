# SPDX-License-Identifier: Apache-2.0
"""``e4 clients``: the devices that a C2 knows, and their keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from e4cli import enrolment, fleet
from e4cli.api_client import Api, Document
from e4cli.asking import LimitOption, PrefixOption, Reason, WaitSecondsOption, changes, hex_id, lists, shows
from e4cli.completing import known_clients
from e4cli.enrolment import GenerateOption, KeyOption, KeySource, QrOption, StateOption
from e4cli.output import Row
from e4cli.passphrases import PassphraseFileOption
from e4cli.states import EncryptOption
from e4core.keys import check_client_name

app = typer.Typer(no_args_is_help=True, help="Register devices, and look after their keys.")
app.command("import")(fleet.import_)
app.command("export")(fleet.export)

ClientArgument = Annotated[
    str, typer.Argument(metavar="CLIENT", help="Name of the client.", autocompletion=known_clients)
]


@app.command()
@shows
def create(
    api: Api,
    client: Annotated[str | None, typer.Argument(metavar="CLIENT", help="Its name; --qr knows it.")] = None,
    key: KeyOption = None,
    generate: GenerateOption = False,
    qr: QrOption = None,
    state: StateOption = None,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="HEX", help="Its id, 16 bytes; else it follows from the name.")
    ] = None,
    encrypt: EncryptOption = False,
    passphrase_file: PassphraseFileOption = None,
) -> Row:
    """Register a client. Never overwrites one."""
    if qr is not None:
        if generate or state or id_ or encrypt or passphrase_file:
            raise typer.BadParameter("beside --qr goes --key alone, if that is needed")
        return enrolment.register_scanned(api, client, qr, key)
    if client is None:
        raise typer.BadParameter("say the name of the client, or give --qr")
    source = KeySource(key, generate, state, encrypt, passphrase_file)
    name, identity = check_client_name(client), hex_id(id_) if id_ is not None else None
    new = {"name": name, **({"id": identity} if identity else {})}
    return enrolment.register(api, name, identity, source, lambda key: api.post("/v1/clients", {**new, **key}))


@app.command("list")
@lists
def list_(api: Api, prefix: PrefixOption = "", limit: LimitOption = None) -> Iterable[Row]:
    """List clients by name."""
    return api.items("/v1/clients", limit, prefix=prefix)


@app.command()
@shows
def show(api: Api, client: ClientArgument) -> Row:
    """Show a client."""
    return api.get(api.client(client))


@app.command()
@changes
def remove(
    api: Api,
    clients: Annotated[
        list[str], typer.Argument(metavar="CLIENT", help="Names of clients.", autocompletion=known_clients)
    ],
    rekey: Annotated[
        bool,
        typer.Option("--rekey/--no-rekey", help="New keys for the topics that it leaves; without them it can read on."),
    ] = True,
    wait_s: WaitSecondsOption = None,
) -> Document:
    """Forget clients, all or none: they are evicted from all their topics, and each of those is re-keyed once."""
    if len(clients) > 1:
        if wait_s is not None:
            raise typer.BadParameter("--wait-s goes with one client; several are re-keyed for once anyhow")
        ids = [api.client_id(name) for name in dict.fromkeys(clients)]
        asked = {"clients": ids, "rekey": rekey, "all_or_none": True}
        operation: Document = api.post("/v1/clients/batch/remove", asked)["operation"]
        return operation
    (client,) = clients
    waiting = {} if wait_s is None else {"wait_s": str(wait_s)}
    return api.delete(api.client(client), rekey="true" if rekey else "false", **waiting)


@app.command()
@lists
def holdings(api: Api, client: ClientArgument, limit: LimitOption = None) -> Iterable[Row]:
    """List the topics of a client, and whether it has their present keys."""
    return api.items(f"{api.client(client)}/holdings", limit)


@app.command()
@lists
def key_changes(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List the devices that are to get another key and have not confirmed it, and since when."""
    return api.items("/v1/key-changes", limit)


@app.command()
@lists
def topics(api: Api, client: ClientArgument, limit: LimitOption = None) -> Iterable[Row]:
    """List the topics that a client is a member of."""
    return api.items(f"{api.client(client)}/topics", limit)


@app.command()
@changes
def new_key(
    api: Api,
    client: ClientArgument,
    reason: Annotated[
        Reason, typer.Option(help="routine: a fresh key is sent to the device; compromised: it is suspended.")
    ],
) -> Document:
    """Change the key of a device, or suspend it because its key is known to others."""
    return api.post(f"{api.client(client)}/key", {"reason": reason.value})


@app.command()
@changes
def confirm_key(api: Api, client: ClientArgument) -> Document:
    """Tell the C2 that the device uses its new key."""
    return api.post(f"{api.client(client)}/key/confirm")


@app.command()
@shows
def cancel_key(api: Api, client: ClientArgument) -> Row:
    """Tell the C2 that the device still uses its old key."""
    return api.post(f"{api.client(client)}/key/cancel")


@app.command()
@shows
def confirm_c2_key(api: Api, client: ClientArgument) -> Row:
    """Tell the C2 that the device uses the newest C2 key; a device that does not is then out of reach."""
    return api.post(f"{api.client(client)}/c2-key/confirm")


@app.command()
@changes
def enrol(
    api: Api,
    client: ClientArgument,
    key: KeyOption = None,
    generate: GenerateOption = False,
    state: StateOption = None,
    encrypt: EncryptOption = False,
    passphrase_file: PassphraseFileOption = None,
) -> Document:
    """Give a suspended client a key that was made anew."""
    source = KeySource(key, generate, state, encrypt, passphrase_file)
    identity = api.client_id(client)
    path = f"/v1/clients/{identity}/enrol"
    return enrolment.register(api, client, identity, source, lambda key: api.post(path, key))


@app.command()
@changes
def reset(api: Api, client: ClientArgument) -> Document:
    """Empty a device, and send it all that it should hold."""
    return api.post(f"{api.client(client)}/reset")
