# SPDX-License-Identifier: Apache-2.0
"""A device with its key in a token, by command and with a real C2: it does all that others do, and says what is wrong."""

from __future__ import annotations

import json
import signal
import stat
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from pkcs11 import Attribute

from e4backends.fips import SUITE_PK
from tests.cli.command import PATIENCE_S, answer, e4, ok, refused, running
from tests.cli.test_format2_cli import Site
from tests.kms.pkcs11.test_c2_key import pairs
from tests.kms.pkcs11.tokens import Token

pytestmark = pytest.mark.parametrize("token", ["softhsm"], indirect=True)
CONFLICT, UNAVAILABLE, KEY_NOT_FOUND, DENIED = 9, 14, 15, 19


@dataclass
class Gateway:
    folder: Path
    uri: str

    @property
    def key(self) -> Path:
        return self.folder / "lamp"

    @property
    def state(self) -> Path:
        return self.folder / "lamp.state"

    @property
    def label(self) -> str:
        return self.uri.partition("object=")[2].partition("-{version}")[0]

    @property
    def pin(self) -> Path:
        return Path(self.uri.partition("pin-source=file:")[2])

    def make(self) -> None:
        ok("keygen", "--suite", "fips-pk", "--in-token", self.uri, "--out", self.key)

    def init(self, *c2_key: str | Path) -> None:
        ok("device", "init", "lamp", "--suite", "fips-pk", "--key", self.key, "--state", self.state, *c2_key)


@pytest.fixture
def gateway(token: Token, tmp_path: Path) -> Gateway:
    return Gateway(tmp_path, pairs(token))


@pytest.fixture
def site(token: Token, tmp_path: Path) -> Iterator[Site]:
    site = Site(SUITE_PK, tmp_path)
    yield site
    site.c2.end(signal.SIGTERM)


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_confirmed(site: Site, operation: str) -> bool:
    return set(site.c2.http.get(f"/v1/operations/{operation}").json()["counts"]) == {"confirmed"}


def shown(state: Path) -> dict[str, Any]:
    return dict(answer("device", "show", "--state", state))


def test_it_enrols_talks_changes_its_key_and_outlives_its_token_being_away(
    site: Site, gateway: Gateway, token: Token
) -> None:
    gateway.make()
    gateway.init(*site.c2_key())
    door = site.folder / "door.state"
    site.ask("clients", "create", "lamp", "--key", f"{gateway.key}.pub")
    site.ask("clients", "create", "door", "--generate", "--state", door)
    site.ask("topics", "create", "hall")
    joined = site.ask("topics", "join", "hall", "lamp", "door")
    told = site.ask("links", "send", "door", "lamp")
    run = ("device", "run", "--broker", site.c2.listening["broker"], "--hello-delay", "0")
    with (
        running(*run, "--state", gateway.state, "--publish", "hall", "--subscribe", "hall") as lamp,
        running(*run, "--state", door, "--subscribe", "hall") as other,
    ):
        lamp_id = lamp.event("connected")["id"]
        other.event("connected")
        for operation in (joined, told):
            until(partial(is_confirmed, site, operation["id"]))
        lamp.write(b"lit\n")
        heard = other.event("message")
        assert (heard["text"], heard["sender"], heard["authenticated"]) == ("lit", lamp_id, True)
        before = shown(door)["newest_command"]
        site.ask("clients", "new-key", "lamp", "--reason", "routine")
        until(lambda: b64decode(json.loads(gateway.state.read_bytes())["private"]).startswith(b"in token: 2 "))
        until(lambda: shown(door)["newest_command"] != before)  # it was told of the new public key
        token.lose()
        try:
            lamp.write(b"dark\n")
            remark = lamp.remark()
            assert b"does not answer" in remark
            assert remark.endswith(b"; waiting for it\n")
        finally:
            token.restore()
        assert other.event("message")["text"] == "dark"
        assert (lamp.end(signal.SIGTERM), other.end(signal.SIGTERM)) == (0, 0)
    after = shown(gateway.state)
    assert f"object={gateway.label}-2?" in after["key_in_token"]
    assert after["public_key"] != gateway.key.with_name("lamp.pub").read_bytes().hex()
    data = ok("device", "protect", "--topic", "hall", "--state", gateway.state, stdin=b"after a restart")
    assert ok("device", "unprotect", "--topic", "hall", "--state", door, stdin=data) == b"after a restart"


def test_what_is_wrong_with_the_token_is_one_line_and_the_state_stays(gateway: Gateway, token: Token) -> None:
    gateway.make()
    ok("keygen", "--suite", "fips-pk", "--for", "c2", "--out", gateway.folder / "c2")
    gateway.init("--c2-key", gateway.folder / "c2.pub")
    before = gateway.state.read_bytes()
    commands = (
        ("show", "--state", gateway.state),
        ("protect", "--topic", "hall", "--state", gateway.state),
        ("run", "--broker", "mqtt://127.0.0.1:1", "--state", gateway.state),
    )

    def all_refused(code: int, why: str) -> None:
        for command in commands:
            line = refused(code, "device", *command)
            assert why in line
            assert token.pin not in line
        assert gateway.state.read_bytes() == before

    def destroy(session: pkcs11.Session) -> None:
        for half in list(session.get_objects({Attribute.LABEL: f"{gateway.label}-1-kem"})):
            half.destroy()

    token.lose()
    try:
        all_refused(UNAVAILABLE, "does not answer")
    finally:
        token.restore()
    gateway.pin.write_text("1234")
    all_refused(DENIED, "refuses the PIN")
    gateway.pin.write_text(token.pin)
    ok("device", "show", "--state", gateway.state)
    token.job(destroy)
    all_refused(KEY_NOT_FOUND, "the key is not there")


def test_neither_file_holds_a_secret_and_both_are_private_all_the_same(gateway: Gateway, token: Token) -> None:
    gateway.make()
    ok("keygen", "--suite", "fips-pk", "--for", "c2", "--out", gateway.folder / "c2")
    gateway.init("--c2-key", gateway.folder / "c2.pub")
    assert gateway.key.read_text() == f"in token: 1 {gateway.uri}"
    for path in (gateway.key, gateway.state):
        assert token.pin.encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_made_in_the_token_where_the_file_cannot_be_written(gateway: Gateway, token: Token) -> None:
    def names(session: pkcs11.Session) -> list[str]:
        return [each[Attribute.LABEL] for each in list(session.get_objects())]

    gateway.key.with_name("lamp.pub").touch()
    make = ("keygen", "--out", gateway.key, "--in-token")
    refused(CONFLICT, *make, gateway.uri, "--suite", "fips-pk")
    gateway.key.with_name("lamp.pub").unlink()
    assert "takes no device key in a token" in refused(11, *make, gateway.uri, "--suite", "pk")
    assert "{version}" in refused(3, *make, gateway.uri.replace("{version}", "1"), "--suite", "fips-pk")
    with_pin = f"{gateway.uri}&pin-value={token.pin}"
    assert token.pin not in refused(3, *make, with_pin, "--suite", "fips-pk")
    assert e4(*make, gateway.uri, "--suite", "fips-pk", "--for", "c2").returncode == 2
    assert e4(*make, gateway.uri, "ed25519").returncode == 2
    assert not [name for name in token.job(names) if name.startswith(gateway.label)]
    assert list(gateway.folder.iterdir()) == []
