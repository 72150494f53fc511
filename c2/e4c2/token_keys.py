# SPDX-License-Identifier: Apache-2.0
"""The C2's own private key in a token, by version.

Token and database cannot change in one step, so the pairs are made first, and then the row that tells of them. What a crash between
the two leaves in the token is never used: nobody could tell it from a pair of another C2 that has the same name in its settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from e4core.errors import UnsupportedSuite
from e4core.plugins import load_key
from e4core.suite import Suite, TakesHandles
from e4core.token_pairs import LoadKey, TokenPairs

IN_TOKEN = b"in token"
"""What is stored, sealed, in place of a private key."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A new version of the C2's key; ``private``: as it is stored, `IN_TOKEN` if it is there."""

    version: int
    private: bytes = field(repr=False)
    public: bytes


class PairNeeded(Exception):
    """Tells whoever runs a transaction to `make` a pair, which may take seconds, and to run the transaction again with it."""

    def __init__(self, keys: TokenKeys, after: int) -> None:
        super().__init__(f"a pair after version {after} is to be made in the token first")
        self._keys, self._after = keys, after

    def make(self) -> Pair:
        """Raises: as `TokenKeys.make`."""
        return self._keys.make(self._after)


class TokenKeys(TokenPairs):
    """The pairs that the setting ``c2_key`` names."""

    def __init__(self, uri: str, suite: Suite, load: LoadKey = load_key) -> None:
        """As `TokenPairs`. Raises, too: UnsupportedSuite: the C2 of ``suite`` takes no key in a token."""
        if not isinstance(suite.c2, TakesHandles):
            raise UnsupportedSuite(
                f"the suite {suite.name} takes no C2 key in a token; leave c2_key out of the settings"
            )
        super().__init__(uri, suite.c2, load)

    def make(self, after: int) -> Pair:
        """As `make_next`."""
        version, public = self.make_next(after)
        return Pair(version, IN_TOKEN, public)
