# SPDX-License-Identifier: Apache-2.0
"""The guides work as they are typed, and the tests that they show notice what is wrong with what they test."""

from __future__ import annotations

import pytest

from tests.docs.desk import Step, desk, steps_of
from tests.servers import tool

PAGES = ("first-fleet", "write-a-kms-driver", "write-a-transport", "device-in-python", "prove-a-plugin")
"""Others are played where more is needed: ``keys-at-rest`` in `test_runbook`, and ``write-a-suite`` in `tests/examples`."""


@pytest.mark.parametrize("page", PAGES)
def test_a_guide_works_as_it_is_typed(page: str) -> None:
    steps = list(steps_of(page))
    assert sum(step.terminal != "" for step in steps) > 3
    for program, package in NEEDS.get(page, ()):
        tool(program, package)
    with desk() as reader:
        for step in steps:
            reader.do(step)


NEEDS = {
    "first-fleet": [("mosquitto_sub", "mosquitto-clients")],
    "write-a-kms-driver": [("openssl", "openssl")],
}

BROKEN = {
    "a tag that is not compared": ("write-a-suite", "raise AuthenticationFailed from None", 'return b""'),
    "associated data left out": ("write-a-suite", "text, associated_data)", "text, None)"),
    "another wire name": ("write-a-suite", 'wire_name="acme-chacha-sk-1"', 'wire_name="acme-chacha-sk-2"'),
    "a nonce that is always the same": ("write-a-suite", "encrypt(nonce, ", "encrypt(bytes(12), "),
    "a key that is not checked": ("write-a-suite", "        check_symmetric_key(raw)\n", ""),
    "a context that is not bound": (
        "write-a-kms-driver",
        'b"acme env kms v1 wrap " + context',
        'b"acme env kms v1 wrap "',
    ),
    "a key id that is always the same": ("write-a-kms-driver", "hmac.digest(key,", 'hmac.digest(b"",'),
    "a value in an error": (
        "write-a-kms-driver",
        "the variable {name} is no key",
        "the variable {name}={text} is no key",
    ),
    "no second try": ("write-a-transport", "for line, _ in self._unacknowledged.values():", "for line, _ in ():"),
    "no second subscription": ("write-a-transport", "for topic in self._filters:", "for topic in ():"),
    "an end that is not told": ("write-a-transport", "        self._inbox.close()\n", ""),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_the_tests_of_a_guide_notice(fault: str) -> None:
    page, right, wrong = BROKEN[fault]
    files = [step for step in steps_of(page) if not step.terminal]
    assert any(right in step.text for step in files)
    with desk() as reader:
        for step in files:
            reader.do(Step("", "", step.text.replace(right, wrong)))
        reader.do(Step("author", "fails", "$ python -m pytest -q -x\n...\n... failed...\n"))
