# SPDX-License-Identifier: Apache-2.0
"""Value types of the protocol: checked once where they enter, then trusted.

They are bytes of one fixed length, so that they cost nothing on the hot path. Secrets never show themselves in a repr, a
format string or a traceback, and compare in constant time.
"""

from __future__ import annotations

import hmac
from typing import ClassVar, Self

from e4core.errors import InvalidInput

TOPIC_NAME_MAX = 512
CLIENT_NAME_MAX = 255
CONTROL_PREFIX = "e4/"


class FixedBytes(bytes):
    """Exactly ``length`` bytes."""

    length: ClassVar[int]
    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        if len(value) != cls.length:
            raise InvalidInput(f"{cls.__name__} is {cls.length} bytes long, not {len(value)}", kind="bad_length")
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"

    __str__ = __repr__


class ClientId(FixedBytes):
    """Identifies one client: the first 16 bytes of SHA3-256 of its name, or chosen freely (`wire.md` section 2)."""

    length = 16
    __slots__ = ()


class TopicHash(FixedBytes):
    """Stands for a topic in Format 1: the first 16 bytes of SHA3-256 of its name (`wire.md` section 2)."""

    length = 16
    __slots__ = ()


class FullTopicHash(FixedBytes):
    """Stands for a topic in Format 2: all 32 bytes of SHA3-256 of its name (`format2.md` section 1)."""

    length = 32
    __slots__ = ()


class Secret(bytes):
    """Secret bytes of any length; shown nowhere, compared in constant time."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{len(self)} secret bytes>)"

    __str__ = __repr__

    def __format__(self, spec: str, /) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (bytes, bytearray)) and hmac.compare_digest(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = bytes.__hash__

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("secrets are not pickled")


class TopicKey(Secret):
    """Key of one topic, 32 bytes, never all zero (`wire.md` section 3)."""

    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        check_symmetric_key(value)
        return super().__new__(cls, value)


def check_symmetric_key(value: bytes) -> None:
    """Refuse what can be no symmetric key.

    Raises: InvalidInput (``bad_key``): not 32 bytes, or all zero.
    """
    if len(value) != 32:
        raise InvalidInput(f"a symmetric key is 32 bytes long, not {len(value)}", kind="bad_key")
    if not any(value):
        raise InvalidInput("an all-zero key is refused", kind="bad_key")


def check_topic_name(name: str) -> str:
    """Return ``name`` if it can name a topic to publish on: 1 to 512 bytes of UTF-8, no ``+``, ``#`` or NUL.

    Raises: InvalidInput (``bad_topic``).
    """
    if not 1 <= len(utf8(name, "topic name")) <= TOPIC_NAME_MAX:
        raise InvalidInput(f"a topic name is 1 to {TOPIC_NAME_MAX} bytes of UTF-8", kind="bad_topic")
    if any(c in name for c in "+#\0"):
        raise InvalidInput("a topic name holds no '+', '#' or NUL", kind="bad_topic")
    return name


def check_client_name(name: str) -> str:
    """Return ``name`` if it can name a client: 1 to 255 bytes of UTF-8 without control characters.

    Raises: InvalidInput (``bad_name``).
    """
    if not 1 <= len(utf8(name, "client name")) <= CLIENT_NAME_MAX:
        raise InvalidInput(f"a client name is 1 to {CLIENT_NAME_MAX} bytes of UTF-8", kind="bad_name")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in name):
        raise InvalidInput("a client name holds no control characters", kind="bad_name")
    return name


def control_topic(client: ClientId) -> str:
    """Topic on which ``client`` gets its commands: ``e4/`` and 32 lower-case hex digits (`wire.md` section 2)."""
    return CONTROL_PREFIX + client.hex()


def report_topic(client: ClientId) -> str:
    """Topic on which ``client`` reports to the C2 (`format2.md` section 3)."""
    return f"{CONTROL_PREFIX}{client.hex()}/report"


def utf8(text: str, what: str) -> bytes:
    """Raises: InvalidInput (``bad_utf8``)."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"the {what} is no valid UTF-8", kind="bad_utf8") from error
