# SPDX-License-Identifier: Apache-2.0
"""The guide about AWS KMS works as it is typed, on moto."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest

from tests.docs.desk import desk, steps_of
from tests.kms.awskms.servers import moto_program
from tests.servers import free_port


def test_the_guide_works_as_it_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    moto_program()
    port = free_port()
    with desk() as reader:
        monkeypatch.setenv("HOME", str(reader.folder))
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for step in steps_of("kms-aws"):
            reader.do(replace(step, text=re.sub(r"(127\.0\.0\.1(?::| -p ))5000", rf"\g<1>{port}", step.text)))
        assert not (reader.folder / "e4-data" / "kek.json").exists()
