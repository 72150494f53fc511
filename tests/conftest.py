# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the whole tree of tests."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

pytest_plugins = ["tests.servers"]

# a shell starts what runs in the background with ctrl-C ignored, and children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

_MEMORY = Path("/dev/shm")
_ENOUGH = 4 * 2**30
"""Bytes, of which a run uses a tenth."""


def _holds_programs(folder: Path) -> bool:
    return folder.is_dir() and not os.statvfs(folder).f_flag & os.ST_NOEXEC


# databases wait for the disk at each commit, for a third of the time of a run
if "TMPDIR" not in os.environ and _holds_programs(_MEMORY) and shutil.disk_usage(_MEMORY).free > _ENOUGH:
    temporary = _MEMORY / f"e4-tests-{os.getuid()}"
    temporary.mkdir(mode=0o700, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, one in each half, as each worker begins at another place."""
    long = [each for each in items if each.get_closest_marker("long")]
    others = [each for each in items if not each.get_closest_marker("long")]
    middle = len(others) // 2
    items[:] = [*long[::2], *others[:middle], *long[1::2], *others[middle:]]
