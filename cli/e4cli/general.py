# SPDX-License-Identifier: Apache-2.0
"""``e4 suites``, ``e4 exit-codes``, ``e4 --version``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from e4cli.output import Output, OutputOption, Row, Value, show_rows

if TYPE_CHECKING:
    from e4core.suite import Identity, Suite


def suites(output: OutputOption = Output.TABLE) -> None:
    """Show the installed suites and their parts; lengths are in bytes."""
    from e4core.plugins import SUITES, names

    show_rows(output, [_row(name) for name in names(SUITES)])


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
    from e4core.plugins import load_suite

    try:
        return {"suite": name, **_parts(load_suite(name)), "problem": None}
    except PluginError as error:
        return {"suite": name, **dict.fromkeys(_PARTS), "problem": str(error)}


_PARTS = ("wire_name", "format", "aead", "hash", "signature", "device_key", "c2_key")


def _parts(suite: Suite) -> Row:
    aead, signature = suite.aead, suite.signature
    values: tuple[Value, ...] = (
        suite.wire_name,
        suite.format,
        {"part": _kind(aead), "key": aead.key_len, "nonce": aead.nonce_len, "tag": aead.tag_len},
        _kind(suite.hash),
        {"part": _kind(signature), "signature": signature.signature_len} if signature else None,
        _key(suite.device),
        _key(suite.c2),
    )
    return dict(zip(_PARTS, values, strict=True))


def _key(identity: Identity) -> Row | None:
    if not identity.private_len:
        return None
    public = None if identity.public_is_secret else identity.public_len
    return {"part": _kind(identity), "private": identity.private_len, "public": public}


def _kind(part: object) -> str:
    return type(part).__name__
