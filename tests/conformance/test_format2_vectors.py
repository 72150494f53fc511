# SPDX-License-Identifier: Apache-2.0
"""The vectors of Format 2: made by one implementation, verified by another (`tests.conformance.witness2`), and vice versa."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from e4conformance.format2 import ARGUMENTS
from e4conformance.runner import Verdict, run
from e4conformance.vectorfile import VectorFile
from tests.conformance.format2.file import SEALED, STORIES, TARGET, vectors
from tests.conformance.format2.fleet import SIZES, Json
from tests.conformance.format2.project_maker import ProjectMaker
from tests.conformance.format2.sealed import abridged, payload
from tests.conformance.format2.witness_player import Player, WitnessMaker, private_pair, public_of, public_pair
from tests.conformance.suites2 import suite_of
from tests.conformance.witness2_algorithms import ROWS, Refused, kdf
from tests.conformance.witness2_c2 import C2
from tests.conformance.witness2_wire import COMMAND, End, Header, lp, number, open_control, session, signed_by_message

VECTORS: Json = json.loads(TARGET.read_text())
BY_WITNESS: Json = json.loads(json.dumps(vectors(WitnessMaker())))
MADE = {"project": VECTORS, "witness": BY_WITNESS}
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
    sections = {tell.__name__ for tell in (*STORIES, *SEALED)}
    assert set(MADE[maker]) == {"meta", *sections}
    for name in sections - {"topic_hashes", "sessions", "public_keys"}:
        assert {entry["suite"] for entry in MADE[maker][name]} >= {"fips-sk", "fips-pk"}


@pytest.mark.parametrize("maker", MADE)
@pytest.mark.parametrize("section", [tell.__name__ for tell in (*STORIES, *SEALED)])
def test_the_file_is_what_the_scripts_write_but_for_what_is_random(section: str, maker: str) -> None:
    """In symmetric suites byte for byte, whoever made it."""
    fresh = vectors(WitnessMaker() if maker == "witness" else ProjectMaker(suite_of))
    fresh = json.loads(json.dumps(fresh[section]))
    assert len(fresh) == len(VECTORS[section])
    for ours, theirs in zip(VECTORS[section], fresh, strict=True):
        random = ROWS[ours["suite"]].signature is not None
        assert _shape(ours, random) == _shape(theirs, random)


def _shape(value: Any, random: bool, name: str = "") -> Any:
    if isinstance(value, dict):
        return {each: _shape(inner, random, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_shape(each, random) for each in value]
    return len(value) if random and name in ("protected", "context") else value


@pytest.mark.parametrize("story", stories(VECTORS))
def test_the_witness_lives_the_stories_that_the_project_has_sealed(story: Json) -> None:
    player = Player(story)
    for place, step in enumerate(story["steps"]):
        seen = player.facets(step)
        assert not differs(due(step), seen), f"step {place} ({step['op']}): {seen}"


@pytest.mark.parametrize("maker", MADE)
def test_the_project_lives_the_stories_whoever_has_sealed_them(maker: str) -> None:
    results = list(run(VectorFile(TARGET.name, "format2", MADE[maker], suite_of)))
    assert [str(result) for result in results if result.verdict is not Verdict.PASSED] == []
    assert len(results) == sum(len(MADE[maker][tell.__name__]) for tell in (*STORIES, *SEALED)) + 2


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
    (found,) = [e["hash"] for e in VECTORS["topic_hashes"] if bytes.fromhex(e["topic_utf8_hex"]).decode() == topic]
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
    for sizes in SIZES:
        row, suite = ROWS[sizes.wire_name], suite_of(sizes.wire_name)
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
    root = Path(__file__).parents[2]
    rooms = sorted({path.parent.name for path in root.glob("*/e4*/__init__.py")} | {"e4core"})
    assert len(rooms) > 5
    asked = [sys.executable, "-c", program, *rooms]
    ended = subprocess.run(asked, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"
