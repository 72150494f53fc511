# SPDX-License-Identifier: Apache-2.0
"""Records what cryptography runs, with nothing patched: the profiler of Python tells of every call.

Of C code it tells the functions and methods, but not when a class is called. So of each function of this project that runs, all is
recorded too that it can name: classes and instances of cryptographic libraries among its globals.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType

from cryptography.hazmat.bindings import _rust

_COMPILED = {
    name for within in (_rust, _rust.openssl) for name, it in vars(within).items() if isinstance(it, ModuleType)
}
"""How compiled functions of `cryptography` name their modules: ``ec``."""
_STANDARD = {
    "hashlib",
    "_hashlib",
    "_sha1",
    "_sha256",
    "_sha512",
    "_sha3",
    "_blake2",
    "_md5",
    "hmac",
    "_hmac",
    "ssl",
    "random",
}
LIBRARIES = _COMPILED | _STANDARD | {"cryptography", "nacl", "oqs", "Crypto"}
_URANDOM = "posix.urandom"
_LOGIC_ONLY = ("cryptography.exceptions.", "cryptography.utils.")
"""What computes nothing."""


class Recording:
    """``names``: qualified names, of methods that of their class."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call":
            owner = getattr(argument, "__self__", None)
            self._add(argument if owner is None or isinstance(owner, ModuleType) else owner)
        elif event == "call":
            self._python(frame)

    def _python(self, frame: FrameType) -> None:
        module = frame.f_globals.get("__name__", "")
        if _root(module) in LIBRARIES:
            self._note(f"{module}.{frame.f_code.co_qualname}")
        elif _root(module).startswith("e4"):
            for name in frame.f_code.co_names:
                found = frame.f_globals.get(name)
                if isinstance(found, ModuleType) and _root(found.__name__) in LIBRARIES:
                    for attribute in frame.f_code.co_names:
                        self._add(getattr(found, attribute, None))
                else:
                    self._add(found)

    def _add(self, thing: object) -> None:
        kind = thing if hasattr(thing, "__qualname__") else type(thing)
        module = getattr(kind, "__module__", None) or ""
        name = f"{module}.{getattr(kind, '__qualname__', '')}"
        if _root(module) in LIBRARIES or name == _URANDOM:
            self._note(name)
            if not isinstance(thing, type) and hasattr(thing, "algorithm"):
                self._add(thing.algorithm)

    def _note(self, name: str) -> None:
        if not name.startswith(_LOGIC_ONLY):
            self.names.add(name.removeprefix("cryptography.hazmat.").removeprefix("bindings._rust."))


@contextmanager
def recording() -> Iterator[Recording]:
    """Of what this thread runs."""
    record = Recording()
    previous = sys.getprofile()
    sys.setprofile(record)
    try:
        yield record
    finally:
        sys.setprofile(previous)


def _root(module: str) -> str:
    return module.partition(".")[0]
