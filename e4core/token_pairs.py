# SPDX-License-Identifier: Apache-2.0
"""An identity in a token: a pair for each version of it and each use, made there, and never seen here.

Where an identity has one pair for all, it is named by the version; where it has more, by version and use: ``2-sign``, ``2-kem``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from threading import Lock
from typing import Protocol

from e4core.errors import Conflict, InvalidInput
from e4core.plugins import load_key
from e4core.suite import Identity, KeyHandle, PrivateKey, TakesHandles

log = logging.getLogger(__name__)

PASSED_OVER_MAX = 100
"""Names that are taken in a row: more are no remains of crashes, but a token that is for somebody else."""
_VERSION = "{version}"
_PASSED_OVER = (
    "the new key gets version %d: the token holds pairs of the names before, which an interrupted attempt or somebody else made,"
    " and which are not used here; remove those that are nobody's"
)

LoadKey = Callable[[str, str], KeyHandle]


class HandledIdentity(Identity, TakesHandles, Protocol):
    """An `Identity` whose pairs may be in a token."""


class TokenPairs:
    """Opens pairs when they are first used; one of a token that does not answer is opened anew each time."""

    def __init__(self, uri: str, identity: HandledIdentity, load: LoadKey = load_key) -> None:
        """Nothing is opened yet.

        Args: uri: with ``{version}`` where the name of a pair tells its version.  load: opens the pair of a URI and an algorithm.
        Raises: InvalidInput (``bad_uri``): without it.
        """
        if _VERSION not in uri:
            raise InvalidInput(
                f"the URI of a key in a token names a pair for each version: write {_VERSION} into it", kind="bad_uri"
            )
        self._uri = uri
        self._identity = identity
        self._load = load
        self._open: dict[int, Mapping[str, KeyHandle]] = {}
        self._making = Lock()

    @property
    def newest(self) -> int:
        """Of those that are open; 0: none is."""
        return max(self._open, default=0)

    def open(self, version: int) -> PrivateKey:
        """Raises: KmsError; PluginError; InvalidInput: the URI."""
        if version not in self._open:
            with self._handles(version) as (handles, keep):
                self._open[version] = handles
                keep.pop_all()
        return self._identity.in_token(self._open[version])

    def make_next(self, after: int) -> tuple[int, bytes]:
        """Make the pair of the first version after this one whose name is free; a pair that is there is never taken over.

        Returns: its version, and its public key.
        Raises: KmsError. Conflict: `PASSED_OVER_MAX` names are taken.
        """
        first, last = after + 1, after + PASSED_OVER_MAX
        with self._making:  # a token may look for the name and make the pair in two steps
            for version in range(first, last + 1):
                if public := self._made(version):
                    if version > first:
                        log.warning(_PASSED_OVER, version)
                    return version, public
        raise Conflict(
            f"the token holds pairs of the names of versions {first} to {last}, and none is known here; "
            "choose another name in the URI"
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
