# SPDX-License-Identifier: Apache-2.0
"""A key management driver as it is examined: opened from its URI, with what its owner can do to the back end behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import TypeVar

from e4conformance import border, credentials
from e4conformance.kms.children import Children
from e4conformance.requirement import RUNNING, Book, NotExercised, require_reasons
from e4core import plugins
from e4core.keys import Secret
from e4core.kms import CreatesKey, HasShares, Kms, Rewraps, Wrapped

Happens = Callable[[], AbstractContextManager[object]]
"""Something that happens to the back end, and is undone when the ``with`` ends."""
Load = Callable[[str], Kms]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsHooks:
    """What the kit cannot do to a back end by itself. A must whose hook is missing is not exercised, which is no pass.

    ``lacks``: capability -> the reason for which this driver or its back end has none, as ``{"restart": "it is a file"}``;
    what needs it is not applicable then. `HOOKED` names the hook of each; others: ``randomised`` (no two wraps are alike).
    """

    secrets: Sequence[bytes] = ()
    """What must be seen nowhere besides the files that the URI names: PIN, token, the key encryption key where it is known."""
    unreachable: Happens | None = None
    """A context manager during which the back end cannot be reached."""
    key_gone: Happens | None = None
    """A context manager during which the key does not exist."""
    key_disabled: Happens | None = None
    """A context manager during which the key exists and may not be used."""
    denied: Happens | None = None
    """A context manager during which the back end does not let this caller use the key."""
    share_gone: Happens | None = None
    """A context manager during which one share fails, and enough are left."""
    restart: Callable[[], object] | None = None
    """End the back end and begin it anew, with its keys."""
    rotate: Callable[[], str] | None = None
    """Give the key a new version or successor; returns the URI from then on."""
    version: Callable[[Wrapped], str] | None = None
    """The version of the key of a wrap, where key_id does not tell it."""
    second_uri: Callable[[], str] | None = None
    """The URI of another key of the same back end."""
    absent_uri: Callable[[], str] | None = None
    """The URI of a key that does not exist and can be made."""
    wrong_credentials_uri: Callable[[], str] | None = None
    """The URI of the same key with a wrong PIN, token, passphrase."""
    tries: Callable[[], int] | None = None
    """How many wrong credentials the back end has counted so far."""
    black_hole_uri: Callable[[str], str] | None = None
    """The URI with another host:port, and a deadline of 2 s or less."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    """What the kit cannot see, as {"firmware": "3.1"}: of a token, of a service, of a library. It is published."""

    def __post_init__(self) -> None:
        """Raises: InvalidInput: ``lacks`` names no capability, or gives no reason."""
        require_reasons(self.lacks, [*HOOKED, "randomised"])


HOOKED = {
    "outage": "unreachable",
    "missing-key": "key_gone",
    "disabled-key": "key_disabled",
    "permissions": "denied",
    "restart": "restart",
    "rotation": "rotate",
    "second-key": "second_uri",
    "credentials": "wrong_credentials_uri",
    "tries": "tries",
    "deadline": "black_hole_uri",
    "secrets": "secrets",
    "absent-key": "absent_uri",
    "spare-share": "share_gone",
}
"""Capability -> the hook by which it is proven. All are expected, unless `KmsHooks.lacks` says why not."""
_PROTOCOLS: dict[str, type[object]] = {"rewrap": Rewraps, "create": CreatesKey, "shares": HasShares}
_IMPLIED = {"absent-key": ("create",), "spare-share": ("shares",), "moving": ("rewrap", "rotation")}
"""Capabilities that are there with others alone."""


@dataclass(eq=False)
class KmsSubject:
    """``kms`` is open; checks that close or spoil a handle take one of their own from `opened`.

    ``budget_s``: seconds that one check may take for what can be tried any number of times: each byte, each length.
    """

    uri: str
    hooks: KmsHooks
    seed: int
    load: Load
    kms: Kms
    budget_s: float = 1.0

    @cached_property
    def declared(self) -> frozenset[str]:
        has = {name for name, protocol in _PROTOCOLS.items() if isinstance(self.kms, protocol)}
        has |= {*HOOKED, "randomised", "moving"} - self.hooks.lacks.keys()
        return frozenset(name for name in has if has.issuperset(_IMPLIED.get(name, ())))

    @cached_property
    def lacks(self) -> dict[str, str]:
        """Why the rest is not declared."""
        found = {name: f"the driver is no {protocol.__name__}" for name, protocol in _PROTOCOLS.items()}
        found.update(self.hooks.lacks)
        for name, needed in _IMPLIED.items():
            absent = [each for each in needed if each not in self.declared]
            found |= {name: found[absent[0]]} if absent else {}
        return {name: reason for name, reason in found.items() if name not in self.declared}

    @cached_property
    def credentials(self) -> list[bytes]:
        """What must be seen nowhere."""
        return [*self.hooks.secrets, *credentials.named_in(self.uri)]

    @cached_property
    def about(self) -> dict[str, str]:
        """What wraps, and by whom it is distributed."""
        kind = type(self.kms)
        told = {
            "driver": f"{kind.__module__}.{kind.__qualname__}",
            "distribution": plugins.distributions(plugins.KMS, self.uri.partition(":")[0]),
            **border.told_by(self.kms),
            **self.hooks.about,
        }
        with suppress(Exception):  # foreign code: whether it can wrap is a requirement
            told["mechanism"] = self.kms.wrap(Secret(bytes(32)), b"e4 conformance").mechanism
        return told

    @cached_property
    def children(self) -> Children:
        return Children(self.uri, self.load)

    @contextmanager
    def opened(self, uri: str = "") -> Iterator[Kms]:
        """Another handle, closed at the end. Args: uri: default: that of the subject."""
        with closing(self.load(uri or self.uri)) as kms:
            yield kms

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Without a handle of this process, which may be logged in for all that come after it."""
        self.kms.close()
        try:
            yield
        finally:
            self.kms = self.load(self.uri)

    def ability(self, protocol: type[T]) -> T:
        """The open handle as one that can more. Raises: NotExercised."""
        if not isinstance(self.kms, protocol):
            raise NotExercised(f"the driver has no {protocol.__name__}")
        return self.kms

    def hook(self, hook: T | None, name: str) -> T:
        """``hook``. Raises: NotExercised: it is missing; ``name`` is the field of `KmsHooks`."""
        if hook is None:
            raise NotExercised(f"the hook {name} is missing: {_WHAT[name]}")
        return hook

    def sample(self, of: str = "") -> Sample:
        """What a check wraps; the same in every run with this seed, and not that of another check in the same run.

        Args: of: what several checks share, whichever comes first; empty: the requirement that is checked.
        """
        of = of or RUNNING.get()
        self._drawn[of] += 1
        return Sample(Random(f"{self.seed} {of} {self._drawn[of]}"))  # noqa: S311  # chosen to be repeated

    _drawn: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Sample:
    """``random`` chooses whatever is chosen."""

    random: Random

    def secret(self) -> Secret:
        return Secret(self.random.randbytes(32))

    def context(self) -> bytes:
        return b"e4 conformance, purpose records, " + self.random.randbytes(8)


@contextmanager
def subject(
    uri: str, hooks: KmsHooks | None = None, seed: int = 0, *, load: Load = plugins.load_kms
) -> Iterator[KmsSubject]:
    """The driver at ``uri``, open until the ``with`` ends. Args: load: a function of a module, so that child processes find it.

    Raises: PluginError; InvalidInput: the URI; KmsError: it cannot be opened, or its key cannot be used.
    """
    examined = KmsSubject(uri, hooks or KmsHooks(), seed, load, load(uri))
    try:
        examined.kms.check()  # else each requirement would say that there is no key
        yield examined
    finally:
        with suppress(Exception):  # foreign code: whether it can be closed is a requirement
            examined.kms.close()


KMS = Book[KmsSubject]("kms")
PROTOCOL = "e4core.kms: "
"""Before the name of what says it, as the source of a requirement."""

_WHAT = {
    "unreachable": "a context manager during which the back end cannot be reached",
    "key_gone": "a context manager during which the key does not exist",
    "key_disabled": "a context manager during which the key exists and may not be used",
    "denied": "a context manager during which the back end does not let this caller use the key",
    "share_gone": "a context manager during which one share fails, and enough are left",
    "restart": "end the back end and begin it anew, with its keys",
    "rotate": "give the key a new version or successor; returns the URI from then on",
    "version": "the version of the key of a wrap, where key_id does not tell it",
    "second_uri": "the URI of another key of the same back end",
    "absent_uri": "the URI of a key that does not exist and can be made",
    "wrong_credentials_uri": "the URI of the same key with a wrong PIN, token, passphrase",
    "tries": "how many wrong credentials the back end has counted so far",
    "black_hole_uri": "the URI with another host:port, and a deadline of 2 s or less",
}
"""Hook -> what it is, for who has to write it."""


def spoiled(blob: bytes, bit: int) -> bytes:
    """``blob`` with one bit flipped, counted from the lowest of its first byte."""
    changed = bytearray(blob)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
