# SPDX-License-Identifier: Apache-2.0
"""An audit log, verified from here: every hash computed anew, every signature checked, and nothing of it left to the C2."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from e4c2.audit.records import Record, beginning, changed, missing
from e4c2.audit.signing import Checkpoint, PublicKey
from e4c2.audit.statements import FORKED, Statements
from e4cli.api_client import Api, Document
from e4cli.progress import Advance
from e4core.errors import Tampered


def check(api: Api, pinned: PublicKey | None, witnessed: Collection[Checkpoint], advance: Advance) -> dict[str, Any]:
    """What was checked. Raises: Tampered: names the first record that is not as it was written; as `Statements`."""
    log = api.get("/v1/audit/log")
    key = PublicKey.parse(str(log["public_key"]))
    if pinned not in (None, key):
        text = f"the C2 shows {key} as the key of its audit log, and not the one that was expected; do not trust it"
        raise Tampered(text, kind=FORKED)
    stored = [Checkpoint.parse(each) for each in api.items("/v1/audit/checkpoints")]
    statements = Statements(key, [*stored, *witnessed])
    records = _walk(api, log, key, statements, advance)
    _ask(api)
    return {"records": records, "checkpoints": len(statements.hashes), "public_key": str(key)}


def _walk(api: Api, log: Document, key: PublicKey, statements: Statements, advance: Advance) -> int:
    number, upto = int(log["base"]), bytes.fromhex(log["base_hash"])
    base, last = number, int(log["last"])
    if upto != statements.hashes.get(number, beginning(key.database) if number == 0 else None):
        raise Tampered("nothing that was signed says that the audit log begins where it does now", kind=FORKED)
    statements.good = number
    for each in api.items("/v1/audit"):
        record = Record.parse(each)
        if record.number <= number:  # pruned meanwhile, or sent twice
            raise changed(record.number)
        if record.number != number + 1:
            raise missing(number + 1, record.number - 1)
        number, upto = record.number, record.follows(upto)
        statements.check(number, upto)
        if number == last and upto.hex() != log["last_hash"]:
            raise changed(number)
        advance(number - base, max(last, number) - base)
    if number < last:
        raise missing(number + 1, last)
    statements.check_end(number)
    return number - base


def _ask(api: Api) -> None:
    """What the C2 says itself, who has the keys to see that every record was written by it. Raises: Tampered."""
    query: dict[str, str | int] = {"limit": 1000}
    while (cursor := api.get("/v1/audit/verification", **query)["next"]) is not None:
        query["cursor"] = str(cursor)
