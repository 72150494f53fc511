# SPDX-License-Identifier: Apache-2.0
"""Plugins of strangers: found by name; what is wrong with one is said with its group, its name and its distribution."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# each call in a fork of one process, which has loaded what is no plugin: a new Python would take most of the time
PROBE = """
import json, os, sys
from e4core import plugins
from e4core.errors import E4Error
import stevedore.driver, cryptography.hazmat.primitives.ciphers.aead, nacl.bindings

def answer(name, *arguments):
    try:
        value = getattr(plugins, name)(*arguments)
        return ["", getattr(value, "name", type(value).__name__)]
    except E4Error as error:
        return [type(error).__name__, str(error)]

for line in sys.stdin:
    folder, *call = json.loads(line)
    child = os.fork()
    if not child:
        try:
            sys.path.insert(1, folder)
            print(json.dumps(answer(*call)), flush=True)
        except BaseException as error:
            print(f"it raises {error!r}", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("end", flush=True)
"""

SUITE = """
from dataclasses import replace
from e4backends.sk import SUITE as SK
SUITE = replace(SK, name="mine")
"""

KMS = """
class Kms:
    name = "mine"
    def wrap(self, secret, context, /): ...
    def unwrap(self, wrapped, context, /): ...
    def check(self): ...
    def close(self): ...

def open_kms(uri, /):
    return Kms()

def nothing():
    return Kms()

def wrong(uri, /):
    return 5
"""


class Answer(NamedTuple):
    error: str
    """Name of the error's type; empty if there was none."""
    text: str


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path, probe: subprocess.Popen[str]) -> None:
        self.folder = folder
        self._probe = probe

    def install(self, distribution: str, group: str, points: str, **modules: str) -> None:
        """A distribution with one group of entry points, and its modules."""
        info = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{points}\n")
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text)

    def ask(self, *call: str) -> Answer:
        """What `e4core.plugins` gives in a process that has loaded no plugin yet, and says nothing else."""
        assert self._probe.stdin and self._probe.stdout
        print(json.dumps([str(self.folder), *call]), file=self._probe.stdin, flush=True)
        (answer,) = iter(self._probe.stdout.readline, "end\n")
        return Answer(*json.loads(answer))


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROBE],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def site(tmp_path: Path, probe: subprocess.Popen[str]) -> Site:
    return Site(tmp_path, probe)


def test_a_suite_of_a_stranger_in_two_files_is_found_by_its_name(site: Site) -> None:
    site.install("acme-suite", "e4.suites", "mine = acme:SUITE", acme=SUITE)
    assert site.ask("load_suite", "mine") == ("", "mine")
    assert site.ask("load_suite", "sk") == ("", "sk")


def test_a_kms_of_a_stranger_is_found_by_the_scheme_of_its_uri(site: Site) -> None:
    site.install("acme-kms", "e4.kms", "mine+https = acme:open_kms", acme=KMS)
    assert site.ask("load_kms", "mine+https://host/key") == ("", "mine")


def test_an_unknown_name_is_told_with_those_that_exist(site: Site) -> None:
    site.install("acme-suite", "e4.suites", "mine = acme:SUITE", acme=SUITE)
    error, text = site.ask("load_suite", "yours")
    assert error == "PluginError"
    assert all(part in text for part in ("e4.suites", "yours", "sk", "pk", "mine"))


def test_two_distributions_with_one_name_are_a_conflict_that_names_both(site: Site) -> None:
    site.install("acme-suite", "e4.suites", "mine = acme:SUITE", acme=SUITE)
    site.install("other-suite", "e4.suites", "mine = other:SUITE", other=SUITE)
    error, text = site.ask("load_suite", "mine")
    assert error == "PluginError"
    assert all(part in text for part in ("e4.suites", "mine", "acme-suite", "other-suite"))


def test_a_stranger_cannot_take_the_name_of_one_of_ours(site: Site) -> None:
    site.install("acme-suite", "e4.suites", "sk = acme:SUITE", acme=SUITE)
    error, text = site.ask("load_suite", "sk")
    assert error == "PluginError"
    assert all(part in text for part in ("e4.suites", "sk", "acme-suite", "e4core"))


BROKEN = {
    "raises on import": ("acme:SUITE", 'raise RuntimeError("boom")', "boom"),
    "panics on import": ("acme:SUITE", "class Panic(BaseException): ...\nraise Panic('boom')", "boom"),
    "fails an assertion on import": ("acme:SUITE", "assert 1 > 2, 'boom'", "boom"),
    "is no Python": ("acme:SUITE", "this is no python", "acme.py"),
    "lacks the attribute": ("acme:OTHER", SUITE, "OTHER"),
    "lacks the module": ("acmee:SUITE", SUITE, "acmee"),
    "needs an extra": ("acme:SUITE", "import liboqs_that_is_missing", "needs the module liboqs_that_is_missing"),
    "is something else": ("acme:SUITE", "SUITE = {}", "dict"),
    "is a factory": ("acme:SUITE", "def SUITE(): ...", "function"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_suite_that_does_not_load_is_told_with_its_distribution(site: Site, fault: str) -> None:
    target, text, hint = BROKEN[fault]
    site.install("acme-suite", "e4.suites", f"mine = {target}", acme=text)
    error, said = site.ask("load_suite", "mine")
    assert error == "PluginError"
    assert all(part in said for part in ("e4.suites", "mine", "acme-suite", hint))


def test_a_module_of_the_distribution_itself_is_not_said_to_be_installable(site: Site) -> None:
    site.install("acme-suite", "e4.suites", "mine = acmee.suite:SUITE", acme=SUITE)
    assert "pip install acmee" not in site.ask("load_suite", "mine").text


@pytest.mark.parametrize("target", ["acme", "acme:KEK", "acme:nothing", "acme:wrong", "builtins:len"])
def test_a_kms_that_is_no_factory_of_one_is_told_with_its_distribution(site: Site, target: str) -> None:
    site.install("acme-kms", "e4.kms", f"mine = {target}", acme=f"KEK = 5\n{KMS}")
    error, text = site.ask("load_kms", "mine:key")
    assert error == "PluginError"
    assert all(part in text for part in ("e4.kms", "mine", "acme-kms"))


def test_a_transport_that_is_no_factory_of_one_is_told_with_its_distribution(site: Site) -> None:
    site.install("acme-mqtt", "e4.transports", "mine = acme:open_kms", acme=KMS)
    error, text = site.ask("load_transport", "mine://host", "c2")
    assert error == "PluginError"
    assert all(part in text for part in ("e4.transports", "mine", "acme-mqtt"))


@pytest.mark.parametrize("uri", ["", "file", ":x", "/a/path"])
def test_what_is_no_uri_is_told_with_the_schemes_that_exist(site: Site, uri: str) -> None:
    error, text = site.ask("load_kms", uri)
    assert error == "InvalidInput"
    assert "e4.kms" in text
    assert "file" in text


def test_the_suites_of_this_project_bear_the_names_they_are_registered_under(site: Site) -> None:
    assert [site.ask("load_suite", name).text for name in ("sk", "pk")] == ["sk", "pk"]


def test_a_suite_registered_under_another_name_than_its_own_is_refused(site: Site) -> None:
    site.install("acme-suite", "e4.suites", "yours = acme:SUITE", acme=SUITE)
    error, text = site.ask("load_suite", "yours")
    assert error == "PluginError"
    assert all(part in text for part in ("yours", "mine", "acme-suite"))
