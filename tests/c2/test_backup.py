# SPDX-License-Identifier: Apache-2.0
"""The file that a backup is: what goes in comes out, and nothing that was done to it passes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import BytesIO

import pytest

from e4c2.recovery import container
from e4c2.recovery.container import CHUNK, TAG_LEN, New
from e4core.errors import InvalidInput, KmsError, KmsUnavailable, Tampered
from e4core.kms import Kms
from tests.kms.memory import MemoryKms

KMS = MemoryKms()
KMSES: Mapping[str, Kms] = {"memory:a": KMS}
STEP = CHUNK + TAG_LEN


def made(content: bytes, kmses: Mapping[str, Kms] = KMSES) -> bytes:
    pieces = [content[at : at + 1000] for at in range(0, len(content), 1000)]
    return b"".join(New.make(kmses).seal(pieces))


def opened(data: bytes, kmses: Mapping[str, Kms] = KMSES) -> bytes:
    file = BytesIO(data)
    return b"".join(container.open_(file, container.read_header(file), kmses))


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])
def test_what_goes_in_comes_out(length: int) -> None:
    content = os.urandom(length)
    data = made(content)
    assert opened(data) == content
    chunks = max(1, -(-length // CHUNK))
    assert len(data) == data.index(b"\n") + 1 + length + chunks * TAG_LEN


def test_two_backups_of_the_same_have_nothing_in_common() -> None:
    one, other = (made(b"x" * 5000).partition(b"\n")[2] for _ in "ab")
    assert not {one[at : at + 16] for at in range(len(one) - 15)} & {
        other[at : at + 16] for at in range(0, len(other), 16)
    }


def test_no_chunk_can_be_changed_moved_left_out_added_or_made_the_last() -> None:
    data = made(os.urandom(3 * CHUNK + 100))
    start = data.index(b"\n") + 1
    head, chunks = data[:start], [data[at : at + STEP] for at in range(start, len(data), STEP)]
    first, second, third, last = chunks
    for stream in (
        [second, first, third, last],
        [first, third, last],
        [first, second, third],
        [first, second],
        [first],
        [],
        [*chunks, last],
        [*chunks, b"\0"],
        [first, second, second, last],
        [first, second, third, last[:-1]],
        [first, second, third, last[:5]],
        [first[:-1] + bytes([first[-1] ^ 1]), second, third, last],
    ):
        with pytest.raises(Tampered, match="damaged in its chunk"):
            opened(head + b"".join(stream))
    other = made(os.urandom(3 * CHUNK + 100))
    with pytest.raises(Tampered):
        opened(head + other[other.index(b"\n") + 1 :])


def test_the_header_belongs_to_the_stream() -> None:
    two = {**KMSES, "memory:b": KMS}
    data = made(b"content", two)
    line, _, stream = data.partition(b"\n")
    body = json.loads(line)
    body["wraps"].reverse()
    with pytest.raises(Tampered):
        opened(json.dumps(body, separators=(",", ":")).encode() + b"\n" + stream)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "e4-sealed-state"},
        {"id": "AAAA"},
        {"id": None},
        {"check": ""},
        {"wraps": []},
        {"wraps": 3},
        {"wraps": [{"uri": "x"}]},
    ],
    ids=str,
)
def test_a_header_that_is_none_is_refused(change: dict[str, object]) -> None:
    line, _, stream = made(b"").partition(b"\n")
    with pytest.raises(InvalidInput) as caught:
        opened(json.dumps({**json.loads(line), **change}, separators=(",", ":")).encode() + b"\n" + stream)
    assert caught.value.kind == "bad_backup"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"SQLite format 3\0" * 99, b'{"format":"e4-backup"' + b" " * (2**20 + 1), b"[" * 9999]
)
def test_a_file_that_is_no_backup_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        opened(data)
    assert caught.value.kind == "bad_backup"


def test_any_of_its_kmses_opens_it_and_no_other() -> None:
    gone, there = MemoryKms(), MemoryKms()
    data = made(b"content", {"memory:gone": gone, "memory:there": there})
    gone.available = False
    assert opened(data, {"memory:gone": gone, "memory:there": there}) == b"content"
    assert opened(data, {"memory:there": there}) == b"content"
    with pytest.raises(KmsUnavailable):
        opened(data, {"memory:gone": gone})
    with pytest.raises(KmsError, match="the key of this backup is wrapped by none"):
        opened(data, {"other:x": there})
