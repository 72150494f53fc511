# SPDX-License-Identifier: Apache-2.0
"""The C2's own private key in a token: a pair for each version and each use, made there, and never seen here.

Where a suite has one pair for all, it is named by the version; where it has more, by version and use: ``2-sign``, ``2-kem``.

Token and database cannot change in one step, so the pairs are made first, and then the row that tells of them. What a crash between
the two leaves in the token is never used: nobody could tell it from a pair of another C2 that has the same name in its settings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from threading import Lock

from e4core.errors import Conflict, InvalidInput, UnsupportedSuite
from e4core.plugins import load_key
from e4core.suite import KeyHandle, PrivateKey, Suite, TakesHandles

log = logging.getLogger(__name__)

IN_TOKEN = b"in token"
"""What is stored, sealed, in place of a private key."""
PASSED_OVER_MAX = 100
"""Names that are taken in a row: more are no remains of crashes, but a token that is not for this C2."""
_VERSION = "{version}"
_PASSED_OVER = (
    "the C2's key gets version %d: the token holds pairs of the names before, which an interrupted attempt or another C2 made,"
    " and which are not used here; remove those that are of no C2"
)


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


class TokenKeys:
    """Opens pairs when they are first used; one of a token that does not answer is opened anew each time."""

    def __init__(self, uri: str, suite: Suite, load: Callable[[str, str], KeyHandle] = load_key) -> None:
        """Nothing is opened yet.

        Args: uri: with ``{version}`` where the name of a pair tells its version.  load: opens the pair of a URI and an algorithm.
        Raises: InvalidInput (``bad_uri``): without it. UnsupportedSuite: its C2 takes no key in a token.
        """
        if _VERSION not in uri:
            raise InvalidInput(f"c2_key names a pair for each version: write {_VERSION} into its URI", kind="bad_uri")
        if not isinstance(suite.c2, TakesHandles):
            raise UnsupportedSuite(
                f"the suite {suite.name} takes no C2 key in a token; leave c2_key out of the settings"
            )
        self._uri = uri
        self._identity = suite.c2
        self._load = load
        self._open: dict[int, Mapping[str, KeyHandle]] = {}
        self._making = Lock()

    def open(self, version: int) -> PrivateKey:
        """Raises: KmsError; PluginError; InvalidInput: the URI."""
        if version not in self._open:
            with self._handles(version) as (handles, keep):
                self._open[version] = handles
                keep.pop_all()
        return self._identity.in_token(self._open[version])

    def make(self, after: int) -> Pair:
        """Make the pair of the first version after this one whose name is free; a pair that is there is never taken over.

        Raises: KmsError. Conflict: `PASSED_OVER_MAX` names are taken.
        """
        first, last = after + 1, after + PASSED_OVER_MAX
        with self._making:  # a token may look for the name and make the pair in two steps
            for version in range(first, last + 1):
                if public := self._made(version):
                    if version > first:
                        log.warning(_PASSED_OVER, version)
                    return Pair(version, IN_TOKEN, public)
        raise Conflict(
            f"the token holds pairs of the names of versions {first} to {last}, and none is of this C2; choose another in c2_key"
        )

    def close(self) -> None:
        for handle in (handle for handles in self._open.values() for handle in handles.values()):
            handle.close()
        self._open.clear()

    def _made(self, version: int) -> bytes | None:
        """The public key; None: there is a pair of that name."""
        with self._handles(version) as (handles, _):
            try:
                for handle in handles.values():
                    handle.create()
            except Conflict:
                return None
            return self._identity.public(self._identity.in_token(handles))

    @contextmanager
    def _handles(self, version: int) -> Iterator[tuple[Mapping[str, KeyHandle], ExitStack]]:
        """By use, and what closes them in the end."""
        handles: dict[str, KeyHandle] = {}
        with ExitStack() as stack:
            for use, algorithm in self._identity.handle_algorithms.items():
                uri = self._uri.replace(_VERSION, f"{version}-{use}" if use else str(version))
                handles[use] = stack.enter_context(closing(self._load(uri, algorithm)))
            yield handles, stack
