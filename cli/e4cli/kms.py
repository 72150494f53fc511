# SPDX-License-Identifier: Apache-2.0
"""``e4 kms``: the keys of a C2's database, and the KMSes that can open them.

Each command looks at how things are and does what is missing, key by key; so what was interrupted goes on when it is given again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import YesOption, lists, make_sure, reports
from e4cli.kms_status import show_status
from e4cli.kms_steps import (
    NOT_ASKED,
    Step,
    additions,
    asking,
    configured,
    keys_in_use,
    lost_shares,
    removals,
    require_configured,
    run,
    step,
)
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
    steps = additions(api, uri, purpose, first)
    if dry_run and any(each.do for each in steps):
        require_configured(api, uri)
    return run(steps, dry_run)


@app.command()
@lists
def remove_wrap(
    api: Api, uri: UriArgument, purpose: PurposeOption = None, dry_run: DryRunOption = False
) -> Iterable[Row]:
    """Let a KMS open the database no more. Refused where nothing else opens it."""
    steps = removals(api, uri, purpose, dry_run=dry_run)
    run(steps, False)  # in a dry run too the C2 is asked, as it alone can tell whether another KMS opens now
    if purpose is None and not dry_run:
        remark(f"now take {uri} out of the C2's settings: what the settings name opens new keys too")
    return [each.row(not dry_run) for each in steps]


@app.command()
@lists
def rewrap(
    api: Api,
    uri: Annotated[str | None, typer.Argument(metavar="URI", help="Only what this KMS opens; else all.")] = None,
    purpose: PurposeOption = None,
    dry_run: DryRunOption = False,
) -> Iterable[Row]:
    """Wrap the keys anew, after the key encryption key was rotated in its KMS; one that is not in the settings is not asked."""
    wraps = [
        (key, wrap["uri"]) for key in keys_in_use(api, purpose) for wrap in key["wraps"] if uri in (None, wrap["uri"])
    ]
    if not wraps:
        raise NotFound(f"{uri} opens no key of the database; see: e4 kms status")
    if uri and dry_run:
        require_configured(api, uri)
    # one that is named is asked for, and the C2 says why it is not asked
    asked = set(configured(api)) if uri is None else {uri}
    if others := dict.fromkeys(at for _, at in wraps if at not in asked):
        remark(f"not wrapped anew, as the C2's settings do not name their KMSes: {', '.join(others)}")
    steps = [
        step(api, key, at, "rewrap") if at in asked else Step(key, at, "rewrap", None, NOT_ASKED) for key, at in wraps
    ]
    return run(steps, dry_run)


@app.command()
@lists
def migrate(
    api: Api,
    to: Annotated[str, typer.Option("--to", metavar="URI", help="The KMS that is to open the database from now on.")],
    dry_run: DryRunOption = False,
) -> Iterable[Row]:
    """Move the database to another KMS: add it, verify, then remove all others."""
    if dry_run:
        require_configured(api, to)
    rows = [*run(additions(api, to, None, True), dry_run)]
    checks = [step(api, key, to, "check") for key in keys_in_use(api, None)]
    lost = [] if dry_run else lost_shares(checks)
    rows += [each.row(not dry_run) for each in checks]
    others = dict.fromkeys(wrap["uri"] for key in keys_in_use(api, None) for wrap in key["wraps"] if wrap["uri"] != to)
    for other in others:
        rows += run(removals(api, other, None, to), dry_run)
    if others and not dry_run:
        remark(f"now take {', '.join(others)} out of the C2's settings")
    for each in lost:
        remark(each)
    return rows


@app.command()
@lists
def rotate(
    api: Api,
    purposes: Annotated[
        list[Purpose] | None,
        typer.Option("--purpose", metavar="|".join(Purpose), help="May be given several times; without it, records."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="End when all rows are under the new keys.")] = True,
    dry_run: DryRunOption = False,
) -> Iterable[Row]:
    """Make new keys, and put all rows under them while the C2 serves; then the former ones are destroyed.

    Tokens stay under the look-up key that they were made under, and what is for the audit log too: their former keys stay.
    Given again while rows still follow to the newest keys it makes no newer ones, and goes on to wait.
    """
    status = api.get("/v1/kms")
    chosen = purposes or [Purpose.RECORDS]
    active = [key for key in keys_in_use(api, None) if key["state"] == "active" and key["purpose"] in chosen]
    following = {name for name in _RESEALED if status["behind"][name]}
    rotated = [key for key in active if key["purpose"] not in following]
    _require_all_named(api, rotated)
    steps = [Step(key, "all", "rotate", asking(api, key, "rotate") if key in rotated else None) for key in active]
    rows = run(steps, dry_run)
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
    """Destroy a former key that nothing is under any more: of look-ups, when all tokens of its time are gone, or of the audit log.

    Backups have wraps of their own: one opens as long as a KMS opens these.
    """
    path = f"/v1/kms/deks/{purpose}/{version}/retire"
    key = api.post(path, dry_run=True)
    if not dry_run:
        make_sure(
            yes,
            f"nothing in this database opens with version {version} of the {purpose} key then; backups of before do",
        )
    step = Step(key, "all", "retire", None if key["state"] == "retired" else lambda: api.post(path))
    return run([step], dry_run)


@app.command()
@reports(show_record)
def verify(api: Api) -> Row:
    """Prove that every wrap of a KMS in the settings opens, and that every row does; name shares that are lost."""
    wraps = [(key, wrap["uri"]) for key in keys_in_use(api, None) for wrap in key["wraps"]]
    named = configured(api)
    lost = lost_shares([step(api, key, uri, "check") for key, uri in wraps if uri in named])
    others = list(dict.fromkeys(uri for _, uri in wraps if uri not in named))
    return {"wraps": len(wraps), "not_asked": others, "lost_shares": lost, "rows": sum(_rows(api))}


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


def _require_all_named(api: Api, active: list[Document]) -> None:
    """Look for what the C2 would refuse, before any of them is rotated. Raises: Conflict."""
    begun = {key["purpose"] for key in keys_in_use(api, None) if key["state"] == "prepared"}
    named = configured(api)
    wraps = [wrap for key in active if key["purpose"] not in begun and len(key["wraps"]) > 1 for wrap in key["wraps"]]
    if spares := dict.fromkeys(wrap["uri"] for wrap in wraps if wrap["uri"] not in named):
        raise Conflict(
            "these KMSes open keys that are to be rotated, and could not open the next ones, as the C2's settings do not name them;"
            f" name them there and start it anew, or give them up with e4 kms remove-wrap: {', '.join(spares)}"
        )


def _follow(api: Api) -> None:
    try:
        with progress("rows") as advance:
            total = 0
            while True:
                status = api.get("/v1/kms")
                left = sum(status["behind"][name] for name in _RESEALED)
                total = max(total, left)
                advance(total - left, total)
                if not left and not any(map(_is_left, status["deks"])):
                    return
                if status["stopped"]:
                    raise Tampered(status["stopped"])
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        remark("the new keys are made, and rows follow without this: e4 kms status")
        raise


def _is_left(key: Document) -> bool:
    """Whether it is a former one that goes when all rows have left it."""
    return key["purpose"] in _RESEALED and key["state"] == "decrypt_only"


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
