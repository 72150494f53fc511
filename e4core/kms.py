# SPDX-License-Identifier: Apache-2.0
"""What guards the C2's database: the protocol of a key management driver.

A driver is a plugin of the group ``e4.kms``, named by its URI scheme; its entry point is a `KmsFactory`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from e4core.keys import Secret


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A secret as only the KMS can open it.

    ``key_id`` names the key encryption key (and its version, where there is one) as the provider does; ``mechanism`` how it
    was wrapped; both are shown to operators and needed to unwrap.
    """

    key_id: str
    mechanism: str
    blob: bytes


@runtime_checkable
class Kms(Protocol):
    """Wraps 32-byte root secrets under a key that never leaves it. Methods block; they may be called from any thread."""

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        """Wrap ``secret`` so that it opens only with the same ``context``. Raises: KmsError."""
        ...

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        """Raises: Tampered: changed, or another context; KeyNotFound; KmsUnavailable; KmsError."""
        ...

    def check(self) -> None:
        """Prove that the service answers and the key can be used. Raises: KmsError."""
        ...

    def close(self) -> None:
        """Forget keys and connections; harmless when repeated."""
        ...


@runtime_checkable
class Rewraps(Protocol):
    """A `Kms` that can put a wrap under the newest version of its key, most by themselves, without showing us the secret."""

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        """Raises: as `Kms.unwrap`."""
        ...


@runtime_checkable
class CreatesKey(Protocol):
    """A `Kms` that can make the key encryption key that its URI names."""

    def create_key(self) -> None:
        """Raises: Conflict: there is one; KmsError."""
        ...


@runtime_checkable
class HasShares(Protocol):
    """A `Kms` of several, of which fewer are enough: one that is lost shows nowhere until it is one too many."""

    def check_shares(self, wrapped: Wrapped | None, context: bytes, /) -> str | None:
        """As `Kms.check`, of each of them; or prove that each opens its share of ``wrapped``.

        Returns: which do not, in one sentence, where enough do; None: all do.
        Raises: KmsError: fewer than are needed do.
        """
        ...


class KmsFactory(Protocol):
    def __call__(self, uri: str, /) -> Kms:
        """Raises: InvalidInput: the URI; KmsError."""
        ...
