# SPDX-License-Identifier: Apache-2.0
"""The page on state files names every field that is written, in both versions, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from e4core import state, state2, stateform2
from e4core.formats import load
from e4core.keys import ClientId, FullTopicHash, Secret, TopicHash, TopicKey
from tests.docs.session import ROOT
from tests.suites import EVERY, installed

PAGE = (ROOT / "docs" / "reference" / "state-file.md").read_text()
OF, TOPIC1, TOPIC2, KEY = ClientId(bytes(16)), TopicHash(bytes(16)), FullTopicHash(bytes(32)), TopicKey(b"k" * 32)
EPOCH = state2.Epoch(1, KEY, bytes(8), 1)
SESSION = state2.SeenSession(1, OF, bytes(8), 3, 0, 4, 5, 0)
VERSION1 = state.State(
    "sk",
    OF,
    "e4/x",
    Secret(b"k" * 32),
    topics={TOPIC1: state.TopicState(KEY, KEY, 1)},
    peers={OF: bytes(32)},
    command_tags={1: frozenset({bytes(16)})},
    seen=(state.Seen(TOPIC1, b"", 0, {1: frozenset({bytes(16)})}),),
)
VERSION2 = state2.State2(
    "fips-sk",
    OF,
    "e4/x",
    Secret(b"k" * 32),
    topics={TOPIC2: (EPOCH,)},
    peers={OF: state2.Peer(bytes(65))},
    seen=(state2.Seen2(TOPIC2, 1, {b"": state2.SeenSender(1)}, (SESSION,)),),
)


def names(value: Any) -> Iterator[str]:
    """Of all fields; what is named by an id, a hash or a second is no field."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not re.fullmatch(r"[0-9a-f]*", name):
                yield name
            yield from names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names(inner)


def section(version: int) -> str:
    return PAGE.partition(f"\n## State file, version {version}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("version", "data"), [(1, state.dump(VERSION1)), (2, stateform2.dump(VERSION2))])
def test_every_field_is_explained_and_no_other(version: int, data: bytes) -> None:
    assert load(data) in (VERSION1, VERSION2)
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|(.*)\|$", section(version).partition("| wire name |")[0], re.M)
    listed = {name for row, _ in rows for name in re.findall(r"\w+", row)}
    within = {name for row, meaning in rows for name in re.findall(r"`(\w+)`", meaning)} if version == 1 else set()
    written = set(names(json.loads(data)))
    assert listed <= written <= listed | within


def test_the_lengths_of_keys_are_those_of_the_suites() -> None:
    rows = re.findall(
        r"^\| ((?:`[\w-]+`(?:, )?)+) \| (.*) \| (.*) \| (.*) ?\|$", section(2).partition("| wire name |")[2], re.M
    )
    lengths = {name: row[1:] for row in rows for name in re.findall(r"[\w-]+", row[0])}
    assert set(lengths) == set(EVERY) - {"sk", "pk", "pq-pyca"}
    for name, (private, c2_public, public) in lengths.items():
        suite = installed(name)
        assert int(re.match(r"\d+", private)[0]) == suite.device.private_len  # type: ignore[index]
        assert int(c2_public) == suite.c2.public_len
        assert public.strip() == (str(suite.signature.public_len) if suite.signature else "")
