# SPDX-License-Identifier: Apache-2.0
"""All targets by name, and the inputs that each must stand in every run of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from fuzz.target import Target

FOLDER = Path(__file__).parent
REGRESSIONS = FOLDER / "regressions"
"""``NAME/WHAT``: an input that once went wrong in the target NAME."""

MODULES = {
    "message1": "messages",
    "message2": "messages",
    "command1": "commands",
    "command2": "commands",
    "report": "reports",
    "state": "states",
    "sealed-state": "states",
    "e4go-state": "states",
    "key-file": "keys",
    "vectors": "vectors",
    "port-request": "ports",
    "port-answer": "ports",
    "port-address": "ports",
    "mqtt-uri": "mqtt",
    "topic": "mqtt",
    "broker": "broker",
    "kms-uri": "kms",
    "kek-file": "kms",
    "wrap": "kms",
    "record": "records",
    "credentials": "files",
    "settings": "files",
    "api": "api",
    "api-answer": "answers",
}
"""Name of a target -> the module of `fuzz.targets` in whose ``TARGETS`` it is."""


def load(name: str) -> Target:
    """The target called ``name``."""
    targets: dict[str, Target] = import_module(f"fuzz.targets.{MODULES[name]}").TARGETS
    return targets[name]


def regressions(name: str) -> Iterator[tuple[str, bytes]]:
    """Inputs that went wrong in the target ``name`` before, with what they are called."""
    for file in sorted((REGRESSIONS / name).glob("*")):
        yield file.name, file.read_bytes()
