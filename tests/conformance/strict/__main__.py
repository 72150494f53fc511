# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors of the strict behaviour of Format 1: ``python -m tests.conformance.strict``.

What must come of each step is written here by hand, from `wire.md` section 13 and `format2.md` sections 3 and 4; only the bytes
are computed, with the parts of the suites. Nothing is random, so that the file is the same each time.
"""

from __future__ import annotations

import json
from pathlib import Path

from e4core.plugins import load_suite
from tests.conformance.strict.commands import command_order, previous_keys
from tests.conformance.strict.fleet import Fleet, Json
from tests.conformance.strict.keys import refused_commands, refused_states
from tests.conformance.strict.messages import clock_skew, message_replay, restarts, sending
from tests.conformance.strict.reports import reports

TARGET = Path(__file__).parents[3] / "conformance" / "e4conformance" / "vectors" / "e4-strict.json"
SECTIONS = (
    message_replay,
    command_order,
    clock_skew,
    restarts,
    previous_keys,
    refused_commands,
    refused_states,
    sending,
    reports,
)


def vectors() -> Json:
    fleets = [Fleet(load_suite(name)) for name in ("sk", "pk")]
    meta = {
        "what": "strict behaviour of Format 1",
        "big_value_rule": "values longer than 2048 bytes are given as NAME_len, NAME_sha256, NAME_head24, NAME_tail80",
        "payload_rule": "payload of length n: byte i = (7*i + n + 3) mod 256",
        "made_by": "python -m tests.conformance.strict",
        "steps": "see e4conformance/strict.py",
    }
    return {"meta": meta, **{make.__name__: [story for f in fleets for story in make(f)] for make in SECTIONS}}


def text() -> str:
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
