# SPDX-License-Identifier: Apache-2.0
"""Files that an operator writes: the settings of a C2, and the secrets to which a URI points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from e4c2 import settings
from e4conformance import credentials
from e4core.errors import InvalidInput
from fuzz.target import Check, Target, accepted, must


@contextmanager
def _settings() -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "e4.toml"

        def check(data: bytes) -> None:
            path.write_bytes(data)
            loaded = accepted(lambda: settings.load(path), InvalidInput)
            if loaded is not None:
                values: list[Any] = [getattr(loaded, name) for name in settings.Settings.model_fields]
                paths = [value for value in values if isinstance(value, Path)]
                must(not any("\0" in str(each) for each in paths), "a path that no system has")
                must(settings.load(path) == loaded, "read again, the settings are others")

        yield check


@contextmanager
def _credentials() -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "secret"
        path.touch(0o600)

        def check(data: bytes) -> None:
            path.write_bytes(data)
            for secret in credentials.named_in(f"passphrase://{path}"):
                must(len(secret) >= credentials.LEAST_LEN, "a secret that stands somewhere by chance")
            credentials.named_in(data.decode("utf-8", "surrogateescape").replace("/", "\\"))

        yield check


_SETTINGS = (
    b'suite = "pk"\ndata = "/var/lib/e4"\nkms = ["file:kek.json", "passphrase:env:X"]\nport = 0\n',
    b'broker = "embedded://127.0.0.1:0"\ngrace_s = 60\nkeys_held_s = 1e3\nkeys_used = 1000\nrequire_fips = true\n',
    b'host = "::1"\nport = 8884\ntls_certificate = "/c"\ntls_key = "/k"\nc2_key = "pkcs11:object=e4-{version}"\n',
)
_NAMES = tuple(f"{name} = ".encode() for name in settings.Settings.model_fields)
_SECRETS = (b"a passphrase\n", b'{"key": "MDEyMzQ1Njc4OWFiY2RlZg==", "pin": "1234"}', b"", b"[1]")

TARGETS = {
    "settings": Target(
        _settings, lambda: _SETTINGS, (*_NAMES, b'"\\u0000"', b"inf", b"nan", b"[", b"{", b"1979-05-27")
    ),
    "credentials": Target(
        _credentials,
        lambda: _SECRETS,
        (b'"key"', b'"token"', b"env:HOME", b'"\\ud800"', b'"\xc3\xa9"', b"\xff\xfe", b"[["),
    ),
}
