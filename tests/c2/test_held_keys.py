# SPDX-License-Identifier: Apache-2.0
"""For how long and how often the keys of the database are used without a KMS is as the settings say, also after a renewal."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from e4c2 import locksmith
from e4c2.app import open_c2
from e4c2.settings import Settings
from e4core.errors import KmsUnavailable
from e4kms.keyring import Keyring
from tests.c2.served import settings_in

USES = 1000


def is_over_after(keyring: Keyring, uses: int) -> bool:
    for _ in range(uses):
        with contextlib.suppress(KmsUnavailable):
            keyring.lookup(b"x")
    return not keyring.seconds_left


@pytest.mark.parametrize(("allowed", "is_over"), [(USES, True), (2 * USES + 100, False)])
def test_keys_are_opened_anew_after_as_many_uses_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, is_over: bool
) -> None:
    monkeypatch.setattr(locksmith, "LOOK_EVERY_S", 0.01)

    async def use(settings: Settings) -> None:
        async with open_c2(settings) as (c2, _):
            keyring = c2.realm.keyring
            for _ in range(2):
                assert is_over_after(keyring, USES) is is_over
                working = asyncio.create_task(c2.locksmith.run())
                while keyring.half_over and not working.done():
                    await asyncio.wait((working,), timeout=0.01)
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)

    asyncio.run(use(settings_in(tmp_path, keys_used=allowed)))
