# SPDX-License-Identifier: Apache-2.0
"""liboqs, found and bound: the functions of its public C interface that this project calls, of version 0.13 and later.

Called by ctypes and not through `liboqs-python`: that package clones, builds and ends the process where it finds no library, loads
no older one, and cannot make an ML-DSA key from a seed. All lengths are in bytes.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from ctypes import CDLL, CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_size_t, c_void_p, create_string_buffer, memmove
from ctypes.util import find_library
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.keys import Secret

INSTALL_PATH = "OQS_INSTALL_PATH"
_HOW = (
    f"install liboqs 0.13 or later, or let {INSTALL_PATH} name the folder it is installed in (`make liboqs` builds one)"
)
_USUAL = ("/usr/local/lib", "/usr/local/lib64", "/opt/homebrew/lib")
_FILE = {"win32": "bin/oqs.dll", "darwin": "liboqs.dylib"}.get(sys.platform, "liboqs.so")
_Random = CFUNCTYPE(None, c_void_p, c_size_t)
_FUNCTIONS: dict[str, tuple[object, list[object]]] = {
    "OQS_init": (None, []),
    "OQS_randombytes_custom_algorithm": (None, [_Random]),
    "OQS_randombytes_switch_algorithm": (c_int, [c_char_p]),
    "OQS_KEM_new": (c_void_p, [c_char_p]),
    "OQS_KEM_keypair_derand": (c_int, [c_void_p, c_void_p, c_void_p, c_char_p]),
    "OQS_KEM_encaps": (c_int, [c_void_p, c_void_p, c_void_p, c_char_p]),
    "OQS_KEM_decaps": (c_int, [c_void_p, c_void_p, c_char_p, c_char_p]),
    "OQS_SIG_new": (c_void_p, [c_char_p]),
    "OQS_SIG_keypair": (c_int, [c_void_p, c_void_p, c_void_p]),
    "OQS_SIG_sign": (c_int, [c_void_p, c_void_p, POINTER(c_size_t), c_char_p, c_size_t, c_char_p]),
    "OQS_SIG_verify": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_char_p]),
}


@cache
def library() -> CDLL:
    """liboqs of this machine. Raises: ImportError, which says what to do: there is none, or it is too old."""
    path = _find()
    try:
        loaded = CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise ImportError(f"liboqs at {path} cannot be used ({error}); {_HOW}") from error
    loaded.OQS_init()
    return loaded


def version() -> str:
    """As ``0.13.0``."""
    told = library().OQS_version
    told.restype = c_char_p
    return bytes(told()).decode()


def _find() -> str:
    if chosen := os.environ.get(INSTALL_PATH):
        if found := next(_candidates([f"{chosen}/lib", f"{chosen}/lib64", chosen]), None):
            return found
        raise ImportError(f"there is no liboqs under {chosen}, which {INSTALL_PATH} names; {_HOW}")
    if found := find_library("oqs") or next(_candidates(_USUAL), None):
        return found
    raise ImportError(f"liboqs is not on this machine; {_HOW}")


def _candidates(folders: Sequence[str]) -> Iterator[str]:
    return (str(path) for folder in folders if (path := Path(folder, _FILE)).is_file())


@dataclass(frozen=True, slots=True)
class NativeKem:
    """A KEM of liboqs."""

    handle: int
    public_len: int
    private_len: int
    ciphertext_len: int

    def expand(self, seed: bytes) -> tuple[bytes, Secret]:
        """Public key and expanded private key of a seed."""
        public, private = create_string_buffer(self.public_len), create_string_buffer(self.private_len)
        _must(library().OQS_KEM_keypair_derand(self.handle, public, private, seed))
        return public.raw, Secret(private.raw)

    def encapsulate(self, public: bytes) -> tuple[bytes, Secret]:
        ciphertext, secret = create_string_buffer(self.ciphertext_len), create_string_buffer(32)
        _must(library().OQS_KEM_encaps(self.handle, ciphertext, secret, public))
        return ciphertext.raw, Secret(secret.raw)

    def decapsulate(self, private: bytes, ciphertext: bytes) -> Secret:
        secret = create_string_buffer(32)
        _must(library().OQS_KEM_decaps(self.handle, secret, ciphertext, private))
        return Secret(secret.raw)


@dataclass(frozen=True, slots=True)
class NativeSignature:
    """A signature scheme of liboqs, all of whose signatures have one length."""

    handle: int
    public_len: int
    private_len: int
    signature_len: int

    def generate(self) -> tuple[bytes, Secret]:
        """A fresh public and private key."""
        public, private = create_string_buffer(self.public_len), create_string_buffer(self.private_len)
        _must(library().OQS_SIG_keypair(self.handle, public, private))
        return public.raw, Secret(private.raw)

    def expand(self, seed: bytes) -> tuple[bytes, Secret]:
        """What `generate` gives when the generator of random numbers gives ``seed``.

        The caller checks the public key: nothing else shows that liboqs asked for the seed in one piece.
        """
        with _expansion_lock:
            _expanding.seed = seed
            library().OQS_randombytes_custom_algorithm(_random)
            try:
                return self.generate()
            finally:
                library().OQS_randombytes_switch_algorithm(b"system")
                _expanding.seed = None

    def sign(self, private: bytes, message: bytes) -> bytes:
        """Raises: InvalidInput (``bad_key``): no private key."""
        signature, length = create_string_buffer(self.signature_len), c_size_t(self.signature_len)
        status = library().OQS_SIG_sign(self.handle, signature, byref(length), message, len(message), private)
        if status or length.value != self.signature_len:
            raise InvalidInput("liboqs cannot sign with this private key", kind="bad_key")
        return signature.raw

    def verifies(self, public: bytes, message: bytes, signature: bytes) -> bool:
        if len(signature) != self.signature_len:
            return False
        status = library().OQS_SIG_verify(self.handle, message, len(message), signature, len(signature), public)
        return int(status) == 0


def kem(name: str, public_len: int, private_len: int, ciphertext_len: int) -> NativeKem:
    """Raises: ImportError: no liboqs, or one that was built without ``name``."""
    return NativeKem(_new("KEM", name), public_len, private_len, ciphertext_len)


def signature(name: str, public_len: int, private_len: int, signature_len: int) -> NativeSignature:
    """Raises: ImportError: no liboqs, or one that was built without ``name``."""
    return NativeSignature(_new("SIG", name), public_len, private_len, signature_len)


def _new(kind: str, name: str) -> int:
    handle: int | None = getattr(library(), f"OQS_{kind}_new")(name.encode())
    if not handle:
        raise ImportError(f"this liboqs was built without {name}; {_HOW}")
    return handle


def _must(status: int) -> None:
    if status:
        raise UnsupportedSuite("liboqs refused a call that cannot fail; check its version and how it was built")


_expansion_lock = threading.Lock()


class _Expanding(threading.local):
    seed: bytes | None = None


_expanding = _Expanding()


def _give(buffer: int, length: int) -> None:
    """Gives the thread that expands a seed that seed, and every other thread what the system's generator gives."""
    seed = _expanding.seed
    memmove(buffer, seed if seed is not None and len(seed) == length else os.urandom(length), length)


_random = _Random(_give)
