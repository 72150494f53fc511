# SPDX-License-Identifier: Apache-2.0
"""The key with which a client is registered: from a file, or made here together with the state of its device."""

from __future__ import annotations

import hashlib
import re
import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from e4cli import states
from e4cli.api_client import UNANSWERED, Api, Body, Document
from e4cli.device_text import TEXT_MAX_LEN, DeviceText

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
QrOption = Annotated[
    Path | None,
    typer.Option("--qr", metavar="FILE", help="Text that was scanned from e4 device qr; - is stdin."),
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


def register_scanned(api: Api, name: str | None, scan: Path, key: Path | None) -> Document:
    """What the C2 answers to a device of whom ``scan`` has the text.

    Args: name: must be that of the text.  key: file of the key, where the text cannot have it.
    Raises: InvalidInput. Conflict: the text is of another device. UnsupportedSuite; E4Error.
    """
    from e4core.errors import Conflict, UnsupportedSuite
    from e4core.plugins import load_equal_suite

    shown = DeviceText.parse(_scanned(scan))
    if name not in (None, shown.name):
        raise Conflict(f"this code is of {shown.name!r}; scan that of {name!r}")
    about = api.get("/v1/c2")
    if shown.suite != about["wire_name"]:
        raise UnsupportedSuite(f"the device speaks {shown.suite}, and the C2 {about['wire_name']}")
    public = _key_of(shown, key, load_equal_suite(about["suite"], about["wire_name"]))
    return api.post("/v1/clients", {"name": shown.name, "id": shown.id, "key": b64encode(public).decode()})


def _scanned(scan: Path) -> str:
    from e4core import files

    line = sys.stdin.buffer.readline(TEXT_MAX_LEN) if scan == Path("-") else files.read(scan, private=False)
    return line.decode(errors="replace")


def _key_of(shown: DeviceText, key: Path | None, suite: Suite) -> bytes:
    from e4core.errors import InvalidInput
    from e4device import keyfiles

    if shown.key is not None:
        if key is not None:
            raise typer.BadParameter("the code has the key; leave --key out")
        suite.device.check(shown.key)
        return shown.key
    if key is None:
        raise InvalidInput("no key of the device is in the code; give its file with --key", kind="key_needed")
    public = keyfiles.load_public(key, suite.device)
    if shown.sha256 not in (None, hashlib.sha256(public).hexdigest()):
        raise InvalidInput(f"{key} is not the key that the code is about; give the file of that", kind="other_key")
    return public


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
