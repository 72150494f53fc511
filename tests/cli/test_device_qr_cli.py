# SPDX-License-Identifier: Apache-2.0
"""A device shows itself as a QR code, and is registered by what was scanned."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from e4cli import exits
from e4cli.device_text import KEY_MAX_LEN, DeviceText
from e4core.errors import Conflict, InvalidInput, UnsupportedSuite
from tests.cli.c2_server import C2
from tests.cli.devices import loaded
from tests.cli.test_c2_cli import fresh

CODE = exits.code_of


def device(c2: C2, name: str) -> tuple[Path, Path, Path]:
    """State, private key and what the C2 is told, of a device that no C2 knows."""
    private, public = c2.key_file(fresh("key"))
    state = c2.folder / f"{fresh('state')}.state"
    c2_key: tuple[str | Path, ...] = ()
    if not c2.suite.is_symmetric:
        path = c2.folder / f"{fresh('c2')}.pub"
        path.write_bytes(bytes.fromhex(c2.answer("c2", "show")["c2_keys"][-1]["public"]))
        c2_key = ("--c2-key", path)
    c2.ok("device", "init", name, "--suite", c2.suite.name, "--key", private, "--state", state, *c2_key)
    return state, private, public


def scanned(c2: C2, name: str, state: Path) -> tuple[str, Path]:
    text = c2.answer("device", "qr", name, "--state", state)["text"]
    file = c2.folder / fresh("scan")
    file.write_text(text + "\n")
    return text, file


def test_public_key_that_was_scanned_is_registered(pk: C2) -> None:
    name = fresh("Halle/ü &=?%#")
    state, _, public = device(pk, name)
    text, file = scanned(pk, name, state)
    assert DeviceText.parse(text).key == public.read_bytes()
    assert pk.run("clients", "create", "other", "--qr", file).code == CODE(Conflict())
    made = pk.answer("clients", "create", "--qr", file)
    assert (made["name"], made["id"]) == (name, loaded(state).client_id.hex())
    assert pk.run("clients", "create", name, "--qr", file, "--key", public).code == exits.USAGE
    assert pk.run("clients", "create", name, "--qr", file, "--generate").code == exits.USAGE


def test_secret_key_is_never_shown(sk: C2) -> None:
    name = fresh("attic")
    state, private, _ = device(sk, name)
    picture = sk.folder / f"{fresh('code')}.svg"
    text, file = scanned(sk, name, state)
    sk.ok("device", "qr", name, "--state", state, "--out", picture)
    held = DeviceText.parse(text)
    assert (held.key, held.sha256) == (None, None)
    assert text == f"e4:{name}?suite={sk.suite.wire_name}&id={held.id}"
    assert sk.run("clients", "create", "--qr", file).code == CODE(InvalidInput())
    assert sk.answer("clients", "create", "--qr", file, "--key", private)["name"] == name


def test_code_is_drawn_in_the_terminal_and_in_files(pk: C2) -> None:
    name = fresh("door")
    state, _, _ = device(pk, name)
    drawn = pk.ok("device", "qr", name, "--state", state)
    assert "█" in drawn
    assert drawn.splitlines()[-1] == scanned(pk, name, state)[0]
    for ending, magic in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        picture = pk.folder / f"{fresh('code')}.{ending}"
        pk.ok("device", "qr", name, "--state", state, "--out", picture)
        assert picture.read_bytes().startswith(magic)
        assert pk.run("device", "qr", name, "--state", state, "--out", picture).code == CODE(Conflict())
    assert pk.run("device", "qr", name, "--state", state, "--out", "code.gif").code == exits.USAGE


def test_long_key_is_told_by_its_digest_and_must_be_the_very_one(pk: C2) -> None:
    name = fresh("yard")
    _, _, public = device(pk, name)
    _, _, other = device(pk, name)
    long = DeviceText.of(name, pk.suite.wire_name, pk.suite.derive_id(name).hex(), b"k" * (KEY_MAX_LEN + 1))
    assert long.key is None
    assert DeviceText.parse(str(long)) == long
    file = pk.folder / fresh("scan")
    file.write_text(str(replace(long, sha256=hashlib.sha256(public.read_bytes()).hexdigest())))
    assert pk.run("clients", "create", "--qr", file).code == CODE(InvalidInput())
    assert pk.run("clients", "create", "--qr", file, "--key", other).code == CODE(InvalidInput())
    assert pk.answer("clients", "create", "--qr", file, "--key", public)["name"] == name


def test_device_of_another_suite_is_refused(pk: C2, sk: C2) -> None:
    name = fresh("shed")
    state, _, _ = device(pk, name)
    assert sk.run("clients", "create", "--qr", scanned(pk, name, state)[1]).code == CODE(UnsupportedSuite())


ID = "0" * 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e4:",
        "e4:a",
        "https://a?suite=pk&id=" + ID,
        "e4:a?suite=pk",
        f"e4:a?id={ID}",
        f"e4:a?suite=pk&id={ID[1:]}",
        f"e4:a?suite=pk&id={ID}&id={ID}",
        f"e4:a?suite=pk&id={ID}&x=1",
        f"e4:a?suite=pk&id={ID}&key=!",
        f"e4:a?suite=pk&id={ID}&key=A",
        f"e4:a?suite=pk&id={ID}&sha256=00",
        f"e4:%00?suite=pk&id={ID}",
        f"e4:{'a' * 5000}?suite=pk&id={ID}",
    ],
)
def test_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        DeviceText.parse(text)
