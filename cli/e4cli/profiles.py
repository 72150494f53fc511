# SPDX-License-Identifier: Apache-2.0
"""What ``e4 login`` remembers: where a C2 is, and what to show there, in a private file for each profile.

They are in ``e4/profiles`` of the user's folder for configuration (XDG Base Directory Specification).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from e4cli.connection import Certificate, Shown, Token
from e4cli.sign_in import SignIn
from e4core import files
from e4core.errors import Conflict, E4Error, InvalidInput, NotFound, StorageError
from e4core.keys import Secret

VARIABLE = "E4_PROFILE"
DEFAULT = "default"
"""The profile that needs not be named."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COMMAND_S = 60.0
"""How long a command, or another one that renews a sign-in, may take to give a token."""


@dataclass(frozen=True, slots=True)
class Command:
    """Gives a token: its first line on stdout. It is split as a shell does, and run without one."""

    text: str

    def token(self, source: str) -> Token:
        """Raises: E4Error (``no_token``): it cannot be run, fails, or gives none."""
        try:
            words = shlex.split(self.text) or [""]
            # S603: it is the user's own
            done = subprocess.run(words, stdout=subprocess.PIPE, timeout=_COMMAND_S, check=True)  # noqa: S603
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            # its output may hold a token, so nothing of it is told
            why = getattr(error, "strerror", None) or f"status {getattr(error, 'returncode', 'none')}"
            raise E4Error(f"the token command of {source} gives no token: {why}", kind="no_token") from None
        return Token(Secret(done.stdout.split(b"\n", 1)[0].strip()), source)


By = Secret | Command | Certificate | SignIn
"""How somebody is known: a token, what gives one, a certificate, or a sign-in at an issuer."""


@dataclass(frozen=True, slots=True)
class Profile:
    """``ca``: PEM file of who may vouch for the C2; None: those of the system."""

    url: str
    ca: Path | None
    by: By

    def shown(self, name: str) -> Shown:
        """Args: name: of this profile. Raises: E4Error: as of `Command.token`, or what is stored is no token."""
        match self.by:
            case Secret():
                return Token(self.by, f"profile {name}")
            case Command():
                return self.by.token(f"profile {name}")
            case Certificate():
                return self.by
            case SignIn():
                return Token(self.by.token, f"profile {name}")

    @property
    def kind(self) -> str:
        """For people."""
        return _KINDS[type(self.by)]

    def encode(self) -> bytes:
        place = {"url": self.url, "ca": str(self.ca) if self.ca else None}
        return json.dumps({**place, **self._by()}, indent=2).encode() + b"\n"

    def _by(self) -> dict[str, Any]:
        match self.by:
            case Secret():
                return {"token": self.by.decode()}
            case Command():
                return {"token_command": self.by.text}
            case Certificate():
                return {"certificate": str(self.by.certificate), "key": str(self.by.key)}
            case SignIn():
                refresh = self.by.refresh.decode() if self.by.refresh else None
                shown = {"token": self.by.token.decode(), "refresh": refresh, "expires": self.by.expires}
                return {"oidc": {"issuer": self.by.issuer, "client_id": self.by.client_id, **shown}}

    @classmethod
    def decode(cls, data: bytes) -> Profile:
        """Raises: ValueError, KeyError or TypeError: it is none."""
        document = json.loads(data)
        return cls(str(document["url"]), Path(document["ca"]) if document["ca"] else None, _by_of(document))


_KINDS: dict[type[By], str] = {
    Secret: "token",
    Command: "token command",
    Certificate: "certificate",
    SignIn: "sign-in",
}


def _by_of(document: dict[str, Any]) -> By:
    if "oidc" in document:
        found = document["oidc"]
        refresh = Secret(found["refresh"].encode()) if found["refresh"] else None
        token, expires = Secret(found["token"].encode()), float(found["expires"])
        return SignIn(str(found["issuer"]), str(found["client_id"]), token, refresh, expires)
    if "token" in document:
        return Secret(document["token"].encode())
    if "token_command" in document:
        return Command(str(document["token_command"]))
    return Certificate(Path(document["certificate"]), Path(document["key"]))


def path(name: str) -> Path:
    """Where the profile is, or would be. Raises: InvalidInput (``bad_name``)."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "a profile is named with 1 to 64 letters, digits, dots, dashes and underscores", kind="bad_name"
        )
    return _folder() / f"{name}.json"


def names() -> list[str]:
    """Of all that are stored, in order."""
    return sorted(each.stem for each in _folder().glob("*.json") if _NAME.fullmatch(each.stem))


def load(name: str) -> Profile:
    """Raises: NotFound. StorageError: it cannot be read, or is open to others. InvalidInput: it is none."""
    file = path(name)
    try:
        return Profile.decode(files.read(file))
    except StorageError as error:
        if error.kind == files.MISSING:
            raise NotFound(f"there is no profile {name!r}; make it: e4 login URL --profile {name}") from error
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidInput(f"{file} is no profile; make it anew with e4 login", kind="bad_profile") from None


def load_valid(name: str) -> Profile:
    """As `load`, with a sign-in that is valid now; a new token is stored, as issuers may take each refresh token once.

    Raises: as `load`, `store` and `SignIn.renewed`. Conflict (``in_use``): another command renews it and does not end.
    """
    found = load(name)
    if not isinstance(found.by, SignIn) or found.by.is_valid(time.time()):
        return found
    with _alone(name):
        found = load(name)  # as whoever was here before has left it
        if isinstance(found.by, SignIn) and not found.by.is_valid(time.time()):
            found = replace(found, by=found.by.renewed(time.time()))
            store(name, found)
    return found


def store(name: str, profile: Profile) -> None:
    """In place of what had this name. Raises: InvalidInput: the name. StorageError."""
    file = path(name)
    files.make_folder(file.parent)
    files.replace(file, profile.encode())


def remove(name: str) -> None:
    """Raises: NotFound. InvalidInput. StorageError."""
    try:
        path(name).unlink()
        files.discard(_lock(name))
    except FileNotFoundError as error:
        raise NotFound(f"there is no profile {name!r}; see e4 login --list") from error
    except OSError as error:
        raise StorageError(f"{path(name)} cannot be removed: {error.strerror}") from error


@contextmanager
def _alone(name: str) -> Iterator[None]:
    file, deadline = _lock(name), time.monotonic() + _COMMAND_S
    while True:
        try:
            lock = files.Lock.take(file, f"another command renews the profile {name}; try again")
            break
        except Conflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.release()


def _lock(name: str) -> Path:
    return path(name).with_name(f"{name}.lock")


def _folder() -> Path:
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # what is not absolute is to be ignored; a user without a home has no profiles
    base = given if given.is_absolute() else Path(os.path.expanduser("~"), ".config")  # noqa: PTH111
    return base / "e4" / "profiles"
