# SPDX-License-Identifier: Apache-2.0
"""``e4 suites``, ``e4 exit-codes``, ``e4 --version``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from e4cli.output import Output, OutputOption, Row, Value, show_rows

if TYPE_CHECKING:
    from e4core.suite import Identity, Suite


def suites(output: OutputOption = Output.TABLE) -> None:
    """Show the installed suites, whose they are, and what they add to a message and a command; lengths are in bytes.

    JSON has their parts as well.
    """
    from e4core.plugins import SUITES, names

    rows = [_row(name) for name in names(SUITES)]
    if output is Output.TABLE:
        rows = [{name: value for name, value in row.items() if name not in _PARTS} for row in rows]
    show_rows(output, rows)


def exit_codes(output: OutputOption = Output.TABLE) -> None:
    """Show what each exit status means."""
    from e4cli.exits import TABLE

    show_rows(output, [{"code": exit_.code, "name": exit_.name, "meaning": exit_.meaning} for exit_ in TABLE])


def version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"e4 {version('e4core')}")
        raise typer.Exit


def _row(name: str) -> Row:
    from e4core.errors import PluginError
    from e4core.plugins import SUITES, load_suite, owners

    row: Row = {"suite": name, "from": owners(SUITES, name)}
    try:
        return {**row, **_sizes(load_suite(name)), "problem": None}
    except PluginError as error:
        return {**row, **dict.fromkeys((*_SIZES, *_PARTS)), "problem": str(error)}


_SIZES = ("wire_name", "format", "message_overhead", "command_overhead")
_PARTS = ("aead", "hash", "signature", "device_key", "c2_key")


def _sizes(suite: Suite) -> Row:
    from e4core.formats import overheads

    aead, signature = suite.aead, suite.signature
    parts: tuple[Value, ...] = (
        {"part": _kind(aead), "key": aead.key_len, "nonce": aead.nonce_len, "tag": aead.tag_len},
        {"part": _kind(suite.hash)},
        {"part": _kind(signature), "signature": signature.signature_len} if signature else None,
        _key(suite.device),
        _key(suite.c2),
    )
    sizes = (suite.wire_name, suite.format, *overheads(suite))
    return {**dict(zip(_SIZES, sizes, strict=True)), **dict(zip(_PARTS, parts, strict=True))}


def _key(identity: Identity) -> Row | None:
    if not identity.private_len:
        return None
    public = None if identity.public_is_secret else identity.public_len
    return {"part": _kind(identity), "private": identity.private_len, "public": public}


def _kind(part: object) -> str:
    return type(part).__name__
