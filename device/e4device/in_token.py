# SPDX-License-Identifier: Apache-2.0
"""The key pairs of a device in a token: its private value is then a name, which is kept where else the key itself is.

The name, which is no secret: ``in token: VERSION URI``, with ``{version}`` in the URI. Whatever makes a device a new private value
makes pairs of the next version in the token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.keys import Secret
from e4core.plugins import load_key
from e4core.suite import PrivateKey, Suite, TakesHandles
from e4core.token_pairs import HandledIdentity, LoadKey, TokenPairs

_NAME = re.compile(r"in token: (?P<version>[1-9][0-9]{0,8}) (?P<uri>\S+)")


class DeviceInToken:
    """The device part of a suite, with names for its private values; an `e4core.suite.Identity`. To be closed."""

    public_is_secret = False

    def __init__(self, part: HandledIdentity, uri: str, load: LoadKey = load_key) -> None:
        """Nothing is opened yet. Raises: InvalidInput (``bad_uri``)."""
        self._pairs = TokenPairs(uri, part, load)
        self._part = part
        self._uri = uri

    @property
    def private_len(self) -> int:
        """Of the first name; those of later versions may be longer."""
        return len(self._name(1))

    @property
    def public_len(self) -> int:
        return self._part.public_len

    def generate(self) -> bytes:
        """Make pairs of the version after those that were loaded. Raises: as `TokenPairs.make_next`; InvalidInput: the URI."""
        version, _ = self._pairs.make_next(self._pairs.newest)
        return self._name(version)

    def load(self, stored: bytes, /) -> PrivateKey:
        match = _matched(stored)
        if not match or match["uri"] != self._uri:
            raise InvalidInput("a device with its key in a token holds no key from elsewhere", kind="bad_key")
        return self._pairs.open(int(match["version"]))

    def public(self, private: PrivateKey, /) -> bytes:
        return self._part.public(private)

    def check(self, public: bytes, /) -> None:
        self._part.check(public)

    def close(self) -> None:
        self._pairs.close()

    def _name(self, version: int) -> Secret:
        return Secret(f"in token: {version} {self._uri}".encode())


def device_at(suite: Suite, uri: str) -> DeviceInToken:
    """Raises: UnsupportedSuite: its devices take no key in a token. InvalidInput (``bad_uri``)."""
    if not isinstance(suite.device, TakesHandles):
        raise UnsupportedSuite(
            f"the suite {suite.name} takes no device key in a token; keep it in a file, or choose a suite that does, as fips-pk"
        )
    return DeviceInToken(suite.device, uri)


def name_of(private: bytes) -> str | None:
    """The URI of the pairs that ``private`` names; None: it is a key itself."""
    match = _matched(private)
    return match["uri"].replace("{version}", match["version"]) if match else None


@contextmanager
def opened(suite: Suite, private: bytes) -> Iterator[Suite]:
    """``suite`` as a device with this private value needs it. What is opened in a token is closed in the end.

    Raises: as `device_at`.
    """
    match = _matched(private)
    if match is None:
        yield suite
        return
    with closing(device_at(suite, match["uri"])) as device:
        yield replace(suite, device=device)


def _matched(stored: bytes) -> re.Match[str] | None:
    return _NAME.fullmatch(stored.decode("ascii", "replace"))
