# SPDX-License-Identifier: Apache-2.0
"""``python -m e4conformance vectors [FILE...]``: does this implementation give what the vectors say?

The last line is ``N passed, N failed``; what could not be checked is counted on a line before it.
Exit status: 0 all passed, 1 some failed, 2 a file cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from e4conformance import runner
from e4conformance.runner import Result, Verdict
from e4conformance.vectorfile import VectorFile, own_files, read
from e4core.errors import E4Error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m e4conformance", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    vectors = actions.add_parser("vectors", help="check vector files")
    vectors.add_argument("files", nargs="*", type=Path, metavar="FILE", help="default: the files of this package")
    chosen: list[Path] = parser.parse_args(argv).files
    try:
        files = [read(file) for file in chosen or own_files()]
    except E4Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results = [result for file in files for result in _run(file)]
    if skipped := runner.skipped(results):
        print(f"{skipped} skipped, each named above with the reason")
    print(runner.summary(results))
    return int(any(result.verdict is Verdict.FAILED for result in results))


def _run(file: VectorFile) -> list[Result]:
    results = list(runner.run(file))
    for result in results:
        if result.verdict is not Verdict.PASSED:
            print(result)
    unknown = runner.unknown_sections(file)
    listed = sum(result.detail.startswith(runner.DEVIATES) for result in results)
    print(
        f"{file.name}: {runner.summary(results)}, {runner.skipped(results)} skipped; "
        f"{listed} of the passed deviate as listed in e4conformance.deviations"
    )
    if unknown:
        print(f"{file.name}: {len(unknown)} unknown sections, not checked: {', '.join(unknown)}")
    return results


if __name__ == "__main__":
    sys.exit(main())
