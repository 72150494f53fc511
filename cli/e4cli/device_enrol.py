# SPDX-License-Identifier: Apache-2.0
"""``e4 device enrol``: a device makes its own key, and becomes a client of a C2 by an enrolment token.

The state file, with the key, is written before the C2 hears of it, and is what a later try goes on with: whenever either side is
killed, doing it again finishes it. What the C2 has registered is told again to who proves to hold the same key.
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from e4cli import states
from e4cli.api_client import UNANSWERED, Api, Document
from e4cli.connection import DEFAULT_URL, Authorities, Pin, Token
from e4cli.output import Output, OutputOption, Row, remark, show_record
from e4cli.passphrases import PassphraseFileOption
from e4cli.reaching import CaOption, UrlOption
from e4cli.states import EncryptOption, NewStateOption
from e4core.errors import Conflict, E4Error
from e4core.keys import ClientId, Secret, check_client_name

if TYPE_CHECKING:
    from e4core.formats import AnyState
    from e4core.suite import Suite
    from e4device.statefile import StateFile

_STDIN = Path("-")


class _Invited(NamedTuple):
    """What the C2 says to who has an enrolment token."""

    enrolment: bytes
    suite: Suite
    c2_key: int
    c2_public: bytes
    broker: str


def enrol(
    name: Annotated[str, typer.Argument(help="Name that the device takes.")],
    token_file: Annotated[
        Path, typer.Option(metavar="FILE", help="Its first line is the enrolment token; - is stdin.")
    ],
    state: NewStateOption,
    url: UrlOption = DEFAULT_URL,
    ca: CaOption = None,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="HEX", help="SHA-256 of the C2's certificate, instead of --ca.")
    ] = None,
    encrypt: EncryptOption = False,
    passphrase_file: PassphraseFileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Enrol this device at a C2. If it was interrupted, do it again in the same way."""
    check_client_name(name)
    if ca is not None and fingerprint is not None:
        raise typer.BadParameter("give either --ca or --fingerprint")
    vouches: Authorities = Pin.parse(fingerprint) if fingerprint is not None else ca
    with Api(url, _token(token_file), vouches) as api, _file(state, passphrase_file, encrypt) as file:
        invited = _invited(api.get("/v1/enrol"))
        fresh = not state.exists()
        held = _state(file, name, invited)
        try:
            client = api.post("/v1/enrol", _asked(name, held, invited))
        except E4Error as error:
            if fresh and error.kind != UNANSWERED:
                states.discard(file)
            raise
    shown: Row = {"name": client["name"], "id": client["id"], "state_file": str(state), "broker": invited.broker}
    show_record(output, shown)
    remark(
        f"it says hello to its C2, and gets its topics, with: e4 device run --state {state} --broker {invited.broker}"
    )


def _invited(told: Document) -> _Invited:
    from e4core.errors import PluginError
    from e4core.plugins import load_suite

    suite = load_suite(told["suite"])
    if suite.wire_name != told["wire_name"]:
        raise PluginError(f"the suite {suite.name} here is {suite.wire_name}, at the C2 {told['wire_name']}")
    key = told["c2_key"]
    version, public = (key["version"], bytes.fromhex(key["public"])) if key else (0, b"")
    return _Invited(bytes.fromhex(told["enrolment"]), suite, version, public, told["broker"])


def _state(file: StateFile, name: str, invited: _Invited) -> AnyState:
    """A new state, or that of a try before. Raises: Conflict: it is that of another device, or of one that is at work already."""
    from e4core.formats import new_state

    client_id = ClientId(invited.suite.derive_id(name))
    if not file.path.exists():
        made = new_state(invited.suite, client_id, Secret(invited.suite.device.generate()), invited.c2_public)
        # written first, for a registered key that nobody holds would be of no use
        file.create(made)
        return made
    held = states.load(file)
    if (held.suite, held.client_id) != (invited.suite.name, client_id):
        raise Conflict(f"{file.path} is the state of another device; name another file", kind="exists")
    if held.newest_command:
        raise Conflict(f"{file.path} is of a device that is at work already; there is nothing to enrol", kind="exists")
    if held.c2_public != invited.c2_public:  # which was changed since
        held = new_state(invited.suite, client_id, held.private, invited.c2_public)
        file.save(held)
    return held


def _asked(name: str, held: AnyState, invited: _Invited) -> dict[str, object]:
    from e4core import container
    from e4core.enrolment import Request, prove

    suite = invited.suite
    private = suite.device.load(held.private)
    key = suite.device.public(private)
    channel = suite.control.at_device(private, invited.c2_public)
    request = Request(invited.enrolment, name, key, invited.c2_key)
    proof = prove(suite, channel, request, os.urandom(container.SALT_LEN))
    texts = {"key": b64encode(key).decode(), "proof": b64encode(proof).decode()}
    return {"name": name, "c2_key": invited.c2_key, **texts}


def _file(path: Path, passphrase_file: Path | None, encrypt: bool) -> StateFile:
    return states.existing(path, passphrase_file) if path.exists() else states.new(path, passphrase_file, encrypt)


def _token(path: Path) -> Token:
    from e4core import files

    line = sys.stdin.buffer.readline(4096) if path == _STDIN else files.first_line(path)
    return Token(Secret(line.strip()), "stdin" if path == _STDIN else str(path))
