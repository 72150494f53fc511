# SPDX-License-Identifier: Apache-2.0
"""What the checks do to bytes, and how they watch what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import TypeVar

from e4conformance.requirement import Unmet
from e4core.errors import AuthenticationFailed, E4Error, InvalidInput

E = TypeVar("E", bound=E4Error)
_SHOWN = 32
_LONG = 2048


def refused(
    act: Callable[[], object],
    what: str,
    by: type[E] | tuple[type[E], ...] = AuthenticationFailed,  # type: ignore[assignment]
    kinds: tuple[str, ...] = (),
) -> E:
    """The error with which ``act`` ends. Args: by: what it must be.  kinds: of which kind, if that matters.

    Raises: Unmet: it ends otherwise.
    """
    try:
        given = act()
    except by as error:
        if kinds and error.kind not in kinds:
            raise Unmet(f"{what} is refused as {error.kind}, not as {' or '.join(kinds)}") from error
        return error
    except Exception as error:  # the border to foreign code: each other way to end is told as what it is
        raise Unmet(f"{what} raises {_named(error)}, not {_names(by)}") from error
    shown = f" and gives {_bytes(given)}" if isinstance(given, bytes) else ""
    raise Unmet(f"{what} is accepted{shown}")


def refused_key(act: Callable[[], object], what: str) -> None:
    """Raises: Unmet: it is taken, or refused as anything but ``bad_key``."""
    refused(act, what, InvalidInput, ("bad_key",))


def typed(act: Callable[[], object], what: str) -> None:
    """``act`` succeeds or is refused as it may. Raises: Unmet: an error that is none of the project's."""
    try:
        act()
    except E4Error:
        pass
    except Exception as error:  # as in `refused`
        raise Unmet(f"{what} raises {_named(error)}, which is no E4Error") from error


def flipped(data: bytes, bit: int) -> bytes:
    """``data`` with one bit changed, counted from the first byte's lowest."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def resized(data: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """``data`` cut short at every length (of long ones: at the edges and some between), and longer by a few bytes."""
    edges = {*range(64), *range(len(data) - 64, len(data))}
    for length in range(len(data)) if len(data) <= _LONG else sorted(edges | set(random.sample(range(len(data)), 64))):
        yield f"only its first {length} bytes", data[:length]
    for length in range(1, min(len(data), 40)):
        yield f"its bytes from {length} on", data[length:]
    for more in (1, 2, 15, 16, 17, 64):
        yield f"with {more} zero bytes behind it", data + bytes(more)
        yield f"with {more} random bytes behind it", data + random.randbytes(more)
        yield f"with {more} zero bytes before it", bytes(more) + data


def cut(data: bytes) -> Iterator[tuple[str, bytes]]:
    """``data`` without some bytes within: a tag at either end stays as it is."""
    for missing in (1, 16, 1024):
        if len(data) > missing + 32:
            yield f"without {missing} bytes before its last 16", data[: -16 - missing] + data[-16:]
            yield f"without {missing} bytes behind its first 16", data[:16] + data[16 + missing :]


def exchanged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """``data`` with two blocks next to each other in the other order, at its start and behind a tag there."""
    for width in (16, 64, 1024):
        for start in (0, 16):
            first, second = data[start : start + width], data[start + width : start + 2 * width]
            if start + 2 * width <= len(data) - 16 and first != second:
                changed = data[:start] + second + first + data[start + 2 * width :]
                yield f"two blocks of {width} bytes exchanged", changed


def garbage(random: Random, around: int = 0) -> Iterator[bytes]:
    """Bytes that mean nothing: of lengths at edges and near ``around``, all equal, rising, random."""
    lengths = {0, 1, 2, 7, 8, 15, 16, 17, 24, 25, 31, 32, 33, 63, 64, 65, 255, 256, 1000}
    for length in sorted(lengths | {max(0, around + more) for more in (-17, -16, -1, 0, 1, 16, 17)}):
        yield bytes(length)
        yield b"\xff" * length
        yield bytes(n % 256 for n in range(length))
        yield random.randbytes(length)


def _bytes(given: bytes) -> str:
    return f"the bytes {given[:_SHOWN].hex()}" if given else "no bytes"


def _named(error: Exception) -> str:
    kind = f" ({error.kind})" if isinstance(error, E4Error) else ""
    return f"{type(error).__name__}{kind}"


def _names(by: type[E4Error] | tuple[type[E4Error], ...]) -> str:
    return " or ".join(each.__name__ for each in (by if isinstance(by, tuple) else (by,)))
