# SPDX-License-Identifier: Apache-2.0
"""What can be examined: one table of the kinds of subjects, each with its book and the way to a subject of it.

What a kind needs is imported when it is asked for: a vendor of a suite has no broker, and who only asks for help waits for none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, cast

from e4conformance import border
from e4conformance.border import Subject
from e4conformance.requirement import Book
from e4core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Kind:
    """``target``: what names a subject, for people. ``hooks_name``: class of the hooks by which faults are made, or empty."""

    name: str
    module: str
    book_name: str
    target: str
    hooks_name: str = ""

    @property
    def book(self) -> Book[Any]:
        return cast(Book[Any], getattr(import_module(self.module), self.book_name))

    @contextmanager
    def subject(self, target: str, seed: int, hooks: str = "") -> Iterator[Subject]:
        """What ``target`` names. Args: hooks: ``MODULE:NAME``, where the kind has some.

        Raises: InvalidInput: the target or the hooks. PluginError, KmsError, TransportError: it cannot be had.
        """
        module = import_module(self.module)
        more = {"hooks": self._hooks(hooks)} if self.hooks_name else {}
        with ExitStack() as stack:

            def opened() -> Subject:
                found = module.subject(target, seed=seed, **more)
                managed = isinstance(found, AbstractContextManager)
                return cast(Subject, stack.enter_context(found) if managed else found)

            yield border.asked(opened, f"the {self.name} cannot be had")

    def _hooks(self, name: str) -> object:
        if not name:
            return None
        wanted = getattr(import_module(self.module), self.hooks_name)
        hooks = _named(name)
        if not isinstance(hooks, wanted):
            raise InvalidInput(f"{name} is a {type(hooks).__name__}; hooks are a {self.module}.{self.hooks_name}")
        return hooks


KINDS = {
    kind.name: kind
    for kind in (
        Kind("suite", "e4conformance.suites", "SUITES", "name of an installed suite"),
        Kind("kms", "e4conformance.kms", "KMS", "URI of a KMS", "KmsHooks"),
        Kind("transport", "e4conformance.transports", "TRANSPORTS", "URI of a transport", "TransportHooks"),
        Kind("port", "e4conformance.ports", "PORTS", "command, tcp://HOST:PORT or serial:/dev/..."),
    )
}


def _named(name: str) -> object:
    """What ``MODULE:NAME`` names, also in a module of the current folder. Raises: InvalidInput."""
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise InvalidInput(f"hooks are named MODULE:NAME, not {name!r}")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        return EntryPoint(name, name, "").load()
    except Exception as error:  # the module is foreign: whatever it raises is one clear error here
        raise InvalidInput(f"the hooks {name} do not load: {type(error).__name__}: {error}") from error
