# SPDX-License-Identifier: Apache-2.0
"""Plugins by name: the one place where this project meets stevedore and entry points.

Chosen by the name or URI scheme that the configuration says, never by priority; loaded once by the application, then passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NoReturn, cast

from e4core.errors import InvalidInput, PluginError
from e4core.kms import Kms, KmsFactory
from e4core.suite import Suite
from e4core.transport import Transport, TransportFactory

if TYPE_CHECKING:
    from stevedore.extension import Extension

SUITES = "e4.suites"
KMS = "e4.kms"
TRANSPORTS = "e4.transports"


def load_suite(name: str) -> Suite:
    """The suite called ``name``. Raises: PluginError."""
    suite = _load(SUITES, name)
    if not isinstance(suite, Suite):
        raise PluginError(f"{SUITES}: {name} of {_owners(SUITES, name)} is a {type(suite).__name__}, not a Suite")
    return suite


def load_kms(uri: str) -> Kms:
    """The KMS at ``uri``. Raises: PluginError; InvalidInput: the URI; KmsError."""
    return cast(KmsFactory, _factory(KMS, uri))(uri)


def load_transport(uri: str, client_id: str) -> Transport:
    """The transport for ``uri``, not yet connected. Raises: PluginError; InvalidInput: the URI."""
    return cast(TransportFactory, _factory(TRANSPORTS, uri))(uri, client_id)


def names(group: str) -> list[str]:
    """Names registered in ``group``, by any distribution."""
    return sorted({point.name for point in entry_points(group=group)})


def _factory(group: str, uri: str) -> object:
    scheme, colon, _ = uri.partition(":")
    if not colon or not scheme:
        raise InvalidInput(
            f"{group}: {uri!r} is no URI; it begins with one of: {', '.join(names(group))}", kind="bad_uri"
        )
    factory = _load(group, scheme)
    if not callable(factory):
        raise PluginError(f"{group}: {scheme} of {_owners(group, scheme)} cannot be called with a URI")
    return factory


def _load(group: str, name: str) -> object:
    from stevedore.driver import DriverManager
    from stevedore.exception import NoMatches

    def failed(_manager: object, _entry_point: object, error: BaseException) -> NoReturn:
        hint = f"; install it: pip install {error.name}" if isinstance(error, ModuleNotFoundError) else ""
        raise PluginError(f"{group}: {name} of {_owners(group, name)} does not load: {error}{hint}") from error

    try:
        return DriverManager(
            group,
            name,
            on_load_failure_callback=failed,
            on_missing_entrypoints_callback=_missing,
            conflict_resolver=_conflict,
        ).driver
    except NoMatches as error:
        raise PluginError(f"{group}: no {name!r}; installed: {', '.join(names(group)) or 'none'}") from error


def _missing(_names: object) -> None:
    """NoMatches follows; without this, stevedore logs a warning first."""


def _conflict(group: str, name: str, _extensions: Sequence[Extension[object]]) -> NoReturn:
    raise PluginError(f"{group}: {name} is registered more than once, by {_owners(group, name)}; uninstall one")


def _owners(group: str, name: str) -> str:
    # stevedore's cached entry points carry no distribution, so importlib.metadata is asked
    return ", ".join(sorted({e.dist.name for e in entry_points(group=group, name=name) if e.dist})) or "unknown"
