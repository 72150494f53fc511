# SPDX-License-Identifier: Apache-2.0
"""Which key in which token, through which module and with which PIN: a ``pkcs11:`` URI (RFC 7512), parsed once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from pkcs11 import Token

from e4core import files
from e4core.errors import InvalidInput, KmsDenied, StorageError
from e4core.keys import Secret

_MAX_TIMEOUT_S = 300

_URI = re.compile(r"pkcs11:(?P<path>[^?#]*)(\?(?P<query>[^#]*))?")
_PART = re.compile(r"(?P<name>[A-Za-z0-9_-]+)=(?P<value>(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9._~:\[\]@!$'()*+,=&/?|-])+)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_FOLDERS = (
    "lib/*/pkcs11",
    "lib64/pkcs11",
    "lib/pkcs11",
    "local/lib/pkcs11",
    "lib/softhsm",
    "lib64/softhsm",
    "lib/*",
    "lib64",
    "lib",
)
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_NUMBER = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class PinSource:
    """Where the PIN is, not the PIN: the first line of a private file, or an environment variable."""

    file: Path | None = None
    variable: str = ""

    def __str__(self) -> str:
        return str(self.file) if self.file else f"the variable {self.variable}"

    def read(self) -> Secret:
        """Raises: KmsDenied: there is none, or others may read it too."""
        try:
            # no pipe: the PIN is needed again after a fork or when the token was gone
            text = files.read(self.file) if self.file else os.environb.get(self.variable.encode(), b"")
            pin = text.partition(b"\n")[0].rstrip(b"\r")
            pin.decode()
        except StorageError as error:
            raise KmsDenied(f"no PIN for the PKCS#11 token: {error}") from error
        except UnicodeDecodeError:
            raise KmsDenied(f"the PIN in {self} is no valid UTF-8; write it again") from None
        if not pin:
            raise KmsDenied(f"no PIN for the PKCS#11 token: {self} is empty; put the PIN there")
        return Secret(pin)


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """A token, by what it says of itself; what is empty may be anything. A ``slot-id`` may change when the machine starts."""

    token: str = ""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    slot_id: int | None = None

    def fits(self, token: Token) -> bool:
        """Whether ``token`` is one that is meant."""
        told = (token.label, token.serial.decode(errors="replace"), token.manufacturer_id, token.model)
        wanted = (self.token, self.serial, self.manufacturer, self.model)
        return self.slot_id in (None, token.slot.slot_id) and all(
            not want or want == tell for want, tell in zip(wanted, told, strict=True)
        )

    def __str__(self) -> str:
        given = ((field.name.replace("_", "-"), getattr(self, field.name)) for field in fields(self))
        return "the PKCS#11 token with " + ", ".join(
            f"{name} {value}" for name, value in given if value not in ("", None)
        )


@dataclass(frozen=True, slots=True)
class Address:
    """``pkcs11:token=LABEL;object=LABEL?module-path=/path/of/module.so&pin-source=file:/path/of/pin``

    Before the ``?``, in any order: ``token`` (its label), ``serial``, ``manufacturer``, ``model``, ``slot-id``; then ``object``
    (label of the key), ``id`` (its CKA_ID), ``type`` (``secret-key`` or ``private``). After it: ``module-path``, absolute, or
    ``module-name``, looked for where distributions put modules; ``pin-source`` (``file:/path`` or ``env:NAME``); ``former``
    (CKA_IDs, in hex and with commas between them, of keys that may open too); ``timeout`` (seconds for a whole call). One of
    token, serial and slot-id is needed, one of object and id, the module and the pin-source. With ``object`` alone there must be
    one key of that label.
    """

    token: TokenAddress
    module: Path
    pin: PinSource
    label: str = ""
    id: bytes = b""
    type: str = ""
    former: tuple[bytes, ...] = ()
    timeout_s: float = field(default=5.0, kw_only=True)

    def __str__(self) -> str:
        named = [f"label {self.label!r}"] if self.label else []
        named += [f"id {self.id.hex()}"] if self.id else []
        return f"the key with {' and '.join(named)} in {self.token}"

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Raises: InvalidInput (``bad_uri``): with what is wrong, never with a secret that stands in the URI."""
        match = _URI.fullmatch(uri)
        if not match:
            _refuse("a pkcs11 URI has the form pkcs11:token=LABEL;object=LABEL?module-path=PATH&pin-source=file:PATH")
        path = _attributes(match["path"].split(";"), _PATH)
        query = _attributes((match["query"] or "").split("&"), _QUERY)
        token = TokenAddress(**{name: path.pop(name) for name in _TOKEN if name in path})
        _require(token.token or token.serial or token.slot_id is not None, "token (the label of the token)")
        _require(path.get("label") or path.get("id"), "object (the label of the key)")
        _require(query.get("module"), "module-path (the absolute path of the PKCS#11 module) or module-name")
        _require(query.get("pin"), "pin-source (file:/path or env:NAME)")
        return cls(token, **path, **query)


def _attributes(parts: list[str], known: dict[str, _Attribute]) -> dict[str, Any]:
    """Fields of `Address` and `TokenAddress` by name."""
    found: dict[str, Any] = {}
    for part in filter(None, parts):
        match = _PART.fullmatch(part)
        name = match["name"] if match else ""
        if name == "pin-value":
            _refuse("a PIN does not belong into a URI; write it to a private file and name that: pin-source=file:/path")
        # neither name nor value is repeated: who forgets the name writes the PIN in its place
        if not match or name not in known:
            _refuse(f"a pkcs11 URI has something unknown in it; known in this place: {', '.join(known)}")
        field, parse, meaning = known[name]
        if field in found:
            _refuse(f"{name} stands twice in this pkcs11 URI, or beside another word for the same")
        try:
            found[field] = parse(unquote_to_bytes(match["value"]))
        except ValueError:
            _refuse(f"{name} of a pkcs11 URI is {meaning}")
    return found


def _refuse(text: str) -> NoReturn:
    raise InvalidInput(text, kind="bad_uri") from None


def _require(value: object, what: str) -> None:
    if not value:
        _refuse(f"a pkcs11 URI needs {what}")


def _text(value: bytes) -> str:
    text = value.decode()
    if not text.isprintable():
        raise ValueError
    return text


def _slot_id(value: bytes) -> int:
    if not _NUMBER.fullmatch(text := value.decode()):
        raise ValueError
    return int(text)


def _type(value: bytes) -> str:
    if value not in (b"secret-key", b"private"):
        raise ValueError
    return value.decode()


def _ids(value: bytes) -> tuple[bytes, ...]:
    ids = value.decode().split(",")
    if not all(map(_HEX.fullmatch, ids)):
        raise ValueError
    return tuple(map(bytes.fromhex, ids))


def _path(value: bytes) -> Path:
    path = Path(os.fsdecode(value))
    if not path.is_absolute() or b"\0" in value:
        raise ValueError
    return path


def _installed(value: bytes) -> Path:
    """The module of that name, without ``lib`` and ``.so``, in one of the folders that only root can write to."""
    if not _NAME.fullmatch(name := value.decode()):
        raise ValueError
    for pattern in _FOLDERS:
        for file in (f"{name}.so", f"lib{name}.so", f"lib{name}.so.0"):
            if found := sorted(Path("/usr").glob(f"{pattern}/{file}")):
                return found[0]
    raise ValueError


def _pin_source(value: bytes) -> PinSource:
    scheme, _, rest = value.partition(b":")
    if scheme == b"env" and _VARIABLE.fullmatch(name := rest.decode()):
        return PinSource(variable=name)
    if scheme == b"file":
        return PinSource(_path(rest.removeprefix(b"//") if rest.startswith(b"///") else rest))
    return PinSource(_path(value))


def _seconds(value: bytes) -> float:
    if not _DECIMAL.fullmatch(text := value.decode()) or not 0 < (seconds := float(text)) <= _MAX_TIMEOUT_S:
        raise ValueError
    return seconds


_Attribute = tuple[str, Callable[[bytes], object], str]
"""Field, parser of the decoded value, meaning."""

_TOKEN = ("token", "serial", "manufacturer", "model", "slot_id")
_PATH: dict[str, _Attribute] = {
    "token": ("token", _text, "the label of a token, in UTF-8"),
    "serial": ("serial", _text, "the serial number of a token"),
    "manufacturer": ("manufacturer", _text, "the manufacturer of a token"),
    "model": ("model", _text, "the model of a token"),
    "slot-id": ("slot_id", _slot_id, "a number"),
    "object": ("label", _text, "the label of a key, in UTF-8"),
    "id": ("id", bytes, "the CKA_ID of a key"),
    "type": ("type", _type, "secret-key or private"),
}
_QUERY: dict[str, _Attribute] = {
    "module-path": ("module", _path, "the absolute path of a PKCS#11 module"),
    "module-name": (
        "module",
        _installed,
        "the name of an installed PKCS#11 module, as softhsm2; else give its module-path",
    ),
    "pin-source": ("pin", _pin_source, "file:/absolute/path or env:NAME"),
    "former": ("former", _ids, "one or more CKA_IDs of keys, in lower-case hex with commas between them"),
    "timeout": ("timeout_s", _seconds, f"a number of seconds, at most {_MAX_TIMEOUT_S}"),
}
