# SPDX-License-Identifier: Apache-2.0
"""The same suite in another process: what that makes of what was stored and sealed in this one.

A module of its own, apart from the requirements: the process that it starts loads as little as it can.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from tempfile import TemporaryFile

from e4conformance.requirement import Unmet
from e4core.plugins import load_suite

_LIMIT_S = 30.0


def elsewhere(name: str, stored: Mapping[str, bytes], sealed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Of the installed suite ``name`` in a fresh interpreter: the public values of private ones, and ``opened``.

    Args: stored: private values by part, ``device`` or ``c2``.  sealed: ``key``, ``nonce``, ``sealed`` and ``ad`` for its AEAD.
    Raises: Unmet: it ends without an answer, or not in time.
    """
    task = {
        "name": name,
        "stored": {part: value.hex() for part, value in stored.items()},
        "sealed": {what: value.hex() for what, value in sealed.items()},
    }
    # files in place of pipes: those that somebody inherits would be waited for
    with TemporaryFile() as said, TemporaryFile() as errors:
        try:
            ended = subprocess.run(  # noqa: S603  # this interpreter
                [sys.executable, "-m", __name__],
                input=json.dumps(task).encode(),
                stdout=said,
                stderr=errors,
                timeout=_LIMIT_S,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except subprocess.TimeoutExpired:
            raise Unmet(f"another process has no answer within {_LIMIT_S:g} s") from None
        said.seek(0)
        errors.seek(0)
        if ended.returncode:
            last = (errors.read().decode(errors="replace").strip().splitlines() or ["no word"])[-1]
            raise Unmet(f"another process ends with status {ended.returncode}: {last}")
        answer = json.loads(said.read().splitlines()[-1])
    return {what: bytes.fromhex(value) for what, value in answer.items()}


def _answer(name: str, stored: Mapping[str, str], sealed: Mapping[str, str]) -> dict[str, str]:
    suite = load_suite(name)
    parts = {"device": suite.device, "c2": suite.c2}
    made = {part: parts[part].public(parts[part].load(bytes.fromhex(value))) for part, value in stored.items()}
    its = {what: bytes.fromhex(value) for what, value in sealed.items()}
    made["opened"] = suite.aead.key(its["key"]).open(its["nonce"], its["sealed"], its["ad"])
    return {what: value.hex() for what, value in made.items()}


if __name__ == "__main__":
    print("\n" + json.dumps(_answer(**json.load(sys.stdin))), flush=True)
