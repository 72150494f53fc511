# SPDX-License-Identifier: Apache-2.0
"""Where a transit key is and how to log in there, parsed once from the URI; secrets never stand in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from e4core.uri import Option, is_loopback, options, path, refuse, seconds

_PORT = 8200
_MAX_TIMEOUT_S = 300
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

_URI = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_KEY_PATH = re.compile(r"/(?P<mount>.+)/keys/(?P<key>[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?)")
_PLACE = re.compile(r"(?!\.\.?(/|$))[\w.~-]+(/(?!\.\.?(/|$))[\w.~-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """``vault+https://host[:8200]/MOUNT/keys/NAME?option=value&...``, or ``vault+http`` to the machine itself.

    Options, for every way to log in: ``auth`` (token, approle, kubernetes or jwt), ``auth-mount`` (where that is enabled, without
    ``auth/``), ``namespace``, ``ca`` (PEM certificates to trust instead of the system's), ``timeout`` (seconds for a whole call),
    ``danger-plain-http=yes`` (tokens and secrets may cross a network in the clear).
    For auth=token: ``token-file``; else the environment variable BAO_TOKEN or VAULT_TOKEN. For approle: ``role-id``,
    ``secret-id-file``. For kubernetes: ``role``, ``jwt-file`` (by default that of the pod). For jwt: ``jwt-file``, ``role``.
    """

    url: str
    mount: str
    key: str
    auth: str = "token"
    auth_mount: str = ""
    namespace: str = ""
    ca: Path | None = None
    timeout_s: float = 5.0
    plain_http: bool = False
    token_file: Path | None = None
    role_id: str = ""
    secret_id_file: Path | None = None
    role: str = ""
    jwt_file: Path | None = None

    def __str__(self) -> str:
        return f"vault+{self.url}/{self.mount}/keys/{self.key}"

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Raises: InvalidInput (``bad_uri``): with what is wrong, never with a secret that stands in the URI."""
        parts = _split(uri)
        if "@" in parts.netloc:
            refuse("user and password do not belong into a vault URI; log in as the option auth says")
        place = _KEY_PATH.fullmatch(parts.path)
        if not place or not _PLACE.fullmatch(place["mount"]) or "#" in uri:
            refuse("a vault URI has the form vault+https://host[:port]/MOUNT/keys/NAME?option=value")
        secure = parts.scheme == "vault+https"
        host = _host(parts)
        url = f"{parts.scheme.removeprefix('vault+')}://{host}:{_port(parts)}"
        address = replace(
            cls(url, place["mount"], place["key"]), **options("a vault URI", parts.query, OPTIONS, _SECRETS)
        )
        if not (secure or address.plain_http or is_loopback(host)):
            refuse("vault+http is for a server on this machine; begin the URI with vault+https")
        if address.ca and not secure:
            refuse("the option ca needs TLS: begin the URI with vault+https")
        return _METHODS[address.auth].complete(address)


@dataclass(frozen=True, slots=True)
class _Method:
    """What a way to log in needs, and may have, of the options that not all have."""

    needs: frozenset[str]
    takes: frozenset[str]
    defaults: dict[str, Any]

    def complete(self, address: Address) -> Address:
        given = {name for name in _OF_METHODS if getattr(address, name)}
        missing, foreign = self.needs - given, given - self.needs - self.takes
        if missing:
            refuse(f"auth={address.auth} needs the option {_spelled(missing)} in a vault URI")
        if foreign:
            refuse(f"the option {_spelled(foreign)} is not for auth={address.auth}; leave it out of the vault URI")
        return replace(address, **{name: value for name, value in self.defaults.items() if name not in given})


_METHODS = {
    "token": _Method(frozenset(), frozenset({"token_file"}), {}),
    "approle": _Method(frozenset({"role_id", "secret_id_file"}), frozenset({"auth_mount"}), {"auth_mount": "approle"}),
    "kubernetes": _Method(
        frozenset({"role"}),
        frozenset({"auth_mount", "jwt_file"}),
        {"auth_mount": "kubernetes", "jwt_file": _SERVICE_ACCOUNT},
    ),
    "jwt": _Method(frozenset({"jwt_file"}), frozenset({"auth_mount", "role"}), {"auth_mount": "jwt"}),
}
_OF_METHODS = frozenset().union(*(method.needs | method.takes for method in _METHODS.values()))


def _spelled(names: set[str] | frozenset[str]) -> str:
    return sorted(names)[0].replace("_", "-")


def _split(uri: str) -> SplitResult:
    # urlsplit would drop tabs and line ends in silence
    if not _URI.fullmatch(uri):
        refuse("a vault URI has only visible ASCII characters; write others as %XX")
    try:
        parts = urlsplit(uri)
    except ValueError:
        refuse("the host of this vault URI cannot be read; an IPv6 address stands in brackets")
    if parts.scheme not in ("vault+https", "vault+http"):
        refuse("a vault URI begins with vault+https:// or vault+http://")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        try:
            return f"[{ip_address(host).compressed}]"
        except ValueError:
            refuse("the host of this vault URI is no valid IPv6 address")
    return host if _HOST.fullmatch(host) else refuse("the host of this vault URI is no valid name")


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    return _PORT if port is None else port or refuse("the port of a vault URI is a number from 1 to 65535")


def _place(text: str) -> str:
    if not _PLACE.fullmatch(text):
        raise ValueError
    return text


def _name(text: str) -> str:
    if not text.isprintable() or not 1 <= len(text) <= 255:
        raise ValueError
    return text


OPTIONS: dict[str, Option] = {
    "auth": ("auth", {name: name for name in _METHODS}.__getitem__, f"one of {', '.join(_METHODS)}"),
    "auth-mount": ("auth_mount", _place, "where the auth method is enabled, without auth/: approle, or team/approle"),
    "namespace": ("namespace", _place, "the path of a namespace: team, or team/project"),
    "ca": ("ca", path, "the path of a file of PEM certificates"),
    "timeout": ("timeout_s", seconds(_MAX_TIMEOUT_S), f"a number of seconds above 0, at most {_MAX_TIMEOUT_S}"),
    "danger-plain-http": ("plain_http", {"yes": True}.__getitem__, "yes, or left out"),
    "token-file": ("token_file", path, "the path of a file with a token"),
    "role-id": ("role_id", _name, "the role id of an AppRole"),
    "secret-id-file": ("secret_id_file", path, "the path of a file with a secret id"),
    "role": ("role", _name, "the name of a role of the auth method"),
    "jwt-file": ("jwt_file", path, "the path of a file with a JWT"),
}
_SECRETS = {
    "token": "put it into a private file and say token-file=PATH, or into the environment variable VAULT_TOKEN",
    "secret-id": "put it into a private file and say secret-id-file=PATH",
    "jwt": "put it into a private file and say jwt-file=PATH",
    "password": "log in by token, approle, kubernetes or jwt",
}
