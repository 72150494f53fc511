# SPDX-License-Identifier: Apache-2.0
"""Runs Python scripts in forks of a process that has imported what they need, which takes most of the time of such a script.

``python -m tests.kms.warm`` is the process that forks. It has no thread, and has opened no driver and loaded no PKCS#11 module: for
these its forks are processes that have just begun, and they end as Python does, or by a signal.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT_S = 60.0
_LOADED = ("stevedore.driver", "tests.kms.pkcs11.dying_c2", "tests.kms.pkcs11.dying_creation")


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As ``python -W error -c script arguments ...`` does, in the folder of the project and the environment of now.

    Raises: subprocess.TimeoutExpired: it was killed.
    """
    # what began before this process took other mounts for its tokens would not see them
    server = _server(Path("/proc/self/ns/mnt").readlink())
    assert server.stdin is not None and server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "out"), Path(folder, "err")
        job = {"script": script, "arguments": arguments, "env": dict(os.environ), "said": [str(path) for path in said]}
        server.stdin.write(json.dumps(job).encode() + b"\n")
        child = int(server.stdout.readline())
        if in_time := bool(select.select([server.stdout], [], [], LIMIT_S)[0]):
            status = int(server.stdout.readline())
        else:
            os.killpg(child, signal.SIGKILL)
            server.stdout.readline()
        out, err = (path.read_text(errors="backslashreplace") for path in said)
    if not in_time:
        raise subprocess.TimeoutExpired(script, LIMIT_S, out, err)
    return subprocess.CompletedProcess(script, status, out, err)


@cache
def _server(_mounts: Path) -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        cwd=ROOT,
    )

    def end() -> None:
        server.communicate()

    atexit.register(end)
    return server


# ------------------------------------------------------------------------------------------- the process that forks


def main() -> None:
    for name in _LOADED:
        import_module(name)
    for line in sys.stdin.buffer:
        child = os.fork()
        if not child:
            _begin(json.loads(line))
            return
        os.write(1, b"%d\n" % child)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _begin(job: dict[str, Any]) -> None:
    os.setsid()
    for standard, path in enumerate([os.devnull, *job["said"]]):
        stream = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(stream, standard)
        os.close(stream)
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv[1:] = job["arguments"]
    exec(compile(job["script"], "<script>", "exec"), globals())


if __name__ == "__main__":
    main()
