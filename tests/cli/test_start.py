# SPDX-License-Identifier: Apache-2.0
"""``e4`` before it is there: what is missing is said in one line, and Ctrl-C is heard."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from e4cli import start
from e4cli.exits import INTERRUPTED, code_of
from e4core.errors import PluginError

CLI = Path(start.__file__).parents[1]


def test_without_its_extra_the_command_says_which_one_it_needs() -> None:
    # -S: nothing that is installed is seen, only our own folder
    alone = [sys.executable, "-S", "-c", "from e4cli.start import main; main()", "suites"]
    done = subprocess.run(alone, env={"PYTHONPATH": str(CLI)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code_of(PluginError()), "")
    assert done.stderr == (
        "e4: the command needs more than the library: pip install 'e4core[cli]', or 'e4core[server]'\n"
    )


INTERRUPT = """
import os, signal, sys
class Late:
    def find_spec(name, *_):
        if name == "e4cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Late)
from e4cli.start import main
main()
"""


def test_ctrl_c_while_it_loads_is_no_traceback() -> None:
    interrupted = [sys.executable, "-c", INTERRUPT, "suites"]
    done = subprocess.run(interrupted, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, b"", b"")
