# SPDX-License-Identifier: Apache-2.0
"""The C2 of a large fleet: rotations, answers of its API, memory, start."""

from __future__ import annotations

import tempfile
from pathlib import Path

import c2_rotate
import c2_serve
from timing import Figures

from tests.databases import database_server


def figures() -> Figures:
    with tempfile.TemporaryDirectory() as folder, database_server("postgresql") as server:
        return c2_serve.figures(server, Path(folder)) | c2_rotate.figures(server, Path(folder))
