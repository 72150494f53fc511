# SPDX-License-Identifier: Apache-2.0
"""How ``e4 kms status`` shows what it was told: the database's keys, the KMSes, and where the C2's own private keys are."""

from __future__ import annotations

from e4cli.api_client import Document
from e4cli.output import Output, Row, remark, show_record, show_rows


def show_status(output: Output, status: Document) -> None:
    if output is not Output.TABLE:
        show_record(output, status)
        return
    show_rows(output, [_readable(status, key) for key in status["deks"]])
    show_rows(output, [{"kms": each["uri"], "answers": each["failure"] or "yes"} for each in status["providers"]])
    if used := [key for key in status["c2_keys"] if key["state"] != "compromised"]:
        show_rows(output, [_own(key) for key in used])
    if status["stopped"]:
        remark(f"rows do not follow to the newest keys: {status['stopped']}")
    if status["passed_over"]:
        remark(
            f"rows that somebody changed stay under their former keys: {status['passed_over']}; the C2's log names them"
        )
    if status["waits"]:
        remark(f"commands or reports wait: {status['waits']}")
    if status["failure"]:
        remark(f"the keys could not be opened anew, and are held for {status['held_s']:.0f} s: {status['failure']}")


def _readable(status: Document, key: Document) -> Row:
    newest = max(each["version"] for each in status["deks"] if each["purpose"] == key["purpose"])
    behind = status["behind"][key["purpose"]] if key["version"] == newest else None
    wraps = [f"{wrap['uri']} ({wrap['key_id']}, {wrap['mechanism']})" for wrap in key["wraps"]]
    return {
        "purpose": key["purpose"],
        "version": key["version"],
        "state": key["state"],
        "rows behind": behind,
        "opened by": wraps,
    }


def _own(key: Document) -> Row:
    where = "in a token" if key["in_token"] else "in the database"
    return {"c2 key": key["version"], "state": key["state"], "private key": where}
