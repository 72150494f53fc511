# SPDX-License-Identifier: Apache-2.0
"""The guides about KMSes that need no service work as they are typed."""

from __future__ import annotations

import pytest

from tests.docs.desk import desk, steps_of
from tests.servers import tool


@pytest.mark.parametrize("page", ["kms-file-and-passphrase", "kms-threshold"])
def test_the_guide_works_as_it_is_typed(page: str) -> None:
    tool("openssl", "openssl")
    steps = list(steps_of(page))
    assert {"operator", "c2"} <= {step.terminal for step in steps}
    with desk() as reader:
        for step in steps:
            reader.do(step)
