# SPDX-License-Identifier: Apache-2.0
"""The pages about ports are so: the worked example can be replayed, the loop of the guide keeps to the protocol."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from e4conformance.ports import PORTS, subject
from e4conformance.ports.reference import ReferencePort, installed
from e4conformance.ports.subject import Limits
from tests.conformance.ports.reach import examined, not_passed

DOCS = Path(__file__).parents[3] / "docs"
PROTOCOL = (DOCS / "reference" / "port-protocol.md").read_text()
GUIDE = (DOCS / "guides" / "write-a-port.md").read_text()
LOOP = re.findall(r"^```python\n# port.py\n(.*?)^```", GUIDE, re.S | re.M)[0]
SESSION = re.findall(r"^> (.*)\n< (.*)$", PROTOCOL, re.M)


def agrees(due: Any, seen: Any) -> bool:
    """``…`` is anything."""
    if due == "…":
        return True
    if isinstance(due, dict):
        return (
            isinstance(seen, dict) and due.keys() == seen.keys() and all(agrees(due[name], seen[name]) for name in due)
        )
    if isinstance(due, list):
        return isinstance(seen, list) and len(due) == len(seen) and all(map(agrees, due, seen))
    return bool(due == seen)


def test_the_worked_example_is_what_the_reference_port_answers() -> None:
    port = ReferencePort(installed(["fips-sk"]))
    assert len(SESSION) == 12
    for request, answer in SESSION:
        seen = json.loads(port.answer(request.encode() + b"\n"))
        assert agrees(json.loads(answer), seen), seen


def test_the_loop_of_the_guide_meets_the_protocol_and_is_no_device_yet(tmp_path: Path) -> None:
    named = re.findall(r"--only (E4-PORT-\d+)", GUIDE)
    (tmp_path / "port.py").write_text(LOOP)
    with subject(f"{sys.executable} {tmp_path / 'port.py'}", seed=5) as port:
        outcomes = examined(port, *(f"E4-PORT-00{number}" for number in range(1, 9)))
    assert not not_passed([outcomes[number] for number in named])
    assert sorted(each[: len("E4-PORT-001")] for each in not_passed(outcomes.values())) == [
        "E4-PORT-006",
        "E4-PORT-007",
        "E4-PORT-008",
    ]
    assert "fips-sk: not_provisioned" in outcomes["E4-PORT-006"].detail


def test_requirements_that_pages_name_exist() -> None:
    named = set(re.findall(r"E4-[A-Z]+-\d{3}", GUIDE + PROTOCOL))
    assert named and named <= {each.id for each in PORTS}


def test_every_limit_is_described() -> None:
    assert [name for name in Limits.__slots__ if f"`{name}`" not in PROTOCOL] == []
