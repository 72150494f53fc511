# SPDX-License-Identifier: Apache-2.0
"""Key files: raw bytes without a header, as E4's own tools keep them (`wire.md` section 10).

========== ============================================ ==================
kind       NAME (mode 0600)                             NAME.pub (0644)
========== ============================================ ==================
symmetric  32 random bytes                              none
ed25519    seed (32) | public key (32)                  32
curve25519 32, unclamped                                32
========== ============================================ ==================

A key from a passphrase is HKDF-SHA256(root, info = "e4 key file v1 " and the kind, 32 bytes), where root is Argon2id of the
passphrase with the salt in NAME.salt (RFC 9106, second recommended option): no two kinds ever get the same key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from e4core import files
from e4core.errors import Conflict, InvalidInput
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4core.suite import Identity, Suite
from e4device.passphrase import KEY_LEN, RECOMMENDED, Cost, derive

PASSPHRASE_MIN_LEN = 16
"""Bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class KeyKind:
    """A kind of key file: whose identity it is, and how 32 derived bytes become its private value."""

    identity: Callable[[Callable[[str], Suite]], Identity]
    expand: Callable[[Secret], Secret]


def _with_public_half(seed: Secret) -> Secret:
    return Secret(seed + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


KINDS: Mapping[str, KeyKind] = {
    "symmetric": KeyKind(lambda suites: suites("sk").device, lambda key: key),
    "ed25519": KeyKind(lambda suites: suites("pk").device, _with_public_half),
    "curve25519": KeyKind(lambda suites: suites("pk").c2, lambda key: key),
}


def identity_of(kind: str, suites: Callable[[str], Suite] = load_suite) -> Identity:
    """What checks and generates keys of ``kind``. Raises: InvalidInput (``bad_kind``). PluginError."""
    return _kind(kind).identity(suites)


def from_passphrase(kind: str, passphrase: Secret, salt: bytes, cost: Cost = RECOMMENDED) -> Secret:
    """Private value of ``kind``, the same for the same passphrase and salt.

    Args: passphrase: at least 16 bytes.  salt: at least 16 bytes, random.
    Raises: InvalidInput.
    """
    if len(passphrase) < PASSPHRASE_MIN_LEN:
        raise InvalidInput(f"a passphrase for a key has at least {PASSPHRASE_MIN_LEN} bytes", kind="bad_passphrase")
    expand = _kind(kind).expand
    root = derive(passphrase, salt, cost)
    return expand(Secret(load_suite("sk").kdf(root, b"e4 key file v1 " + kind.encode(), KEY_LEN)))


def write(path: Path, identity: Identity, private: Secret, salt: bytes = b"") -> list[Path]:
    """Write NAME, and where there are any NAME.pub and NAME.salt. Returns what was written, the private file first.

    If it raises, also when it is interrupted, none of them stays. After a crash or power cut there may be the others without
    NAME, which is written last: delete them and try again.
    Raises: Conflict: one of them exists. InvalidInput (``bad_key``). StorageError.
    """
    public = identity.public(identity.load(private))
    todo = [(path, bytes(private), files.PRIVATE)]
    if not identity.public_is_secret:
        todo.append((_beside(path, "pub"), public, files.PUBLIC))
    if salt:
        todo.append((_beside(path, "salt"), salt, files.PUBLIC))
    names = [name for name, _, _ in todo]
    _refuse_existing(names)
    begun: list[Path] = []
    try:
        for name, data, mode in reversed(todo):
            begun.append(name)  # before, as a file may be there although it could not be flushed to the disk
            files.create(name, data, mode)
    except Conflict:
        _discard(begun[:-1])  # the last one is somebody else's
        raise
    except BaseException:
        _discard(begun)
        raise
    return names


def require_free(path: Path) -> None:
    """Before a key is made that takes long, or cannot be unmade. Raises: Conflict (``exists``): NAME or NAME.pub."""
    _refuse_existing([path, _beside(path, "pub")])


def load_private(path: Path, identity: Identity) -> Secret:
    """The private value in ``path``, checked.

    Raises: StorageError: missing, or open to others. InvalidInput (``bad_key``): no key of ``identity``.
    """
    private = Secret(files.read(path))
    _explain(path, lambda: identity.load(private))
    return private


def load_public(path: Path, identity: Identity) -> bytes:
    """The public key in ``path``, checked. Who may read it does not matter. Raises: as `load_private`, also for NAME itself."""
    public = files.read(path, private=identity.public_is_secret)
    if not identity.public_is_secret:
        _refuse_private(path)
    _explain(path, lambda: identity.check(public))
    return public


def _kind(kind: str) -> KeyKind:
    if kind not in KINDS:
        raise InvalidInput(f"no kind of key is called {kind!r}; known: {', '.join(KINDS)}", kind="bad_kind")
    return KINDS[kind]


def _explain(path: Path, check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}", kind=error.kind) from error


def _refuse_private(path: Path) -> None:
    """Where both keys have one length, the private one would be taken for the public one, and shown."""
    beside = _beside(path, "pub")
    if beside.exists():
        raise InvalidInput(f"{path} is the private key of {beside}; give {beside}", kind="bad_key")


def _beside(path: Path, suffix: str) -> Path:
    return path.parent / f"{path.name}.{suffix}"


def _discard(paths: list[Path]) -> None:
    for path in paths:
        files.discard(path)


def _refuse_existing(paths: list[Path]) -> None:
    for path in paths:
        if path.is_symlink() or path.exists():
            raise Conflict(f"{path} exists already and is not overwritten; choose another name", kind="exists")
