# SPDX-License-Identifier: Apache-2.0
"""Reading vector files (`wire.md` section 14), and what a check of one of their entries is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from e4core.errors import E4Error, InvalidInput, StorageError
from e4core.plugins import load_suite
from e4core.suite import Suite

Entry = Mapping[str, Any]
Facets = Mapping[str, object]
"""What can be compared of one entry: ``result``, ``kind``, ``returned``, ``state`` and so on -> value."""

KINDS = {
    "e4go symmetric-key mode": "sk",
    "e4go public-key mode": "pk",
    "saved client states (exact file text in *_text)": "state",
    "strict behaviour of Format 1": "strict",
    "Format 2": "format2",
}
"""``meta.what`` of a file -> what the runner calls such files."""
TOPIC = "demoTopic"
"""Topic of every entry that names none."""


@dataclass(frozen=True, slots=True)
class VectorFile:
    """One file: its sections by name, and the kind that says which checks they need."""

    name: str
    kind: str
    sections: Mapping[str, Any]
    suites: Callable[[str], Suite] = load_suite
    """Suites by name."""

    @property
    def suite(self) -> Suite:
        """The suite of a file that is about one."""
        return self.suites(self.kind)

    def suite_of(self, entry: Entry) -> Suite:
        """The suite of an entry that names one. Raises: PluginError: it is not installed."""
        return self.suites(entry["suite"])


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: what the file says, and how to see what this implementation does.

    ``observe`` is None where there is nothing here to compare with; such an entry must be listed in `deviations.UNCHECKED`, or
    say in ``missing`` what must be installed for it.
    """

    entry: str
    expected: Facets
    observe: Callable[[], Facets] | None
    missing: str = ""


Section = Callable[[VectorFile, Any], Iterator[Check]]
"""Makes the checks of one section, from the file and the section's value."""


@dataclass(frozen=True, slots=True)
class Big:
    """A value of more than 2048 bytes, as the files give it."""

    length: int
    sha256: str
    head24: str
    tail80: str

    @classmethod
    def of(cls, value: bytes) -> Big:
        return cls(len(value), hashlib.sha256(value).hexdigest(), value[:24].hex(), value[-80:].hex())


def own_files() -> list[Traversable]:
    """The files that come with this package, by name."""
    folder = resources.files("e4conformance") / "vectors"
    return sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)


def read(file: Path | Traversable) -> VectorFile:
    """Parse ``file``. Raises: StorageError: it cannot be read. InvalidInput: it is no vector file."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}") from error
    try:
        sections = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} is no JSON; take it afresh from where it came", kind="bad_vectors") from error
    return VectorFile(file.name, _kind(file, sections), sections)


def _kind(file: Path | Traversable, sections: Any) -> str:
    meta = sections.get("meta") if isinstance(sections, dict) else None
    what = meta.get("what") if isinstance(meta, dict) else None
    if not isinstance(what, str) or what not in KINDS:
        raise InvalidInput(f"{file} is no vector file; meta.what must be one of {list(KINDS)}", kind="bad_vectors")
    return KINDS[what]


def named(entries: list[Any]) -> Iterator[tuple[str, Any]]:
    """Entries with the names by which they are reported and listed."""
    for number, entry in enumerate(entries):
        name = entry.get("name") or entry.get("label")
        size = f"{entry['payload_len']} bytes" if "payload_len" in entry else f"number {number}"
        yield name or size, entry


def unhex(entry: Entry, name: str) -> bytes:
    return bytes.fromhex(entry[name])


def value(entry: Entry, name: str) -> bytes | Big:
    """Bytes that ``entry`` gives under ``name``, in full or abridged; null counts as empty."""
    if f"{name}_len" in entry and name not in entry:
        return Big(*(entry[f"{name}_{part}"] for part in ("len", "sha256", "head24", "tail80")))
    return bytes.fromhex(entry[name] or "")


def payload(entry: Entry) -> bytes:
    """The payload of a message entry, by the rule of section 14."""
    length: int = entry["payload_len"]
    repeated = bytes((7 * i + length + 3) % 256 for i in range(256))
    return (repeated * (length // 256 + 1))[:length]


def outcome(entry: Entry) -> Facets:
    """How ``entry`` ended: with a result, or with an error and the kind of it if that has a neutral name.

    Where e4go crashed (``panic``), an error is due here.
    """
    if entry["result"] == "ok":
        return {"result": "ok", "returned": value(entry, "returned")}
    if entry["result"] not in ("error", "panic"):
        raise InvalidInput(f"no such result: {entry['result']}", kind="bad_vectors")
    kind = entry.get("kind", "other")
    return {"result": "error"} if kind == "other" else {"result": "error", "kind": kind}


def error(text: str | None, kind: str) -> Facets:
    """How an entry ended that only gives e4go's error text; none, or ``<nil>``, is success."""
    return {"result": "ok"} if text in (None, "<nil>") else {"result": "error", "kind": kind}


def ended(act: Callable[[], bytes | None]) -> Facets:
    """How ``act`` ends here, for comparison with `outcome`; anything that is no E4Error is left to fly."""
    try:
        return {"result": "ok", "returned": act()}
    except E4Error as failure:
        return {"result": "error", "kind": failure.kind}
