# SPDX-License-Identifier: Apache-2.0
"""The suites of somebody else: what the guide shows is the example, and works in a clean environment with the wheels of both."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from e4core.suite import Suite
from tests.docs.desk import GUIDES, desk, pattern, steps_of
from tests.examples.clean import ROOT, environment

EXAMPLE = ROOT / "examples" / "suite-plugin"
PAGE = "write-a-suite"
LICENCE = "# SPDX-License-Identifier: Apache-2.0"


def lines(text: str) -> list[str]:
    """Without those that separate parts, or say whose a file is."""
    return [line for line in text.splitlines() if line and line != LICENCE]


def test_the_files_of_the_guide_are_the_example() -> None:
    shown: dict[str, str] = defaultdict(str)
    for step in steps_of(PAGE):
        if not step.terminal:
            name, _, part = step.text.partition("\n")
            # each part as it stands in the file, its empty lines too
            assert part in (EXAMPLE / name.removeprefix("# ")).read_text()
            shown[name.removeprefix("# ")] += part
    files = [path for path in EXAMPLE.rglob("*.*") if path.suffix in (".py", ".toml")]
    assert {name: lines(text) for name, text in shown.items()} == {
        str(path.relative_to(EXAMPLE)): lines(path.read_text()) for path in files
    }


def test_the_guide_works_as_it_is_typed_in_a_clean_environment(tmp_path: Path) -> None:
    place = environment(tmp_path)
    with desk(place) as reader:
        for step in steps_of(PAGE):
            reader.do(step)
        where = "import e4core, e4_suite_chacha as its; print(e4core.__file__, its.__file__)"
        found = subprocess.check_output([place / "bin" / "python", "-c", where], cwd=tmp_path, text=True)
    assert all(path.startswith(str(place)) for path in found.split())


@pytest.mark.parametrize("page", [GUIDES / f"{PAGE}.md", EXAMPLE / "README.md"], ids=["guide", "readme"])
def test_the_rows_that_are_published_are_those_of_the_suites(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    suites = [importlib.import_module(name).SUITE for name in ("e4_suite_chacha", "e4_suite_chacha_pk")]
    rows = re.findall(r"^\| `(\w[\w-]+-1)` \|(.*)\|$", page.read_text(), re.M)
    published = {name: [int(number) for number in re.findall(r"\b\d+(?=[,)])", row)] for name, row in rows}
    assert published == {suite.wire_name: lengths(suite) for suite in suites}


def lengths(suite: Suite) -> list[int]:
    aead = [suite.aead.key_len, suite.aead.nonce_len, suite.aead.tag_len]
    if suite.signature is None:
        return [*aead, 0, 0, 0, 0]
    signature = [suite.signature.public_len, suite.signature.signature_len]
    overhead = suite.control.overhead - suite.aead.tag_len - suite.signature.signature_len
    return [*aead, *signature, suite.device.public_len - suite.signature.public_len, overhead]


GOOD = (EXAMPLE / "e4_suite_chacha.py").read_text()
FAULTS = {
    "no 'chacha-sk'": ("SUITE", GOOD),
    "more than once": ("SUITE", GOOD),
    "No module named": ("SUITE", "import acme_hsm"),
    "the accelerator": ("SUITE", 'raise OSError("the accelerator does not answer; is its driver loaded?")'),
    "no attribute 'SUITES'": ("SUITES", GOOD),
    "not a Suite": ("SUITE", f"{GOOD}\nSUITE = ChaCha()"),
    "calls itself": ("SUITE", GOOD.replace('symmetric_suite("chacha-sk"', 'symmetric_suite("chacha"')),
    "tag_len 12": ("SUITE", GOOD.replace("tag_len = 16", "tag_len = 12")),
    "when it is tried": ("SUITE", GOOD.replace("def open", "def opened")),
}
"""What a message says -> what is taken from the module, and the module."""
PACKAGES = {"no 'chacha-sk'": (), "more than once": ("e4_suite_chacha", "e4_suite_salsa")}
"""That bring ``chacha-sk``; else one does."""


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_said_as_the_guide_shows_it(fault: str, tmp_path: Path) -> None:
    messages = re.findall(r"^\* `e4: (e4\.suites: .*)`$", (GUIDES / f"{PAGE}.md").read_text(), re.M)
    assert len(messages) == len(FAULTS)
    target, text = FAULTS[fault]
    for name in PACKAGES.get(fault, ("e4_suite_chacha",)):
        (tmp_path / f"{name}.py").write_text(text)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[e4.suites]\nchacha-sk = {name}:{target}\n")
    said = subprocess.run(
        [sys.executable, "-c", "from e4core.plugins import load_suite; load_suite('chacha-sk')"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    (shown,) = [message for message in messages if fault in message]
    assert re.fullmatch(pattern(f"e4core.errors.PluginError: {shown}"), said.stderr.splitlines()[-1])
