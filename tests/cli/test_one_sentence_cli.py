# SPDX-License-Identifier: Apache-2.0
"""What a new user mistypes, or finds in use, is one plain sentence that says what to type instead."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from e4core.plugins import load_suite
from tests.cli.command import refused
from tests.cli.devices import stored
from tests.device.c2 import TinyC2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("suites --output xml", "'--output' / '-o': 'xml' is not one of 'table', 'json', 'csv' (see e4 suites --help)"),
        (
            "keygen bogus --out key",
            "'KIND': 'bogus' is not one of 'symmetric', 'ed25519', 'curve25519' (see e4 keygen --help)",
        ),
        ("clients new-key x", "'--reason'. Choose from: routine, compromised (see e4 clients new-key --help)"),
    ],
)
def test_a_choice_that_is_none_names_those_that_are(arguments: str, said: str) -> None:
    line = refused(2, *arguments.split())
    assert line.endswith(said)
    assert "Value error" not in line


def test_a_port_of_the_embedded_broker_in_use_says_what_to_set(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        here = {"E4_DATA": str(tmp_path / "data"), "E4_PORT": "0", "E4_BROKER": f"embedded://127.0.0.1:{port}"}
        line = refused(17, "serve", env=here)
    assert line == (
        f"e4: the embedded broker cannot listen at 127.0.0.1:{port}: "
        "the port is in use; choose another one with E4_BROKER=embedded://127.0.0.1:PORT"
    )


def test_a_name_instead_of_an_address_is_told_which_addresses_there_are(tmp_path: Path) -> None:
    said = refused(3, "serve", env={"E4_DATA": str(tmp_path), "E4_HOST": "localhost"})
    assert said == "e4: E4_HOST: value is not a valid IPv4 or IPv6 address"


def test_a_device_under_the_embedded_broker_of_a_c2_takes_what_that_c2_has_left(tmp_path: Path) -> None:
    """One ``E4_BROKER`` is exported for both; the port there may be 0."""
    state = stored(tmp_path / "state", TinyC2(load_suite("sk")).enrol("x").state)
    here = {"E4_DATA": str(tmp_path), "E4_BROKER": "embedded://127.0.0.1:0"}
    assert "broker-uri does not exist" in refused(18, "device", "run", "--state", state, env=here)
    (tmp_path / "broker-uri").touch(0o600)
    (tmp_path / "broker-uri").write_text("mqtt://127.0.0.1:1\n")
    assert "at 127.0.0.1:1: nothing listens" in refused(17, "device", "run", "--state", state, env=here)
