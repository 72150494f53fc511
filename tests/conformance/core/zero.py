# SPDX-License-Identifier: Apache-2.0
"""A suite in a package of its own, ``zero``, that does not conform: its hash is none."""

from __future__ import annotations

from pathlib import Path

_MODULE = """
from dataclasses import replace
from e4backends.sk import SUITE as SK
class Hash:
    def digest(self, data):
        return %s
SUITE = replace(SK, name="zero", wire_name="acme-zero-1", hash=Hash())
"""


def install_zero(folder: Path, digest: str = "bytes(32)") -> None:
    """For whoever has ``folder`` on its path. Args: digest: what its hash does instead, in Python."""
    (folder / "acme_zero.py").write_text(_MODULE % digest)
    info = folder / "acme_zero-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-zero\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[e4.suites]\nzero = acme_zero:SUITE\n")
