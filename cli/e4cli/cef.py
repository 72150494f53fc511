# SPDX-License-Identifier: Apache-2.0
"""An audit record as a line of CEF (ArcSight Common Event Format, version 0), as SIEM systems read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from e4cli.output import visible

_DONE, _REFUSED = 3, 6
"""Severities, of 10."""


def line(record: Mapping[str, Any], version: str) -> str:
    """Args: version: of E4."""
    severity = _DONE if record["outcome"] == "done" else _REFUSED
    head = ("CEF:0", "E4", "C2", version, record["action"], record["action"], str(severity))
    fields = {
        "rt": round(record["time"] * 1000),
        "externalId": record["number"],
        "suser": record["principal"],
        "src": record["source"],
        "outcome": record["outcome"],
        "cnt": record["count"],
        "cs1Label": "request",
        "cs1": record["request"],
        "cs2Label": "objects",
        "cs2": " ".join(record["objects"]),
        "cs3Label": "replica",
        "cs3": record["replica"],
    }
    extension = " ".join(f"{name}={_value(str(value))}" for name, value in fields.items() if value != "")
    return f"{'|'.join(map(_head, head))}|{extension}"


def _head(text: str) -> str:
    return visible(text.replace("\\", "\\\\").replace("|", "\\|"))


def _value(text: str) -> str:
    return visible(text.replace("\\", "\\\\").replace("=", "\\="))
