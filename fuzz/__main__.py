# SPDX-License-Identifier: Apache-2.0
"""``python -m fuzz [TARGET...]``: fuzz all targets, or those named, one after the other, for ``FUZZ_S`` seconds in all (60).

What they need is loaded before that, which takes a while: all of it is instrumented.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder

import atheris

from fuzz import catalogue, session
from fuzz.target import Target

ROOMS = ["e4core", "e4backends", "e4kms", "e4transports", "e4device", "e4conformance", "e4c2", "e4cli", "amqtt"]
DEFAULT_S = 60.0


def main() -> int:
    """Returns: 1: something was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(catalogue.MODULES))
    chosen = parser.parse_args().targets or list(catalogue.MODULES)
    if unknown := [name for name in chosen if name not in catalogue.MODULES]:
        parser.error(f"there is no target {unknown[0]}")
    # the finder of an editable installation hides its modules from atheris; the same folders stand in sys.path
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, PathFinder]
    with atheris.instrument_imports(include=ROOMS):
        targets = _loaded(chosen)
        end = time.monotonic() + float(os.environ.get("FUZZ_S") or DEFAULT_S)
        found = [_fuzzed(name, target, len(targets) - done, end) for done, (name, target) in enumerate(targets.items())]
    return int(any(found))


def _loaded(names: Sequence[str]) -> dict[str, Target]:
    """Targets, and all that they need, once for all that will be forked. atheris tells of each module."""
    with redirect_stderr(io.StringIO()):
        from fuzz.targets.fleet import every_fleet

        every_fleet()
        return {name: catalogue.load(name) for name in names}


def _fuzzed(name: str, target: Target, left: int, end: float) -> bool:
    """Whether something was found. Args: left: targets, this one included, for the time until ``end``."""
    print(f"{name:14}", end="", flush=True)
    began = time.monotonic()
    report = session.run(name, target, (end - began) / left)
    took = time.monotonic() - began
    covered = f"{report.covered:,}" if report.covered else "-"
    print(f"{took:7.1f} s {report.inputs:10,} inputs {covered:>7} branches  {len(report.findings)} findings")
    for file, what in sorted(report.findings.items()):
        print(f"  {what}\n    {file}")
    print(report.log, end="")
    return bool(report.findings or report.log)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
