# SPDX-License-Identifier: Apache-2.0
"""What a driver has to refuse, and with which error."""

from __future__ import annotations

from collections.abc import Callable

from e4conformance.requirement import Unmet, text_of


def refused(what: str, act: Callable[[], object], *kinds: type[Exception]) -> Exception:
    """The error, one of ``kinds``, with which ``act`` ends. Raises: Unmet: it ends in another way; ``what`` was tried."""
    try:
        act()
    except kinds as error:
        return error
    except Exception as error:
        raise Unmet(f"{what}: raised {type(error).__name__} ({text_of(error)}), not {_either(kinds)}") from error
    raise Unmet(f"{what}: accepted, where {_either(kinds)} is due")


def _either(kinds: tuple[type[Exception], ...]) -> str:
    return " or ".join(kind.__name__ for kind in kinds)
