# SPDX-License-Identifier: Apache-2.0
"""``e4 clients import`` and ``export``: a fleet from a file, and into one.

What is imported twice is as imported once, so whoever was interrupted does it again. A row that is refused keeps no other back.
"""

from __future__ import annotations

import io
import os
import sys
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import reports
from e4cli.fleet_rows import BadRow, FleetRow, Format, read, write
from e4cli.output import Output, remark, show_record, show_rows, write_bytes
from e4cli.progress import progress
from e4core import files
from e4core.errors import Conflict, E4Error, InvalidInput, NotFound, StorageError
from e4core.suite import Suite

_AT_ONCE = 1000
"""Rows in one request."""
_STDIO = Path("-")
_ENDINGS = [each.value for each in Format]

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="NAME.csv, NAME.jsonl or NAME.json; - is a pipe.")]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="What it is, where its name does not end so.", show_default=False)
]


def _report(output: Output, told: dict[str, Any]) -> None:
    """Raises: InvalidInput (``refused_rows``)."""
    if output is not Output.TABLE:
        show_record(output, told)
    else:
        if told["errors"]:
            show_rows(output, told["errors"])
        show_record(output, {name: value for name, value in told.items() if name != "errors"})
    if told["refused"]:
        raise InvalidInput(
            f"{told['refused']} of {told['rows']} rows are refused; mend those and import the file again",
            kind="refused_rows",
        )


@reports(_report)
def import_(
    api: Api,
    file: FileArgument,
    format_: FormatOption = None,
    create_topics: Annotated[
        bool, typer.Option("--create-topics", help="Make topics that do not exist; else rows with one are refused.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong, and change nothing.")] = False,
) -> dict[str, Any]:
    """Register the clients of a file, and make them members of their topics. Done again, it changes nothing."""
    from e4core.plugins import load_equal_suite

    chosen, about = _format(file, format_), api.get("/v1/c2")
    suite = load_equal_suite(about["suite"], about["wire_name"])
    taking: _Taking = (_Trying if dry_run else _Registering)(api, suite, create_topics)
    with _opened(file, suite.is_symmetric) as stream, progress(_counted(stream)) as advance:
        rows = read(chosen, stream)
        while some := list(islice(rows, _AT_ONCE)):
            taking.take(some)
            advance(*_how_far(stream, taking.rows))
    return taking.told()


@reports(lambda _output, remarked: remark(remarked) if remarked else None)
def export(api: Api, file: FileArgument, format_: FormatOption = None) -> str:
    """Write all clients and their topics into a new file, without keys, which never leave the C2."""
    chosen = _format(file, format_)
    topics: dict[str, list[str]] = {}
    for topic in api.items("/v1/topics"):
        for member in api.items(f"/v1/topics/{topic['id']}/members"):
            topics.setdefault(member["id"], []).append(topic["name"])
    pieces = write(chosen, (_exported(each, topics.get(each["id"], [])) for each in api.items("/v1/clients")))
    if file != _STDIO:
        files.create(file, pieces)
        return f"all clients are in {file}"
    for piece in pieces:
        write_bytes(piece)
    return ""


class _Taking(ABC):
    """Takes rows, and remembers what became of them."""

    def __init__(self, api: Api, suite: Suite, create_topics: bool) -> None:
        self.rows = 0
        self._api, self._suite, self._creates_topics = api, suite, create_topics
        self._counts: dict[str, int] = {}
        self._errors: list[dict[str, Any]] = []
        self._topics: dict[str, str | E4Error] = {}
        self._registered: dict[str, str] | None = None

    def told(self) -> dict[str, Any]:
        refused = len({each["line"] for each in self._errors})
        return {"rows": self.rows, **self._counts, "refused": refused, "errors": self._errors}

    def take(self, rows: Sequence[FleetRow | BadRow]) -> None:
        """Raises: E4Error: all of them, as there is no C2 or it lets nobody do this."""
        self.rows += len(rows)
        for row in rows:
            if isinstance(row, BadRow):
                self._refuse(row, row.why.kind, str(row.why))
        self._take([row for row in rows if isinstance(row, FleetRow) and self._is_good(row)])

    @abstractmethod
    def _take(self, rows: list[FleetRow]) -> None: ...

    def _is_good(self, row: FleetRow) -> bool:
        return row.key is None or self._does(row, partial(self._suite.device.check, row.key))

    def _does(self, row: FleetRow, work: Callable[[], object]) -> bool:
        try:
            work()
        except (InvalidInput, NotFound, Conflict) as error:
            return self._refuse(row, error.kind, str(error))
        return True

    def _refuse(self, row: FleetRow | BadRow, kind: str, why: str) -> bool:
        self._errors.append({"line": row.line, "name": row.name, "kind": kind, "why": why})
        return False

    def _count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1

    def _known(self, row: FleetRow) -> str:
        """Raises: NotFound. Conflict."""
        if self._registered is None:
            self._registered = {each["name"]: each["id"] for each in self._api.items("/v1/clients")}
        identity = self._registered.get(row.name)
        if identity is None:
            raise NotFound("there is no such client, and the row has no key to register it with")
        if row.id not in (None, identity):
            raise Conflict("the client of this name has another id; leave the id out, or choose another name")
        return identity

    def _topic(self, name: str) -> str:
        """Its path. Raises: NotFound."""
        if name not in self._topics:
            try:
                self._topics[name] = self._api.topic(name)
            except NotFound:
                self._topics[name] = NotFound(
                    f"there is no topic {name!r}; make it with e4 topics create, or --create-topics"
                )
        found = self._topics[name]
        if isinstance(found, E4Error):
            raise found
        return found


class _Trying(_Taking):
    """Changes nothing."""

    def __init__(self, api: Api, suite: Suite, create_topics: bool) -> None:
        super().__init__(api, suite, create_topics)
        self._counts = {"new": 0, "present": 0}
        self._names: set[str] = set()

    def _take(self, rows: list[FleetRow]) -> None:
        for row in rows:
            if self._does(row, partial(self._try, row)):
                self._count("present" if row.name in (self._registered or {}) else "new")

    def _try(self, row: FleetRow) -> None:
        if row.name in self._names:
            raise Conflict("this client comes twice in the file; leave one out")
        self._names.add(row.name)
        try:
            self._known(row)
        except NotFound:
            if row.key is None:
                raise
        for topic in row.topics:
            self._try_topic(topic)

    def _try_topic(self, name: str) -> None:
        try:
            self._topic(name)
        except NotFound:
            if not self._creates_topics:
                raise


class _Registering(_Taking):
    def __init__(self, api: Api, suite: Suite, create_topics: bool) -> None:
        super().__init__(api, suite, create_topics)
        self._counts = {"created": 0, "present": 0, "joined": 0}

    def _take(self, rows: list[FleetRow]) -> None:
        ids = self._register([row for row in rows if row.key is not None])
        for row in rows:
            if row.key is None and self._does(row, partial(self._known, row)):
                ids[row.line] = self._known(row)
                self._count("present")
        if self._creates_topics:
            self._create([name for row in rows for name in row.topics if row.line in ids])
        joining: dict[str, list[FleetRow]] = {}
        for row in rows:
            for topic in row.topics if row.line in ids else ():
                joining.setdefault(topic, []).append(row)
        for topic, members in joining.items():
            self._join(topic, members, ids)

    def _register(self, rows: list[FleetRow]) -> dict[int, str]:
        """Line -> id, of those that are there now."""
        ids: dict[int, str] = {}
        if not rows:
            return ids
        results = self._api.post("/v1/clients/batch", {"items": [_item(row) for row in rows]})["results"]
        for row, result in zip(rows, results, strict=True):
            if self._is_done(row, result):
                ids[row.line] = result["item"]["id"]
                self._count("created" if result["status"] == 201 else "present")
        return ids

    def _create(self, names: list[str]) -> None:
        """Make those topics that do not exist; one that the C2 refuses is told with each row that has it."""
        new = iter([name for name in dict.fromkeys(names) if name not in self._topics])
        while some := list(islice(new, _AT_ONCE)):
            results = self._api.post("/v1/topics/batch", {"items": [{"name": name} for name in some]})["results"]
            for name, result in zip(some, results, strict=True):
                problem, item = result["problem"], result["item"]
                self._topics[name] = (
                    InvalidInput(problem["detail"], kind=problem["kind"]) if problem else f"/v1/topics/{item['id']}"
                )

    def _join(self, topic: str, rows: list[FleetRow], ids: dict[int, str]) -> None:
        able = [row for row in rows if self._does(row, partial(self._topic, topic))]
        if not able:
            return
        asked = {"clients": [ids[row.line] for row in able]}
        results = self._api.post(f"{self._topic(topic)}/members/batch", asked)["results"]
        for row, result in zip(able, results, strict=True):
            if self._is_done(row, result):
                self._count("joined")

    def _is_done(self, row: FleetRow, result: Document) -> bool:
        problem = result["problem"]
        return problem is None or self._refuse(row, problem["kind"], problem["detail"])


def _item(row: FleetRow) -> dict[str, Any]:
    chosen = {"id": row.id, "c2_key": row.c2_key}
    given = {name: value for name, value in chosen.items() if value is not None}
    return {"name": row.name, "key": b64encode(row.key or b"").decode(), **given}


def _exported(client: Document, topics: list[str]) -> dict[str, Any]:
    return {"name": client["name"], "id": client["id"], "key": "", "c2_key": client["c2_key"], "topics": topics}


def _format(file: Path, given: Format | None) -> Format:
    ending = file.suffix.lower().removeprefix(".")
    if given is None and ending not in _ENDINGS:
        raise typer.BadParameter(f"say with --format what {file} is: {', '.join(_ENDINGS)}")
    return given or Format(ending)


@contextmanager
def _opened(file: Path, is_secret: bool) -> Iterator[TextIO]:
    """Raises: StorageError: it cannot be read, or with secret keys in it is open to others."""
    if file == _STDIO:
        yield io.TextIOWrapper(sys.stdin.buffer, "utf-8", newline="")
        return
    if is_secret:
        files.check(file)
    try:
        stream = file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}") from error
    with stream:
        yield stream


def _counted(stream: TextIO) -> str:
    return "bytes of the file" if stream.seekable() else "clients"


def _how_far(stream: TextIO, rows: int) -> tuple[int, int | None, str]:
    """As `Advance` takes it; nobody knows how much is still to come out of a pipe."""
    if not stream.seekable():
        return rows, None, ""
    return stream.buffer.tell(), os.fstat(stream.fileno()).st_size, f"{rows} clients"
