# SPDX-License-Identifier: Apache-2.0
"""The sizes on the page *Suites against quantum computers* are those of the code."""

from __future__ import annotations

import re

import pytest

from e4core.formats import overheads
from tests.docs.desk import GUIDES
from tests.suites import installed

PAGE = (GUIDES / "post-quantum.md").read_text()
ROWS = {
    name: re.findall(r"[\d,]+", rest)
    for names, rest in re.findall(r"^\| (`[^|]*) \| (n \+ .*\|)$", PAGE, re.M)
    for name in re.findall(r"`([\w-]+)`", names)
}
"""Suite -> message, command, public key, stored private key, signature, and in Format 2 KEM ciphertext."""


def test_all_suites_of_the_page_are_in_its_table() -> None:
    assert set(ROWS) == {"pk", "pq", "pq-pyca", "pq-hybrid", "pq-falcon", "pq-slh"}


@pytest.mark.parametrize("name", ROWS)
def test_the_sizes_are_those_of_the_code(name: str) -> None:
    suite = installed(name)
    assert suite.signature
    signature_len, device = suite.signature.signature_len, suite.device
    shown = [int(cell.replace(",", "")) for cell in ROWS[name]]
    sizes = [*overheads(suite), device.public_len, device.private_len, signature_len]
    if suite.format == 2:
        sizes.append(suite.control.overhead - suite.aead.tag_len - signature_len)
    assert shown == sizes
