# SPDX-License-Identifier: Apache-2.0
"""MQTT URIs and password files."""

from __future__ import annotations

from pathlib import Path

import pytest

from e4core.errors import InvalidInput, StorageError
from e4transports.address import BrokerAddress, read_password


def test_the_defaults_are_mqtt_5_and_the_registered_ports() -> None:
    assert BrokerAddress.parse("mqtt://broker") == BrokerAddress("broker", 1883)
    assert BrokerAddress.parse("mqtts://[::1]/") == BrokerAddress("::1", 8883, tls=True)


def test_every_option_is_read() -> None:
    uri = (
        "mqtts://al%40ice@b.example:999?version=3.1.1&qos=1&password-file=/p%20w&ca=c.pem&cert=d.pem&key=e.pem"
        "&keepalive=30&timeout=2.5"
    )
    assert BrokerAddress.parse(uri) == BrokerAddress(
        "b.example",
        999,
        True,
        "al@ice",
        "3.1.1",
        1,
        Path("/p w"),
        Path("c.pem"),
        Path("d.pem"),
        Path("e.pem"),
        30,
        2.5,
    )


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("mqtt://", "form"),
        ("http://broker", "begins with"),
        ("mqtt:broker", "form"),
        ("mqtt://broker/topic", "form"),
        ("mqtt://broker#x", "form"),
        ("mqtt://[::1", "host"),
        ("mqtt://" + "x" * 64 + ".example", "host"),
        ("mqtt://broker:0", "port"),
        ("mqtt://broker:66000", "port"),
        ("mqtt://broker:many", "port"),
        ("mqtt://broker?tls=yes", "known: version, qos, password-file, ca, cert, key, keepalive, session, timeout"),
        ("mqtt://broker?qos", "form"),
        ("mqtt://broker?qos=3", "0, 1 or 2"),
        ("mqtt://broker?qos=1&qos=2", "twice"),
        ("mqtt://broker?version=4", "3.1.1 or 5"),
        ("mqtt://broker?keepalive=0", "keepalive"),
        ("mqtt://broker?timeout=nan", "timeout"),
        ("mqtt://broker?timeout=-1", "timeout"),
        ("mqtt://broker?ca=x.pem", "mqtts"),
        ("mqtts://broker?key=x.pem", "cert"),
        ("mqtts://broker?ca=", "ca"),
        ("mqtt://broker?password-file=x", "user"),
    ],
)
def test_a_bad_uri_is_refused_with_what_is_wrong(uri: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        BrokerAddress.parse(uri)
    assert caught.value.kind == "bad_uri"


@pytest.mark.parametrize("uri", ["mqtt://alice:s3cret@broker", "mqtt://alice:s3cret@broker:x", "mqtt://alice:s3cret"])
def test_a_password_in_the_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        BrokerAddress.parse(uri)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_password_in_the_uri_is_answered_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="password-file"):
        BrokerAddress.parse("mqtt://alice:s3cret@broker")


def test_the_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    assert read_password(_file(tmp_path, b"pass word \r\nrest")) == "pass word "


@pytest.mark.parametrize(("content", "mode"), [(b"open", 0o640), (b"open", 0o604), (b"", 0o600), (b"\xff", 0o600)])
def test_a_password_file_that_is_open_to_others_or_unreadable_is_refused(
    tmp_path: Path, content: bytes, mode: int
) -> None:
    with pytest.raises(StorageError) as caught:
        read_password(_file(tmp_path, content, mode))
    assert "open to others" in str(caught.value) or b"open" not in content


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing"):
        read_password(tmp_path / "missing")


def _file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return path
