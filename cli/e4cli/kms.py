# SPDX-License-Identifier: Apache-2.0
"""``e4 kms``: the keys of a C2's database, and the KMSes that can open them.

Each command looks at how things are and does what is missing, key by key; so what was interrupted goes on when it is given again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import YesOption, lists, make_sure, reports
from e4cli.kms_status import show_status
from e4cli.output import Row, remark, show_record
from e4cli.progress import progress
from e4core.errors import Conflict, KeyNotFound, KmsError, NotFound, Tampered

if TYPE_CHECKING:
    from e4core.kms import Kms

app = typer.Typer(no_args_is_help=True, help="See who can open the C2's database, and change it.")

_POLL_S = 0.2
_RESEALED = ("records", "authority")
"""Purposes whose rows follow to a new key."""


class Purpose(StrEnum):
    """What a key of the database is for."""

    RECORDS = "records"
    AUTHORITY = "authority"
    LOOKUP = "lookup"
    AUDIT = "audit"


UriArgument = Annotated[str, typer.Argument(metavar="URI", help="A KMS, as the C2's settings name it.")]
PurposeOption = Annotated[Purpose | None, typer.Option("--purpose", help="Only the keys for this; else all.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@dataclass(frozen=True, slots=True)
class _Step:
    """One change of one key; ``do`` None: there is nothing to do."""

    key: Document
    uri: str
    what: str
    do: Callable[[], object] | None

    def row(self, done: bool) -> Row:
        result = "nothing to do" if self.do is None else "done" if done else "to be done"
        return {**_name(self.key), "kms": self.uri, "step": self.what, "result": result}


@app.command()
@reports(show_status)
def status(api: Api) -> Document:
    """Show the keys of the database, which KMSes open them and answer, the rows under former keys, and the C2's own keys."""
    providers, own = api.get("/v1/kms/providers")["items"], api.get("/v1/c2")["c2_keys"]
    return Document({**api.get("/v1/kms"), "providers": providers, "c2_keys": own})


@app.command()
@lists
def add_wrap(
    api: Api,
    uri: UriArgument,
    purpose: PurposeOption = None,
    first: Annotated[bool, typer.Option("--first", help="Ask it before all others.")] = False,
    dry_run: DryRunOption = False,
) -> Iterable[Row]:
    """Let one more KMS open the database."""
    return _run(_additions(api, uri, purpose, first), dry_run)


@app.command()
@lists
def remove_wrap(
    api: Api, uri: UriArgument, purpose: PurposeOption = None, dry_run: DryRunOption = False
) -> Iterable[Row]:
    """Let a KMS open the database no more. Refused where nothing else opens it."""
    rows = _run(_removals(api, uri, purpose), dry_run)
    if purpose is None and not dry_run:
        remark(f"now take {uri} out of the C2's settings: what the settings name opens new keys too")
    return rows


@app.command()
@lists
def rewrap(
    api: Api,
    uri: Annotated[str | None, typer.Argument(metavar="URI", help="Only what this KMS opens; else all.")] = None,
    purpose: PurposeOption = None,
    dry_run: DryRunOption = False,
) -> Iterable[Row]:
    """Wrap the keys anew, after the key encryption key was rotated in its KMS."""
    wraps = [(key, wrap["uri"]) for key in _keys(api, purpose) for wrap in key["wraps"] if uri in (None, wrap["uri"])]
    if not wraps:
        raise NotFound(f"{uri} opens no key of the database; see: e4 kms status")
    return _run([_step(api, key, at, "rewrap") for key, at in wraps], dry_run)


@app.command()
@lists
def migrate(
    api: Api,
    to: Annotated[str, typer.Option("--to", metavar="URI", help="The KMS that is to open the database from now on.")],
    dry_run: DryRunOption = False,
) -> Iterable[Row]:
    """Move the database to another KMS: add it, verify, then remove all others."""
    rows = [*_run(_additions(api, to, None, True), dry_run)]
    rows += _run([_step(api, key, to, "check") for key in _keys(api, None)], dry_run)
    others = dict.fromkeys(wrap["uri"] for key in _keys(api, None) for wrap in key["wraps"] if wrap["uri"] != to)
    for other in others:
        rows += _run(_removals(api, other, None, to), dry_run)
    if others and not dry_run:
        remark(f"now take {', '.join(others)} out of the C2's settings")
    return rows


@app.command()
@lists
def rotate(
    api: Api,
    purpose: PurposeOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="End when all rows are under the new keys.")] = True,
    dry_run: DryRunOption = False,
) -> Iterable[Row]:
    """Make new keys, and put all rows under them while the C2 serves; tokens that were made before stay under the former one.

    Given again while rows still follow to the newest keys it makes no newer ones, and goes on to wait.
    """
    status = api.get("/v1/kms")
    active = [key for key in _keys(api, purpose) if key["state"] == "active"]
    following = {name for name in _RESEALED if status["behind"][name]}
    steps = [
        _Step(key, "all", "rotate", None if key["purpose"] in following else _rotation(api, key)) for key in active
    ]
    rows = _run(steps, dry_run)
    if wait and not dry_run:
        _follow(api)
    return rows


@app.command()
@lists
def retire(
    api: Api,
    purpose: Annotated[Purpose, typer.Option("--purpose", help="What the key is for.")],
    version: Annotated[int, typer.Option("--version", min=1, help="Which version of it.")],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Iterable[Row]:
    """Destroy a former key that no row is under any more. Backups of before cannot be opened then."""
    path = f"/v1/kms/deks/{purpose}/{version}/retire"
    key = api.post(path, dry_run="true")
    if not dry_run:
        make_sure(yes, f"backups that name version {version} of the {purpose} key can never be opened again")
    # one that is retired, too: its retirement may have been interrupted
    step = _Step(key, "all", "retire", None if dry_run and key["state"] == "retired" else lambda: api.post(path))
    return _run([step], dry_run)


@app.command()
@reports(show_record)
def verify(api: Api) -> Row:
    """Prove that every wrap of a KMS in the settings opens, and that every row does."""
    wraps = [(key, wrap["uri"]) for key in _keys(api, None) for wrap in key["wraps"]]
    configured = {each["uri"] for each in api.get("/v1/kms/providers")["items"]}
    _run([_step(api, key, uri, "check") for key, uri in wraps if uri in configured], False)
    others = list(dict.fromkeys(uri for _, uri in wraps if uri not in configured))
    return {"wraps": len(wraps), "not_asked": others, "rows": sum(_rows(api))}


@app.command("init-token-key")
def init_token_key(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Names the key that is to be made.")],
    dry_run: DryRunOption = False,
) -> None:
    """Make the key encryption key in a token or KMS, from this machine. Never overwrites one."""
    from contextlib import closing

    from e4core.kms import CreatesKey
    from e4core.plugins import load_kms

    with closing(load_kms(uri)) as kms:
        if not isinstance(kms, CreatesKey):
            raise KmsError(f"the driver of {uri.partition(':')[0]}: makes no keys; make it there, and name it here")
        if dry_run:
            _require_absent(kms, uri)
        else:
            kms.create_key()
            kms.check()
    remark(f"to be made: {uri}" if dry_run else f"made; now it is a KMS for the C2's settings: {uri}")


def _require_absent(kms: Kms, uri: str) -> None:
    try:
        kms.check()
    except KeyNotFound as error:
        if error.kind == KeyNotFound.kind:
            return
        raise
    raise Conflict(f"the key that {uri} names exists already and is not made again; use it, or choose another name")


def _keys(api: Api, purpose: Purpose | None) -> list[Document]:
    """All that are in use, with their wraps."""
    keys = api.get("/v1/kms")["deks"]
    return [key for key in keys if key["state"] != "retired" and purpose in (None, key["purpose"])]


def _additions(api: Api, uri: str, purpose: Purpose | None, first: bool) -> list[_Step]:
    return [
        _Step(key, uri, "add", None if _has(key, uri) else _asking(api, key, "", {"uri": uri, "first": first}))
        for key in _keys(api, purpose)
    ]


def _removals(api: Api, uri: str, purpose: Purpose | None, successor: str | None = None) -> list[_Step]:
    """Args: successor: opens the keys by the time that this is done."""
    keys = _keys(api, purpose)
    if not any(_has(key, uri) for key in keys):
        raise NotFound(f"{uri} opens no key of the database; see: e4 kms status")
    for key in keys:
        if successor is None and _has(key, uri) and len(key["wraps"]) == 1:
            raise Conflict(f"{uri} is the last that opens version {key['version']} of the {key['purpose']} key")
    return [_step(api, key, uri, "remove") if _has(key, uri) else _Step(key, uri, "remove", None) for key in keys]


def _step(api: Api, key: Document, uri: str, what: str) -> _Step:
    return _Step(key, uri, what, _asking(api, key, f"/{what}", {"uri": uri}))


def _asking(api: Api, key: Document, path: str, body: dict[str, Any]) -> Callable[[], object]:
    return lambda: api.post(f"/v1/kms/deks/{key['purpose']}/{key['version']}/wraps{path}", body)


def _rotation(api: Api, key: Document) -> Callable[[], object]:
    return lambda: api.post(f"/v1/kms/deks/{key['purpose']}/{key['version']}/rotate")


def _run(steps: list[_Step], dry_run: bool) -> list[Row]:
    with progress("keys") as advance:
        for done, step in enumerate(steps):
            advance(done, len(steps))
            if step.do is not None and not dry_run:
                step.do()
        advance(len(steps), len(steps))
    return [step.row(not dry_run) for step in steps]


def _follow(api: Api) -> None:
    try:
        with progress("rows") as advance:
            total = 0
            while True:
                status = api.get("/v1/kms")
                left = sum(status["behind"][name] for name in _RESEALED)
                total = max(total, left)
                advance(total - left, total)
                if not left:
                    return
                if status["stopped"]:
                    raise Tampered(status["stopped"])
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        remark("the new keys are made, and rows follow without this: e4 kms status")
        raise


def _rows(api: Api) -> Iterator[int]:
    """How many rows were verified, portion by portion."""
    with progress("rows") as advance:
        done, total, query = 0, api.get("/v1/kms")["rows"], {"limit": 1000}
        while True:
            looked = api.get("/v1/kms/rows", **query)
            done += looked["checked"]
            yield looked["checked"]
            advance(done, max(done, total))
            if looked["next"] is None:
                return
            query["cursor"] = looked["next"]


def _has(key: Document, uri: str) -> bool:
    return any(wrap["uri"] == uri for wrap in key["wraps"])


def _name(key: Document) -> dict[str, Any]:
    return {"purpose": key["purpose"], "version": key["version"]}
