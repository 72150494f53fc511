# SPDX-License-Identifier: Apache-2.0
"""What ``e4 kms`` does to the keys of a database: one change of one key after the other, each done by the C2, or only told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from e4cli.api_client import Api, Document
from e4cli.output import Row
from e4cli.progress import progress
from e4core.errors import Conflict, InvalidInput, NotFound

NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one key; ``do`` None: there is nothing to do, as ``idle`` says."""

    key: Document
    uri: str
    what: str
    do: Callable[[], Document] | None
    idle: str = "nothing to do"

    def row(self, done: bool) -> Row:
        result = self.idle if self.do is None else "done" if done else "to be done"
        of = {name: self.key[name] for name in ("purpose", "version")}
        return {**of, "kms": self.uri, "step": self.what, "result": result}


def step(api: Api, key: Document, uri: str, what: str, **query: bool) -> Step:
    """Something that is done to the wrap of a key by a KMS."""
    return Step(key, uri, what, asking(api, key, f"wraps/{what}", {"uri": uri}, **query))


def asking(
    api: Api, key: Document, path: str, body: dict[str, Any] | None = None, **query: bool
) -> Callable[[], Document]:
    return lambda: api.post(f"/v1/kms/deks/{key['purpose']}/{key['version']}/{path}", body, **query)


def keys_in_use(api: Api, purpose: str | None) -> list[Document]:
    """All, or those for a purpose, with their wraps."""
    keys = api.get("/v1/kms")["deks"]
    return [key for key in keys if key["state"] != "retired" and purpose in (None, key["purpose"])]


def additions(api: Api, uri: str, purpose: str | None, first: bool) -> list[Step]:
    """What lets a KMS open the keys."""
    return [
        Step(key, uri, "add", None if opens(key, uri) else asking(api, key, "wraps", {"uri": uri, "first": first}))
        for key in keys_in_use(api, purpose)
    ]


def removals(
    api: Api, uri: str, purpose: str | None, successor: str | None = None, dry_run: bool = False
) -> list[Step]:
    """What lets a KMS open the keys no more.

    Args: successor: opens them by the time that this is done.  dry_run: the C2 only says whether it would refuse.
    Raises: NotFound: it opens none. Conflict: it is the last that does.
    """
    keys = keys_in_use(api, purpose)
    if not any(opens(key, uri) for key in keys):
        raise NotFound(f"{uri} opens no key of the database; see: e4 kms status")
    for key in keys:
        if successor is None and opens(key, uri) and len(key["wraps"]) == 1:
            raise Conflict(f"{uri} is the last that opens version {key['version']} of the {key['purpose']} key")
    return [
        step(api, key, uri, "remove", dry_run=dry_run) if opens(key, uri) else Step(key, uri, "remove", None)
        for key in keys
    ]


def run(steps: list[Step], dry_run: bool) -> list[Row]:
    """Do them, or none; what became of each."""
    if not dry_run:
        for _ in done(steps):
            pass
    return [each.row(not dry_run) for each in steps]


def lost_shares(steps: list[Step]) -> list[str]:
    """Check wraps; of which of them shares are lost, though enough are left, in a sentence for each."""
    told = [f"{each.uri}: {answer['lost']}" for each, answer in done(steps) if answer["lost"]]
    return list(dict.fromkeys(told))


def done(steps: list[Step]) -> Iterator[tuple[Step, Document]]:
    """Each that there is something to do in, as it is done, and what the C2 answered."""
    with progress("keys") as advance:
        for count, each in enumerate(steps):
            advance(count, len(steps))
            if each.do is not None:
                yield each, each.do()
        advance(len(steps), len(steps))


def configured(api: Api) -> list[str]:
    """URIs of the KMSes that the C2's settings name, in their order."""
    return [each["uri"] for each in api.get("/v1/kms/providers")["items"]]


def require_configured(api: Api, uri: str) -> None:
    """Look for what the C2 would refuse, where it is only told what would be done. Raises: InvalidInput."""
    if uri not in (named := configured(api)):
        raise InvalidInput(f"{uri} is not among the KMSes of the settings: {', '.join(named)}")


def opens(key: Document, uri: str) -> bool:
    """Whether a KMS can open it."""
    return any(wrap["uri"] == uri for wrap in key["wraps"])
