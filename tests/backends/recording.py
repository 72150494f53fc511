# SPDX-License-Identifier: Apache-2.0
"""Records what cryptography runs, with nothing patched: the profiler of Python tells of every call.

Of C code it tells the functions and methods, but not when a class is called. So of each function of this project that runs, all is
recorded too that it can name: classes and instances of cryptographic libraries among its globals. Of ctypes it tells nothing, nor
does a module of our own in C say that it is cryptography: where those are called from is recorded whole.
"""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import CodeType, FrameType, ModuleType

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
    "_sha2",
    "_sha3",
    "_blake2",
    "_md5",
    "hmac",
    "_hmac",
    "ssl",
    "_ssl",
    "random",
}
LIBRARIES = _COMPILED | _STANDARD | {"cryptography", "nacl", "oqs", "Crypto", "pkcs11"}
_OF_OURS = ("e4backends.fast.", "e4backends.liboqs", "e4backends.oqs", "e4kms.shamir")
_KERNEL = ("posix.urandom", "posix.getrandom")
_LOGIC_ONLY = ("cryptography.exceptions.", "cryptography.utils.")
"""What computes nothing."""


class Recording:
    """``names``: qualified names, of methods that of their class."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._done: dict[int, object] = {}
        """By id, as to hash code takes long: code, functions and types of which another call tells nothing new."""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call":
            owner = getattr(argument, "__self__", None)
            thing = argument if owner is None or isinstance(owner, ModuleType) else owner
            kind = thing if thing is argument else type(thing)
            if id(kind) not in self._done and not self._add(thing):
                self._done[id(kind)] = kind
        elif event == "call" and id(frame.f_code) not in self._done:
            self._done[id(frame.f_code)] = frame.f_code
            self._python(frame)

    def _python(self, frame: FrameType) -> None:
        module = frame.f_globals.get("__name__", "")
        if _root(module) in LIBRARIES or module.startswith(_OF_OURS):
            self._note(f"{module}.{frame.f_code.co_qualname}")
        elif _root(module).startswith("e4"):
            for name, attribute in _globals_of(frame.f_code):
                found = frame.f_globals.get(name)
                self._add(getattr(found, attribute, None) if isinstance(found, ModuleType) else found)

    def _add(self, thing: object) -> bool:
        """Whether it was cryptography."""
        kind = thing if hasattr(thing, "__qualname__") else type(thing)
        module = getattr(kind, "__module__", None) or ""
        name = f"{module}.{getattr(kind, '__qualname__', '')}"
        if _root(module) not in LIBRARIES and name not in _KERNEL:
            return False
        self._note(name)
        if not isinstance(thing, type) and hasattr(thing, "algorithm"):
            self._add(thing.algorithm)
        return True

    def _note(self, name: str) -> None:
        if not name.startswith(_LOGIC_ONLY):
            self.names.add(name.removeprefix("cryptography.hazmat.").removeprefix("bindings._rust."))


@contextmanager
def recording() -> Iterator[Recording]:
    """Of what this thread runs, and those that begin meanwhile."""
    record = Recording()
    previous = sys.getprofile(), threading.getprofile()
    sys.setprofile(record)
    threading.setprofile(record)
    try:
        yield record
    finally:
        sys.setprofile(previous[0])
        threading.setprofile(previous[1])


def _root(module: str) -> str:
    return module.partition(".")[0]


def _globals_of(code: CodeType) -> Iterator[tuple[str, str]]:
    """Names of globals that are used, and of the attribute that is taken of each."""
    steps = [*dis.get_instructions(code), None]
    for step, following in pairwise(steps):
        if step and step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            taken = following and following.opname in ("LOAD_ATTR", "LOAD_METHOD")
            yield step.argval, following.argval if following and taken else ""
