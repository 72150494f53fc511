# SPDX-License-Identifier: Apache-2.0
"""A report as JUnit XML, in the form that Jenkins checks (``junit-10.xsd`` of its xUnit plugin) and pytest writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

_NOT_OF_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(report: Mapping[str, Any]) -> str:
    """Requirements as test cases. What is in the way of conforming is a failure; verdicts other than passed are skipped."""
    entries = report["requirements"]
    name = f"e4 conformance {report['kind']} {report['subject']}"
    root = ET.Element("testsuites")
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_clean(name),
        timestamp=report["started"],
        tests=str(len(entries)),
        failures=str(sum(entry["in_the_way"] for entry in entries)),
        errors="0",
        skipped=str(sum(_is_skipped(entry) for entry in entries)),
        time=f"{sum(entry['seconds'] for entry in entries):.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in {**report["about"], "seed": report["seed"], "summary": report["summary"]}.items():
        ET.SubElement(properties, "property", name=_clean(key), value=_clean(str(value)))
    for entry in entries:
        _case(suite, report["kind"], entry)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _case(suite: ET.Element, kind: str, entry: Mapping[str, Any]) -> None:
    name = f"{entry['id']} {entry['says']}"
    case = ET.SubElement(suite, "testcase", classname=f"e4.{kind}", name=_clean(name), time=f"{entry['seconds']:.3f}")
    message = _clean(f"{entry['verdict']}: {entry['detail']}")
    if entry["in_the_way"]:
        failure = ET.SubElement(case, "failure", type=entry["verdict"], message=message)
        failure.text = _clean("\n".join((entry["detail"], entry["advice"], entry["source"])))
    elif _is_skipped(entry):
        ET.SubElement(case, "skipped", type=entry["verdict"], message=message)
    elif entry["note"]:
        ET.SubElement(case, "system-out").text = _clean(entry["note"])


def _is_skipped(entry: Mapping[str, Any]) -> bool:
    return entry["verdict"] != "passed" and not entry["in_the_way"]


def _clean(text: str) -> str:
    """XML 1.0 has no form for control characters, and a subject prints what it likes."""
    return _NOT_OF_XML.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
