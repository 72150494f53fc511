# SPDX-License-Identifier: Apache-2.0
"""Plugins by name: the one place where this project meets stevedore and entry points.

Chosen by the name or URI scheme that the configuration says, never by priority; loaded once by the application, then passed on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, NoReturn, TypeVar

from e4core.errors import E4Error, InvalidInput, PluginError
from e4core.kms import Kms
from e4core.suite import KeyHandle, Suite
from e4core.suite_check import fault
from e4core.transport import Transport

if TYPE_CHECKING:
    from stevedore.extension import Extension

SUITES = "e4.suites"
KMS = "e4.kms"
KEYS = "e4.keys"
TRANSPORTS = "e4.transports"

T = TypeVar("T")


def load_suite(name: str) -> Suite:
    """The suite called ``name``, so far as can be seen fit for use. Raises: PluginError."""
    suite = _load(SUITES, name)
    if not isinstance(suite, Suite):
        raise PluginError(f"{SUITES}: {name} of {owners(SUITES, name)} is a {type(suite).__name__}, not a Suite")
    if suite.name != name:
        raise PluginError(
            f"{SUITES}: {name} of {owners(SUITES, name)} calls itself {suite.name!r}; the names must agree"
        )
    if wrong := fault(suite):
        raise PluginError(f"{SUITES}: {name} of {owners(SUITES, name)} {wrong}")
    return suite


def load_equal_suite(name: str, wire_name: str) -> Suite:
    """The suite called ``name``, or where that cannot be had another of ``wire_name``, which takes the same public keys.

    Raises: PluginError: there is none.
    """
    try:
        return load_suite(name)
    except PluginError:
        others = (_if_it_loads(other) for other in names(SUITES))
        equal = next((suite for suite in others if suite and suite.wire_name == wire_name), None)
        if equal is None:
            raise
        return equal


def load_kms(uri: str) -> Kms:
    """The KMS at ``uri``. Raises: PluginError; InvalidInput: the URI; KmsError."""
    return _made(KMS, uri, Kms, uri)  # type: ignore[type-abstract]


def load_transport(uri: str, client_id: str) -> Transport:
    """The transport for ``uri``, not yet connected. Raises: PluginError; InvalidInput: the URI."""
    return _made(TRANSPORTS, uri, Transport, uri, client_id)  # type: ignore[type-abstract]


def load_key(uri: str, algorithm: str) -> KeyHandle:
    """The key pair in a token that ``uri`` names. Raises: PluginError; InvalidInput: the URI; KmsError: not of ``algorithm``."""
    return _made(KEYS, uri, KeyHandle, uri, algorithm)  # type: ignore[type-abstract]


def names(group: str) -> list[str]:
    """Names registered in ``group``, by any distribution."""
    return sorted({point.name for point in entry_points(group=group)})


def _if_it_loads(name: str) -> Suite | None:
    try:
        return load_suite(name)
    except PluginError:
        return None


def _made(group: str, uri: str, kind: type[T], *arguments: str) -> T:
    """What the factory for the scheme of ``uri`` makes."""
    scheme, colon, _ = uri.partition(":")
    if not colon or not scheme:
        known = ", ".join(names(group))
        raise InvalidInput(f"{group}: {uri!r} is no URI; it begins with one of: {known}", kind="bad_uri")
    factory = _load(group, scheme)
    if not callable(factory):
        raise PluginError(f"{group}: {scheme} of {owners(group, scheme)} cannot be called with a URI")
    try:
        made = factory(*arguments)
    except E4Error:
        raise
    except Exception as error:  # foreign code: whatever it raises is one clear error here
        raise PluginError(f"{group}: {scheme} of {owners(group, scheme)} failed: {error}") from error
    if not isinstance(made, kind):
        raise PluginError(
            f"{group}: {scheme} of {owners(group, scheme)} gave a {type(made).__name__}, no {kind.__name__}"
        )
    return made


def _load(group: str, name: str) -> object:
    from stevedore.driver import DriverManager
    from stevedore.exception import NoMatches

    logging.getLogger("stevedore").setLevel(logging.CRITICAL)  # what it would log is what we raise

    def failed(_manager: object, entry_point: EntryPoint, error: BaseException) -> NoReturn:
        raise _does_not_load(group, entry_point, error) from error

    try:
        return DriverManager(
            group,
            name,
            on_load_failure_callback=failed,
            conflict_resolver=_conflict,
        ).driver
    except NoMatches as error:
        raise PluginError(f"{group}: no {name!r}; installed: {', '.join(names(group)) or 'none'}") from error
    except PluginError:
        raise
    except KeyboardInterrupt:
        raise
    except (
        BaseException
    ) as error:  # stevedore lets some through; an import may call exit, and a panic of Rust is no Exception
        raise PluginError(f"{group}: {name} of {owners(group, name)} does not load: {error!r}") from error


def _does_not_load(group: str, entry_point: EntryPoint, error: BaseException) -> PluginError:
    hint = ""
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and error.name.partition(".")[0] != entry_point.module.partition(".")[0]
    ):
        hint = f"; it needs the module {error.name}: install {_extra(group, entry_point)}"
    return PluginError(f"{group}: {entry_point.name} of {owners(group, entry_point.name)} does not load: {error}{hint}")


def _extra(group: str, entry_point: EntryPoint) -> str:
    """What brings a module that is missing: the extra of the plugin's distribution that is called as a module of the plugin is."""
    # stevedore's entry points carry no distribution
    for dist in [point.dist for point in entry_points(group=group, name=entry_point.name) if point.dist]:
        for extra in set(dist.metadata.get_all("Provides-Extra") or ()).intersection(entry_point.module.split(".")):
            return f"{dist.name}[{extra}]"
    return "the extra that brings it"


def _conflict(group: str, name: str, _extensions: Sequence[Extension[object]]) -> NoReturn:
    raise PluginError(f"{group}: {name} is registered more than once, by {owners(group, name)}; uninstall one")


def owners(group: str, name: str) -> str:
    """The distributions that register ``name`` in ``group``, separated by commas."""
    # stevedore's cached entry points carry no distribution, so importlib.metadata is asked
    return ", ".join(sorted({e.dist.name for e in entry_points(group=group, name=name) if e.dist})) or "unknown"


def distributions(group: str, name: str) -> str:
    """As `owners`, each with its version."""
    points = entry_points(group=group, name=name)
    return ", ".join(sorted({f"{e.dist.name} {e.dist.version}" for e in points if e.dist})) or "unknown"
