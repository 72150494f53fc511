# SPDX-License-Identifier: Apache-2.0
"""Settings come from one file and the environment, and what is wrong with them is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from e4c2.settings import Settings, load
from e4core.errors import InvalidInput, StorageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "e4.toml"


def test_nothing_needs_to_be_configured(file: Path) -> None:
    file.write_text("")
    settings = load(file)
    assert settings == Settings()
    assert (settings.suite, settings.data, settings.place) == ("sk", Path("e4-data"), Path("e4-data/c2.sqlite"))
    assert settings.host.is_loopback
    assert settings.broker.startswith("embedded://127.0.0.1:")


def test_a_file_sets_what_it_names(file: Path) -> None:
    file.write_text('suite = "pk"\nport = 1\ndata = "/var/lib/e4"\nhost = "::1"\n')
    settings = load(file)
    assert (settings.suite, settings.port, settings.host) == ("pk", 1, ip_address("::1"))
    assert settings.place == Path("/var/lib/e4/c2.sqlite")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("colour = 1", "'colour'"),
        ("_env_file = 'x'", "'_env_file'"),
        ("[c2]\nport = 1", "'c2'"),
        ("port = 70000", "port"),
        ("port = 'x'", "port"),
        ("host = 'localhost'", "host"),
        ("suite = 7", "suite"),
        ("data = 7", "data"),
        ("host = '192.0.2.1'", "tls_certificate"),
        ("host = '0.0.0.0'", "tls_certificate"),
        ("host = '::'", "tls_certificate"),
        ("trusted_proxies = '0.0.0.0/0'", "trusted_proxies has 0.0.0.0/0"),
        ("trusted_proxies = ['192.0.2.1', '::/0']", "trusted_proxies has ::/0"),
        ("tls_key = 'key.pem'", "tls_certificate"),
        ("tls_certificate = 'c.pem'", "tls_key"),
        ("port = ", "TOML"),
        ("a = " + "[" * 10_000, "TOML"),
    ],
)
def test_a_bad_setting_is_one_sentence_that_names_it(file: Path, text: str, names: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidInput, match=names) as caught:
        load(file)
    assert "\n" not in str(caught.value)
    assert caught.value.kind == "bad_setting"


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="TOML"):
        load(file)


def test_a_value_is_never_shown(file: Path) -> None:
    file.write_text('port = "hunter2"')
    with pytest.raises(InvalidInput) as caught:
        load(file)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.toml"):
        load(tmp_path / "none.toml")


def show(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a process in ``folder`` with this environment reads."""
    code = "from e4c2.settings import load; s = load(); print(s.suite, s.port)"
    others = {name: value for name, value in os.environ.items() if not name.startswith("E4_")}
    command = [sys.executable, "-c", code]
    environment = {**others, **environment}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_environment_weighs_more_than_the_file_of_the_directory(tmp_path: Path, file: Path) -> None:
    file.write_text('suite = "pk"\nport = 1\n')
    assert show(tmp_path).stdout == "pk 1\n"
    assert show(tmp_path, E4_PORT="2", E4_SUITE="").stdout == "pk 2\n"
    assert "E4_PORT" in show(tmp_path, E4_PORT="x").stderr


def test_a_variable_names_another_file(tmp_path: Path, file: Path) -> None:
    file.write_text("port = 1")
    (tmp_path / "other.toml").write_text("port = 7")
    assert show(tmp_path, E4_CONFIG="other.toml").stdout == "sk 7\n"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1


def test_every_setting_is_explained() -> None:
    assert all(field.description for field in Settings.model_fields.values())
