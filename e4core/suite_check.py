# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a suite before it is used: its names, its parts, its lengths, and whether its AEAD works at all.

The guide *Write a suite* says what must hold besides; only tests of the suite itself can see that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from e4core.suite import Aead, ControlChannel, Hash, Identity, Kdf, Signature, Suite


class _Length(NamedTuple):
    holds: Callable[[int], bool]
    text: str


_TAG = _Length(lambda n: n == 16, "16")
_AEAD = {
    1: {"key_len": _Length(lambda n: n == 32, "32"), "nonce_len": _Length(lambda n: n == 0, "0"), "tag_len": _TAG},
    2: {
        "key_len": _Length(lambda n: 1 <= n <= 64, "1 to 64"),
        "nonce_len": _Length(lambda n: n == 0 or n >= 4, "0, or 4 and more"),
        "tag_len": _TAG,
    },
}
"""Format -> lengths of its AEADs, in bytes."""
_PARTS: dict[str, type] = {
    "aead": Aead,
    "hash": Hash,
    "kdf": Kdf,
    "device": Identity,
    "c2": Identity,
    "control": ControlChannel,
    "signature": Signature,
}
_LENGTHS = {
    "device": ("private_len", "public_len"),
    "c2": ("private_len", "public_len"),
    "control": ("overhead",),
    "signature": ("public_len", "signature_len"),
}


def fault(suite: Suite) -> str | None:
    """The first thing that is wrong with ``suite``, as the end of a sentence that begins with its name."""
    try:
        return next(_faults(suite), None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code: whatever it raises, a panic of Rust too, is one clear sentence here
        return f"fails when it is tried: {error!r}"


def _faults(suite: Suite) -> Iterator[str]:
    """Each check may rely on those before it."""
    if type(suite.format) is not int or suite.format not in _AEAD:
        yield f"is of format {suite.format!r}; there are {' and '.join(map(str, _AEAD))}"
    name = suite.wire_name
    if not (isinstance(name, str) and name.isascii() and name.isprintable() and 1 <= len(name) <= 32):
        yield "has a wire name that is not 1 to 32 printable ASCII characters"
    yield from _missing(suite)
    yield from _lengths(suite)
    aead, nonce = suite.aead, bytes(suite.aead.nonce_len)
    key = aead.key(bytes(range(1, aead.key_len + 1)))
    sealed = key.seal(nonce, b"plaintext", b"header")
    if len(sealed) != len(b"plaintext") + aead.tag_len:
        yield "has an AEAD that does not make a plaintext longer by tag_len"
    if key.open(nonce, sealed, b"header") != b"plaintext":
        yield "has an AEAD that does not open what it has sealed"


def _missing(suite: Suite) -> Iterator[str]:
    for part, protocol in _PARTS.items():
        value = getattr(suite, part)
        if part == "signature" and value is None:
            continue
        members = (name for name in vars(protocol) if not name.startswith("_") or name == "__call__")
        yield from (f"lacks {part}.{name}" for name in members if not hasattr(value, name))


def _lengths(suite: Suite) -> Iterator[str]:
    for name, length in _AEAD[suite.format].items():
        value = getattr(suite.aead, name)
        if type(value) is not int or not length.holds(value):
            yield f"has an AEAD with {name} {value!r}; in Format {suite.format} it is {length.text}"
    for part, names in _LENGTHS.items():
        for name in names if getattr(suite, part) else ():
            value = getattr(getattr(suite, part), name)
            if type(value) is not int or value < 0:
                yield f"has no length in {part}.{name}, but {value!r}"
