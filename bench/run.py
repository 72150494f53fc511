# SPDX-License-Identifier: Apache-2.0
"""``python bench/run.py NAME... [--json]``: figures in seconds, ours against the bare libraries in the same run.

With ``--json`` one JSON object: figure name -> {"ours": s, "floor": s, "ratio": ours / floor}; of a speedup the ratio is
floor / ours, and memory is in bytes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from timing import Figures

sys.path.insert(1, str(Path(__file__).parents[1]))  # some start the servers of the tests

BENCHMARKS = {
    "c2": "c2",
    "protect": "protect",
    "rotate": "rotate",
    "rewrap": "rewrap",
    "import": "imports",
    "suites": "suites",
}
"""Name on the command line -> module with a function ``figures()``."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    figures: Figures = {}
    for name in arguments.names:
        figures.update(importlib.import_module(BENCHMARKS[name]).figures())
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return 0
    print(f"{'figure':24}{'ours':>14}{'floor':>14}{'ratio':>8}")
    for name, figure in figures.items():
        scale, unit = (1e-6, "MB") if name.startswith("memory") else (1e6, "us")
        print(
            f"{name:24}{figure['ours'] * scale:11.2f} {unit}{figure['floor'] * scale:11.2f} {unit}{figure['ratio']:8.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
