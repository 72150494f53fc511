# SPDX-License-Identifier: Apache-2.0
"""What is examined, and what is asked of it besides its checks: it is foreign code here too, and what it says may be published."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeVar

from e4conformance.credentials import held_by, without
from e4conformance.requirement import text_of
from e4conformance.spellings import HIDDEN, masked
from e4core.errors import E4Error, PluginError

T = TypeVar("T")


class Subject(Protocol):
    """What is examined. Some have more to tell, which is asked for here:

    ``about``: Mapping[str, str], of what it consists: versions of libraries, of a token, of firmware.
    ``lacks``: Mapping[str, str], why a capability is not declared.
    ``credentials``: Collection[bytes], what must not be published, and might stand in an error.
    """

    @property
    def declared(self) -> Collection[str]:
        """The capabilities that it says it has."""
        ...


def asked(act: Callable[[], T], without_it: str) -> T:
    """What ``act`` gives. Args: without_it: what follows from a failure.

    Raises: E4Error: its own; PluginError: for whatever else it raises.
    """
    try:
        return act()
    except (E4Error, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        raise PluginError(f"{without_it}: raised {type(error).__name__}: {text_of(error)}") from error


def declared_by(subject: Subject) -> frozenset[str]:
    """Raises: E4Error: it does not tell."""
    return asked(lambda: frozenset(subject.declared), "the subject does not tell what it can do")


def about(subject: Subject) -> dict[str, str]:
    """Of what it consists, fit to be published; a report without that is better than none."""
    try:
        found = asked(lambda: dict(getattr(subject, "about", {})), "it cannot be told")
    except E4Error as error:
        found = {"about": text_of(error)}
    return {name: hidden(subject, value) for name, value in found.items()}


def told_by(part: object) -> dict[str, str]:
    """What foreign code tells of itself as ``about``, by name; empty: nothing, or not rightly."""
    try:
        return {str(name): str(value) for name, value in dict(getattr(part, "about", {})).items()}
    except KeyboardInterrupt:
        raise
    except BaseException:  # a report without that is better than none
        return {}


def reasons(subject: Subject) -> Mapping[str, str]:
    """Capability -> why it is not declared, as far as that is said."""
    return asked(lambda: getattr(subject, "lacks", {}), "the subject does not tell why it lacks something")


def hidden(subject: Subject, text: str) -> str:
    """``text`` without the credentials of ``subject``, in any spelling."""
    return masked(text, _credentials(subject))


def name_of(subject: Subject, target: str) -> str:
    """What ``subject`` is called in a report, which is published: its ``target`` without the secrets in it."""
    return masked(without(target, HIDDEN), {*held_by(target), *_credentials(subject)})


def _credentials(subject: Subject) -> Collection[bytes]:
    return asked(lambda: getattr(subject, "credentials", ()), "its credentials cannot be read")
