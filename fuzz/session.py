# SPDX-License-Identifier: Apache-2.0
"""One target under atheris, in a child of its own: what hangs, crashes or is killed ends that alone."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import atheris

from fuzz import catalogue
from fuzz.findings import fault, shortest
from fuzz.target import Target

CRASHES = catalogue.FOLDER / "crashes"
CORPUS = catalogue.FOLDER.parent / ".cache" / "fuzz"
"""What was found to reach something new, for the next run."""

_INPUT_WITHIN_S = 20
_MEMORY_MIB = 2048
_PATIENCE_S = 60
_COVERED = re.compile(r"cov: (\d+)")
_SAVED = re.compile(r"^saved (\S+): (.+)$", re.MULTILINE)
_TRIED = re.compile(r"^tried (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Report:
    """``inputs`` that were tried, and branches that they ``covered``; 0: the time was too short for all of its seeds.

    Attributes: findings: files in `CRASHES` that are new, and what goes wrong with each.  log: why it did not end in order.
    """

    inputs: int
    covered: int
    findings: Mapping[Path, str]
    log: str


def run(name: str, target: Target, seconds: float) -> Report:
    """Fuzz one target for ``seconds``, and as long as its last input takes."""
    CRASHES.mkdir(exist_ok=True)
    before = set(CRASHES.iterdir())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        child = os.fork()
        if not child:
            _child(name, target, Path(folder), log, time.monotonic() + seconds)
        ended = _wait(child, seconds + _PATIENCE_S)
        said = log.read_text(errors="replace")
    findings = dict.fromkeys(set(CRASHES.iterdir()) - before, "it hangs, or ends the process")
    findings |= {CRASHES / file: what for file, what in _SAVED.findall(said)}
    tried, covered = (int(([*pattern.findall(said)] or [0])[-1]) for pattern in (_TRIED, _COVERED))
    return Report(tried, covered, findings, "" if ended else said)


def _wait(child: int, seconds: float) -> bool:
    """Whether it ended by itself, and in order."""
    end, process = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < end:
            process, status = os.waitpid(child, os.WNOHANG)
            if process:
                return os.waitstatus_to_exitcode(status) == 0
            time.sleep(0.05)
    finally:
        if not process:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return False


def _child(name: str, target: Target, folder: Path, log: Path, end: float) -> None:
    """Never returns."""
    try:
        # ctrl-C is for the parent, which ends this
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, sys.stdout.fileno())
        os.dup2(output, sys.stderr.fileno())
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        corpus, seeds = CORPUS / name, folder / "seeds"
        corpus.mkdir(parents=True, exist_ok=True)
        known = (data for _, data in catalogue.regressions(name))
        _fill(seeds, (*target.seeds(), *known))
        arguments = [f"-timeout={_INPUT_WITHIN_S}", f"-rss_limit_mb={_MEMORY_MIB}"]
        arguments += [f"-artifact_prefix={CRASHES / name}-", *_dictionary(folder, target)]
        with target.opened() as check:
            numbers, seen = count(1), set[str]()

            def test(data: bytes) -> None:
                what, number = fault(check, data), next(numbers)
                if what and what not in seen:
                    seen.add(what)
                    _save(name, shortest(data, lambda shorter: fault(check, shorter) == what), what)
                # atheris counts whole seconds
                if time.monotonic() > end:
                    print(f"tried {number}", flush=True)
                    os._exit(0)

            atheris.Setup([name, *arguments, str(corpus), str(seeds)], test)
            atheris.Fuzz()
    except BaseException:  # the border: a fork must not go on where its parent was
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _save(name: str, data: bytes, what: str) -> None:
    file = CRASHES / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    file.write_bytes(data)
    print(f"saved {file.name}: {what}", flush=True)


def _fill(folder: Path, inputs: Iterable[bytes]) -> None:
    folder.mkdir()
    for data in inputs:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _dictionary(folder: Path, target: Target) -> Iterator[str]:
    if not target.words:
        return  # an empty file is refused
    file = folder / "words"
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
    file.write_text("".join(f'"{word}"\n' for word in words))
    yield f"-dict={file}"
