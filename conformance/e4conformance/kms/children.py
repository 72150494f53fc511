# SPDX-License-Identifier: Apache-2.0
"""Child processes in which a driver is used by threads and across forks: where that goes wrong it may crash, and not raise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from e4core.keys import Secret
from e4core.kms import Kms, Wrapped

ROLES = ("threads", "handles", "fork", "parting")
"""What one process does, one after the other; see `e4conformance.kms.child`."""
LIMIT_S = 60.0


@dataclass
class Children:
    """Runs `ROLES` when the first is asked for: one process for all, unless one kills it."""

    uri: str
    load: Callable[[str], Kms]
    limit_s: float = LIMIT_S
    _ended: dict[str, str] = field(default_factory=dict)

    def fault(self, role: str, secret: Secret, context: bytes, wrapped: Wrapped) -> str:
        """What went wrong in ``role``; empty: nothing."""
        if role not in self._ended:
            left = ROLES[ROLES.index(role) :]
            self._ended |= ended(self.start(left, secret, context, wrapped), left, self.limit_s)
        return self._ended[role]

    def start(self, roles: Sequence[str], secret: Secret, context: bytes, wrapped: Wrapped) -> subprocess.Popen[str]:
        """A process that does ``roles``, to be waited for with `ended`."""
        task = {
            "load": f"{self.load.__module__}:{self.load.__qualname__}",
            "uri": self.uri,
            "roles": list(roles),
            "secret": secret.hex(),
            "context": context.hex(),
            "wrapped": [wrapped.key_id, wrapped.mechanism, wrapped.blob.hex()],
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "e4conformance.kms.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,  # so that one call ends it with whatever it forked
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        return process


def ended(process: subprocess.Popen[str], roles: Sequence[str], limit_s: float = LIMIT_S) -> dict[str, str]:
    """Role -> what went wrong in it; those are missing that came after one that ended the process."""
    try:
        said, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        said, _ = process.communicate()
        errors = f"it did not end within {limit_s:g} s"
    except BaseException:  # Ctrl-C does not reach its session
        _kill(process)
        raise
    found = dict(json.loads(line) for line in said.splitlines())
    broken = next((role for role in roles if role not in found), None)
    if broken:
        found[broken] = f"the process {_end(process.returncode)}: {(errors.strip().splitlines() or ['no word'])[-1]}"
    elif process.returncode:
        found[roles[-1]] = found[roles[-1]] or f"the process {_end(process.returncode)} when it had done its work"
    return found


def _kill(process: subprocess.Popen[str]) -> None:
    """With what it forked, which holds its streams: reading them would have no end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
