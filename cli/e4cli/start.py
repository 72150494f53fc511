# SPDX-License-Identifier: Apache-2.0
"""Where the script ``e4`` begins: it is installed with the library, what it needs is an extra."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import NoReturn

NEEDED = ("typer", "rich")
MISSING = 12
INTERRUPTED = 130
"""Exit statuses; those of `e4cli.exits`, which cannot be asked here."""


def main() -> NoReturn:
    """Run the command, or say in one line what to install for it."""
    if not all(find_spec(name) for name in NEEDED):
        sys.stderr.write(
            "e4: the command needs more than the library: pip install 'e4core[cli]', or 'e4core[server]'\n"
        )
        sys.exit(MISSING)
    try:
        # loading takes a while, in which somebody may think better of it
        from e4cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
