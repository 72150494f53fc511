# SPDX-License-Identifier: Apache-2.0
"""The key with which a client is registered: from a file, or made here together with the state of its device."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from e4cli import states
from e4cli.api_client import UNANSWERED, Api, Body, Document

if TYPE_CHECKING:
    from e4core.keys import ClientId
    from e4core.suite import Suite

KeyOption = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Public key of the device; in symmetric suites its secret key."),
]
GenerateOption = Annotated[bool, typer.Option("--generate", help="Make the key here, and a state file for the device.")]
StateOption = Annotated[
    Path | None, typer.Option("--state", "-s", metavar="FILE", help="With --generate: instead of NAME.state.")
]

Register = Callable[[Body], Document]
"""Tells the C2 the ``key`` of the device (base64), and which ``c2_key`` it holds, where that is known."""


@dataclass(frozen=True, slots=True)
class KeySource:
    """What the command line says."""

    key: Path | None
    generate: bool
    state: Path | None
    encrypt: bool
    passphrase_file: Path | None

    def __post_init__(self) -> None:
        if (self.key is not None) is self.generate:
            raise typer.BadParameter("give either --key or --generate")
        if self.key and (self.state or self.encrypt or self.passphrase_file):
            raise typer.BadParameter("--state, --encrypt and --passphrase-file go with --generate")


def register(api: Api, name: str, identity: str | None, source: KeySource, send: Register) -> Document:
    """What the C2 answers, and with ``--generate`` where the state of the device is.

    Args: identity: of the client, in hexadecimal; None: it follows from the name.
    Raises: E4Error: then no state file is left, unless the C2 may know its key.
    """
    from e4core.keys import ClientId
    from e4device import keyfiles

    about = api.get("/v1/c2")
    suite = _suite(about, source)
    if source.key is not None:
        return send({"key": b64encode(keyfiles.load_public(source.key, suite.device)).decode()})
    client_id = ClientId(bytes.fromhex(identity) if identity else suite.derive_id(name))
    return _generated(suite, client_id, _c2_key(about), source.state or _state_path(name), source, send)


class _C2Key(NamedTuple):
    version: int
    public: bytes


def _generated(
    suite: Suite, client_id: ClientId, c2_key: _C2Key, path: Path, source: KeySource, send: Register
) -> Document:
    from e4core.errors import E4Error
    from e4core.formats import new_state
    from e4core.keys import Secret

    private = Secret(suite.device.generate())
    public = suite.device.public(suite.device.load(private))
    with states.new(path, source.passphrase_file, source.encrypt) as file:
        # written first, for a registered key that nobody holds would be of no use
        file.create(new_state(suite, client_id, private, c2_key.public))
        try:
            # with the version, as the C2's key may have been changed since it was asked for
            answer = send({"key": b64encode(public).decode(), "c2_key": c2_key.version})
        except E4Error as error:
            if error.kind != UNANSWERED:
                states.discard(file)
            raise
    return Document({**answer, "state_file": str(path)})


def _suite(about: Document, source: KeySource) -> Suite:
    """A state names its suite, so that needs the very one of the C2; a public key does not."""
    from e4core.errors import PluginError
    from e4core.plugins import load_equal_suite, load_suite

    name, wire_name = about["suite"], about["wire_name"]
    suite = load_suite(name) if source.generate else load_equal_suite(name, wire_name)
    if suite.wire_name != wire_name:
        raise PluginError(f"the suite {suite.name} here is {suite.wire_name}, at the C2 {wire_name}")
    return suite


def _c2_key(about: Document) -> _C2Key:
    active = [
        _C2Key(key["version"], bytes.fromhex(key["public"])) for key in about["c2_keys"] if key["state"] == "active"
    ]
    return active[0] if active else _C2Key(0, b"")


def _state_path(name: str) -> Path:
    return Path(re.sub(r"[^\w.-]", "_", name) + ".state")
