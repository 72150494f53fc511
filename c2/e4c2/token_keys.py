# SPDX-License-Identifier: Apache-2.0
"""The C2's own private key in a token: a pair for each version, made there, and never seen here."""

from __future__ import annotations

from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.plugins import load_key
from e4core.suite import KeyHandle, Suite, TakesHandles

IN_TOKEN = b"in token"
"""What is stored, sealed, in place of a private key."""
_VERSION = "{version}"


class TokenKeys:
    """Opens pairs when they are first used; one of a token that does not answer is opened anew each time."""

    def __init__(self, uri: str, suite: Suite) -> None:
        """Nothing is opened yet.

        Args: uri: with ``{version}`` where the name of a pair tells its version.
        Raises: InvalidInput (``bad_uri``): without it. UnsupportedSuite: its C2 takes no key in a token.
        """
        if _VERSION not in uri:
            raise InvalidInput(f"c2_key names a pair for each version: write {_VERSION} into its URI", kind="bad_uri")
        if not isinstance(suite.c2, TakesHandles):
            raise UnsupportedSuite(
                f"the suite {suite.name} takes no C2 key in a token; leave c2_key out of the settings"
            )
        self._uri = uri
        self._algorithm = suite.c2.handle_algorithm
        self._open: dict[int, KeyHandle] = {}

    def open(self, version: int) -> KeyHandle:
        """Raises: KmsError; PluginError; InvalidInput: the URI."""
        if version not in self._open:
            self._open[version] = load_key(self._uri.replace(_VERSION, str(version)), self._algorithm)
        return self._open[version]

    def make(self, version: int) -> bytes:
        """Make the pair of a version; its public key.

        Raises: KmsError. Conflict: there is one of that name, of another C2 perhaps; a pair is never shared.
        """
        handle = self.open(version)
        handle.create()
        return handle.public()

    def close(self) -> None:
        for handle in self._open.values():
            handle.close()
        self._open.clear()
