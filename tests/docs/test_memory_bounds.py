# SPDX-License-Identifier: Apache-2.0
"""How much a device of Format 1 remembers is what `wire.md` section 13 says, also of what it has sent."""

from __future__ import annotations

from pathlib import Path

from e4core.ready import CAPACITY
from e4core.sending import Sending

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "wire.md"
TEXT = " ".join(PAGE.read_text().split())
SENT = 65_536


def test_the_page_names_the_bounds_of_what_is_received() -> None:
    assert (
        f"At most {CAPACITY[False]:,} entries a topic in `sk`, {CAPACITY[True]:,} a topic and sender in `pk`." in TEXT
    )


def test_what_is_sent_is_remembered_up_to_the_bound_that_the_page_names() -> None:
    assert f"{SENT:,} entries a topic in both suites" in TEXT
    memory = Sending().memory(b"topic")
    for number in range(SENT + 1_000):
        memory.accept(number.to_bytes(16), 1_800_000_000 + number // 500, 0)
    assert SENT - 1_000 < len(memory) <= SENT
