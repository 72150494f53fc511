# SPDX-License-Identifier: Apache-2.0
"""Vector files: whatever stands in one, its run ends with a verdict for each entry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from e4conformance import runner, vectorfile
from e4core.errors import InvalidInput
from fuzz.target import Check, Target, accepted, must


@contextmanager
def _vectors() -> Iterator[Check]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.json"

        def check(data: bytes) -> None:
            path.write_bytes(data)
            file = accepted(lambda: vectorfile.read(path), InvalidInput)
            if file is not None:
                results = list(runner.run(file))
                must(len(results) >= len(file.sections), "a section without a verdict")
                must(all(str(result) for result in results), "a verdict says nothing")

        yield check


def _seeds() -> Iterable[bytes]:
    """A file for each section, with its first entry."""
    for own in vectorfile.own_files():
        sections = json.loads(own.read_bytes())
        for name, section in sections.items():
            small = {"meta": sections["meta"], name: _first(section)}
            if len(data := json.dumps(small, separators=(",", ":")).encode()) < 4000:
                yield data


def _first(section: Any) -> Any:
    return section[:1] if isinstance(section, list) else section


_WORDS = tuple(f'"{kind}"'.encode() for kind in vectorfile.KINDS)
TARGETS = {"vectors": Target(_vectors, _seeds, (*_WORDS, b"null", b"[]", b"{}", b'""', b"-1", b"1e999"))}
