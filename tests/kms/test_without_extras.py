# SPDX-License-Identifier: Apache-2.0
"""What brings the library of a driver is an extra: where that is not installed, one error names it, and so does ``e4 serve``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kms import warm

DRIVERS = {
    "vault+https://host:8200/transit/keys/e4": ("vault", "hvac"),
    "vault+http://127.0.0.1:8200/transit/keys/e4": ("vault", "hvac"),
    "awskms:///alias/e4?region=eu-west-1": ("awskms", "botocore"),
    "pkcs11:token=t;object=k?module-path=/module.so&pin-source=env:PIN": ("pkcs11", "pkcs11"),
    "shamir:1?share=file:///kek.json&share=file:///other.json": ("shamir", "Crypto"),
}
"""URI -> extra, and the library that it brings, as it is imported."""

MISSING = """
import json, sys
from importlib import import_module

class Missing:
    def __init__(self, library):
        self.library = library

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def take_away(library):
    for name in [name for name in sys.modules if name.startswith((library, "e4kms."))]:
        del sys.modules[name]
    sys.meta_path.insert(0, Missing(library))
"""
LOAD = """
from e4core import plugins
from e4core.errors import E4Error

answers = []
take_away(sys.argv[1])
for group, load in (("e4.kms", plugins.load_kms), ("e4.keys", lambda uri: plugins.load_key(uri, "p256-sign"))):
    if sys.argv[2].partition(":")[0] in plugins.names(group):
        try:
            answers.append(["", str(load(sys.argv[2]))])
        except E4Error as error:
            answers.append([type(error).__name__, str(error)])
print(json.dumps(answers))
"""
SERVE = """
take_away(sys.argv[1])
sys.argv[1:] = ["serve"]
import_module("e4cli.start").main()
"""


@pytest.mark.parametrize("uri", DRIVERS, ids=lambda uri: uri.partition(":")[0])
def test_the_extra_to_install_is_named(uri: str) -> None:
    extra, library = DRIVERS[uri]
    done = warm.run(MISSING + LOAD, library, uri)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == (2 if extra == "pkcs11" else 1)
    for kind, text in answers:
        assert kind == "PluginError"
        assert f"it needs the module {library}: install e4core[{extra}]" in text


def test_a_c2_with_such_a_kms_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = next(iter(DRIVERS))
    extra, library = DRIVERS[uri]
    for name, value in (("KMS", uri), ("DATA", str(tmp_path / "data")), ("PORT", "0"), ("BROKER", "memory:none")):
        monkeypatch.setenv(f"E4_{name}", value)
    done = warm.run(MISSING + SERVE, library)
    assert (done.returncode, done.stdout) == (12, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("e4: ")
    assert line.endswith(f"install e4core[{extra}]")
