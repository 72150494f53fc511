# SPDX-License-Identifier: Apache-2.0
"""Who has put the port of the C2 into its settings is told how to say so to the other commands."""

from __future__ import annotations

from tests.cli.command import refused


def test_a_c2_that_is_not_found_may_be_elsewhere() -> None:
    url = "http://127.0.0.1:1"
    said = refused(17, "topics", "list", env={"E4_URL": url, "E4_TOKEN": "e4_x"})
    assert said == f"e4: no C2 answers at {url}; start it with e4 serve, or say with --url where it is"
