# SPDX-License-Identifier: Apache-2.0
"""The vectors of Format 2: made by one implementation, verified by another (`tests.conformance.witness2`), and vice versa."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from e4conformance.format2 import ARGUMENTS
from e4conformance.runner import Verdict, run
from e4conformance.vectorfile import VectorFile
from tests.conformance.format2.file import SECTIONS, STORIES, TARGET, kept, section, shape, vectors
from tests.conformance.format2.fleet import Json
from tests.conformance.format2.project_maker import ProjectMaker
from tests.conformance.format2.sealed import abridged, payload
from tests.conformance.format2.sizes import SIZES, VERIFIED, Sizes
from tests.conformance.format2.witness_player import Player, WitnessMaker, private_pair, public_of, public_pair
from tests.conformance.suites2 import NAMES, suite_of
from tests.conformance.witness2_algorithms import ROWS, Refused, kdf
from tests.conformance.witness2_c2 import C2
from tests.conformance.witness2_wire import COMMAND, End, Header, lp, number, open_control, session, signed_by_message
from tests.suites import installed

VECTORS: Json = json.loads(TARGET.read_text())
TWICE = {sizes.wire_name for sizes in SIZES}


def only(file: Json, suites: Collection[str]) -> Json:
    return {name: [entry for entry in file[name] if entry["suite"] in suites] for name in SECTIONS}


@cache
def by_witness() -> Json:
    file: Json = json.loads(json.dumps(vectors(WitnessMaker())))
    return file


MADE: dict[str, Callable[[], Json]] = {
    "project": lambda: {"meta": VECTORS["meta"], **only(VECTORS, TWICE)},
    "witness": by_witness,
}
ROOT = Path(__file__).parents[2]
TABLE_OF_SUITES = (
    (ROOT / "docs" / "reference" / "format2.md").read_text().partition("| wire name |")[2].partition("\n\n")[0]
)
STORY_NAMES = [tell.__name__ for tell in STORIES]


def stories(file: Json) -> list[Any]:
    return [pytest.param(story, id=f"{name}: {story['name']}") for name in STORY_NAMES for story in file[name]]


def entries(section: str) -> list[Any]:
    return [pytest.param(entry, id=entry["name"]) for entry in VECTORS[section]]


def differs(due: Any, seen: Any) -> bool:
    """Members of a dictionary that are not due may be anything."""
    if isinstance(due, dict):
        return not isinstance(seen, dict) or any(differs(value, seen.get(name)) for name, value in due.items())
    if isinstance(due, list):
        return not isinstance(seen, list) or len(due) != len(seen) or any(map(differs, due, seen))
    return bool(due != seen)


def due(step: Json) -> Json:
    given = ("op", "now", "why", *ARGUMENTS.get(step["op"], ()))
    return {name: value for name, value in step.items() if name not in given}


@pytest.mark.parametrize("maker", MADE)
def test_each_section_is_told_of_symmetric_and_public_key_suites(maker: str) -> None:
    made = MADE[maker]()
    assert list(made) == ["meta", *SECTIONS]
    for name in SECTIONS.keys() - {"topic_hashes", "sessions", "public_keys", "two_signatures"}:
        assert {entry["suite"] for entry in made[name]} >= {"fips-sk", "fips-pk", "fast-sk"}


def test_every_wire_name_is_told_of() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", TABLE_OF_SUITES, re.M)
    assert {entry["suite"] for name in SECTIONS for entry in VECTORS[name]} == set(rows) == ROWS.keys()


@pytest.mark.parametrize("name", SECTIONS)
def test_the_file_is_what_the_scripts_write_but_for_what_is_random(name: str) -> None:
    """In symmetric suites byte for byte, whoever made it."""
    fresh = json.loads(json.dumps(section(name, ProjectMaker(suite_of))))
    due = [shape(entry) for entry in MADE["project"]()[name]]
    assert [shape(entry) for entry in fresh] == due
    assert [shape(entry) for entry in by_witness()[name]] == due


@pytest.mark.parametrize("sizes", VERIFIED, ids=lambda sizes: sizes.wire_name)
def test_what_only_the_project_signs_is_what_the_scripts_write(sizes: Sizes) -> None:
    suite = installed(sizes.wire_name)
    fresh = json.loads(json.dumps(vectors(ProjectMaker(lambda _name: suite), [sizes])))
    for name, entries in only(VECTORS, {sizes.wire_name}).items():
        assert [shape(entry) for entry in fresh[name]] == [shape(entry) for entry in entries]


def test_who_writes_the_file_again_changes_no_entry_that_is_as_it_must_be() -> None:
    renewed = deepcopy(by_witness())
    renewed["own_keys"][-1]["name"] = "another story"
    written = kept(VECTORS, renewed)
    differing = [(name, entry["name"]) for name in SECTIONS for entry in written[name] if entry not in VECTORS[name]]
    assert differing == [("own_keys", "another story")]
    assert written["meta"] == VECTORS["meta"]


@pytest.mark.parametrize("story", stories(VECTORS))
def test_the_witness_lives_the_stories_that_the_project_has_sealed(story: Json) -> None:
    player = Player(story)
    for place, step in enumerate(story["steps"]):
        seen = player.facets(step)
        assert not differs(due(step), seen), f"step {place} ({step['op']}): {seen}"


@pytest.mark.parametrize("maker", MADE)
def test_the_project_lives_the_stories_whoever_has_sealed_them(maker: str) -> None:
    made = MADE[maker]()
    results = list(run(VectorFile(TARGET.name, "format2", made, suite_of)))
    assert [str(result) for result in results if result.verdict is not Verdict.PASSED] == []
    assert len(results) == sum(len(made[name]) for name in SECTIONS) + 2


@pytest.mark.parametrize("sizes", VERIFIED, ids=lambda sizes: sizes.wire_name)
def test_the_project_reads_what_only_it_signs(sizes: Sizes) -> None:
    suite = installed(sizes.wire_name)
    file = VectorFile(TARGET.name, "format2", only(VECTORS, {sizes.wire_name}), lambda _name: suite)
    assert [str(result) for result in run(file) if result.verdict is not Verdict.PASSED] == []


@pytest.mark.parametrize("entry", entries("sessions"))
def test_the_witness_draws_the_same_sessions(entry: Json) -> None:
    random, sender = bytes.fromhex(entry["random"]), bytes.fromhex(entry["sender"])
    assert session(random, entry["clock"], entry["start"], sender).hex() == entry["session"]


@pytest.mark.parametrize("entry", entries("sealed_messages"))
def test_the_witness_seals_the_same_messages(entry: Json) -> None:
    row, topic = ROWS[entry["suite"]], bytes.fromhex(_hash_of(entry["topic"]))
    header = Header.of(bytes.fromhex(entry["associated_data"]))
    named = {"epoch": header.epoch, "timestamp": header.timestamp, "sequence": header.sequence}
    assert named == {name: entry[name] for name in named}
    key = kdf(bytes.fromhex(entry["topic_key"]), bytes.fromhex(entry["key_info"]), row.aead.key_len)
    nonce = header.nonce(row.aead.nonce_len)
    assert nonce.hex() == entry["nonce"]
    data = header.encode() + row.aead.seal(key, nonce, payload(entry["payload_len"]), header.encode())
    if row.signature is None:
        made = abridged("protected", data)
        assert made == {name: entry[name] for name in made}
        return
    protected, public = bytes.fromhex(entry["protected"]), bytes.fromhex(entry["sender_public"])
    assert protected[: len(data)] == data
    assert row.signature.verify(public, signed_by_message(row, topic, data), protected[len(data) :])


def _hash_of(topic: str) -> str:
    (found,) = {e["hash"] for e in VECTORS["topic_hashes"] if bytes.fromhex(e["topic_utf8_hex"]).decode() == topic}
    return str(found)


@pytest.mark.parametrize("entry", entries("sealed_commands"))
def test_the_witness_opens_the_same_commands(entry: Json) -> None:
    row, client, data = ROWS[entry["suite"]], bytes.fromhex(entry["client_id"]), bytes.fromhex(entry["protected"])
    own, c2 = (private_pair(row, bytes.fromhex(entry[name])) for name in ("private", "c2_private"))
    end = End(b"", *own, *public_of(row, c2)) if row.signature else End(device_key=own[1])
    plain, _ = open_control(row, COMMAND, client, [end], data)
    assert (plain.hex(), number(data[2:10]), data[10:26].hex()) == (entry["plain"], entry["sequence"], entry["salt"])
    assert entry["context"].startswith((lp(b"E4.2 command") + lp(entry["suite"].encode()) + client).hex())
    assert entry["context"].endswith(data[: 26 + row.ciphertext_len].hex())
    if row.signature is None:
        assert C2(row, client, c2, own).seal(entry["sequence"], plain, data[10:26]) == data


@pytest.mark.parametrize("entry", entries("read_reports") + entries("refused_reports"))
def test_the_witness_reads_and_refuses_the_same_reports(entry: Json) -> None:
    row, client = ROWS[entry["suite"]], bytes.fromhex(entry["client_id"])
    c2, device = private_pair(row, bytes.fromhex(entry["c2_private"])), bytes.fromhex(entry["device_public"])
    given = ("name", "suite", "client_id", "c2_private", "device_public", "protected", "report")
    expected = {name: value for name, value in entry.items() if name not in given}
    try:
        seen = C2(row, client, c2, public_pair(row, device)).read(bytes.fromhex(entry["protected"]))
        seen |= {"result": "ok", "report": seen["kind"]}
    except Refused as error:
        seen = {"result": "error", "kind": error.kind}
    assert not differs(expected, seen), seen
    assert seen.get("report") == entry.get("report")


def test_the_table_of_sizes_is_that_of_the_witness_and_of_the_suites() -> None:
    for sizes in (*SIZES, *VERIFIED):
        row, suite = ROWS[sizes.wire_name], installed(NAMES.get(sizes.wire_name, sizes.wire_name))
        aead = row.aead.key_len, row.aead.nonce_len
        assert aead == (sizes.key, sizes.nonce) == (suite.aead.key_len, suite.aead.nonce_len)
        assert row.signature_len == sizes.signature == (suite.signature.signature_len if suite.signature else 0)
        assert sum(row.public_lens) == sizes.signature_public + sizes.kem_public
        assert suite.device.public_len == (sum(row.public_lens) or 32)
        assert suite.control.overhead == 16 + sizes.ciphertext + sizes.signature


def test_the_witness_imports_nothing_of_this_project() -> None:
    program = (
        "import sys, tests.conformance.format2.witness_player\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    rooms = sorted({path.parent.name for path in ROOT.glob("*/e4*/__init__.py")} | {"e4core"})
    assert len(rooms) > 5
    asked = [sys.executable, "-c", program, *rooms]
    ended = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"


def test_the_page_says_how_many_entries_each_wire_name_has() -> None:
    page = (ROOT / "docs" / "reference" / "vectors.md").read_text()
    said = {name: int(count) for name, count in re.findall(r"^\| `([a-z0-9-]+)` \| (\d+) \|", page, re.M)}
    assert said == Counter(entry["suite"] for name in SECTIONS for entry in VECTORS[name])
    assert f"({TARGET.stat().st_size / 1e6:.1f} MB)" in page
