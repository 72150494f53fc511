# SPDX-License-Identifier: Apache-2.0
"""``e4 device qr``: what a device may tell everybody of itself, to be scanned in the workshop."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from e4cli import states
from e4cli.device_text import DeviceText
from e4cli.output import Output, OutputOption, remark, show_record
from e4cli.passphrases import PassphraseFileOption
from e4cli.states import StateOption
from e4core import files
from e4core.keys import check_client_name

if TYPE_CHECKING:
    from segno import QRCode

_ENDINGS = ("svg", "png")
_PIXELS = 8
"""For each module of the code, in a picture."""


def qr(
    name: Annotated[str, typer.Argument(help="Name that the device is to have.")],
    state: StateOption,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Draw it there, as NAME.svg or NAME.png.")
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show name, id and public key of the device as a QR code; no secret is in it."""
    import segno

    if out is not None and _ending(out) not in _ENDINGS:
        raise typer.BadParameter(f"a picture ends in {' or '.join(_ENDINGS)}")
    text = str(_told(check_client_name(name), state, passphrase_file))
    code = segno.make_qr(text, error="m")
    if out is not None:
        picture = io.BytesIO()
        code.save(picture, kind=_ending(out), scale=_PIXELS)
        files.create(out, picture.getvalue(), files.PUBLIC)
    if output is not Output.TABLE:
        show_record(output, {"text": text, "file": str(out) if out else None})
        return
    if out is None:
        _draw(code)
    sys.stdout.write(text + "\n")


def _told(name: str, state: Path, passphrase_file: Path | None) -> DeviceText:
    from e4core.plugins import load_suite
    from e4device.in_token import opened

    held = states.load(states.existing(state, passphrase_file))
    with opened(load_suite(held.suite), held.private) as suite:
        # what is called public in symmetric suites is the key itself
        public = None if suite.device.public_is_secret else suite.device.public(suite.device.load(held.private))
        return DeviceText.of(name, suite.wire_name, held.client_id.hex(), public)


def _draw(code: QRCode) -> None:
    drawn = io.StringIO()
    code.terminal(drawn, compact=True)
    try:
        drawn.getvalue().encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        remark("this terminal cannot draw the code; --out FILE.svg can")
    else:
        sys.stdout.write(drawn.getvalue())


def _ending(out: Path) -> str:
    return out.suffix.lower().removeprefix(".")
