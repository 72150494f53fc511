# SPDX-License-Identifier: Apache-2.0
"""``e4 serve`` again and again: each ``start`` on stdin begins one in a new process, each ``kill`` ends it as a crash does.

The new process is a fork of this one, which has imported everything and done nothing: a start then takes a tenth of its time.
The C2 says on stdout where it listens; this process, that it was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys

# all that this C2 imports, the plugins that it loads by name included
import e4backends.sk  # noqa: F401
import e4c2.app
import e4c2.settings  # noqa: F401
import e4kms.file  # noqa: F401
import e4transports.mqtt  # noqa: F401
from e4cli.main import main


def keep() -> None:
    child = 0
    while line := sys.stdin.readline():
        if line == "start\n":
            child = os.fork() or _serve()
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            print(json.dumps({"event": "killed"}), flush=True)


def _serve() -> int:
    """In the new process; never returns."""
    sys.stdin.close()
    sys.argv = ["e4", "serve", "--output", "json"]
    main()
    sys.exit()


if __name__ == "__main__":
    keep()
