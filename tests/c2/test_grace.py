# SPDX-License-Identifier: Apache-2.0
"""For how long devices read what was protected under a former key: in Format 2 the C2 says it, and so its operator does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from e4c2 import clients, topics
from e4c2.app import open_c2
from e4c2.model import Reason
from e4c2.settings import Settings, load
from e4core.command2 import SetPubKey, SetTopicKey
from e4core.errors import InvalidInput
from e4core.message import GRACE_S
from tests.c2.served import settings_in
from tests.c2.world import World


def test_the_grace_holds_for_topic_keys_and_for_public_keys(pk2: World) -> None:
    for name in "ab":
        pk2.add(name)
    pk2.befriend("a", "b")
    pk2.topic("t", "a")
    pk2.realm = replace(pk2.realm, grace_s=60)
    now, before = int(pk2.clock.now), len(pk2.wire)
    pk2.do(topics.rotate, "t")
    pk2.do(clients.new_key, "b", Reason.ROUTINE)
    pk2.settle_down()
    told = [each for _, each in pk2.sent_to("a", before)]
    assert {each.older_until - now for each in told if isinstance(each, SetTopicKey)} == {60}
    assert {60 <= each.old_until - now < 80 for each in told if isinstance(each, SetPubKey)} == {True}


def grace_in(settings: Settings) -> int:
    async def story() -> int:
        async with open_c2(settings) as (c2, _):
            return c2.realm.grace_s

    return asyncio.run(story())


def test_the_setting_is_what_the_c2_uses(tmp_path: Path) -> None:
    assert grace_in(settings_in(tmp_path / "a", suite="fips-sk")) == GRACE_S
    assert grace_in(settings_in(tmp_path / "b", suite="fips-sk", grace_s=0)) == 0


def test_where_devices_have_a_grace_of_their_own_no_other_is_accepted(tmp_path: Path) -> None:
    assert grace_in(settings_in(tmp_path / "a", grace_s=GRACE_S)) == GRACE_S
    with pytest.raises(InvalidInput, match="leave out grace_s") as caught:
        grace_in(settings_in(tmp_path / "b", grace_s=60))
    assert caught.value.kind == "bad_setting"
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("seconds", ["-1", "2592001", "0.5", "'x'"])
def test_a_grace_out_of_bounds_is_refused(tmp_path: Path, seconds: str) -> None:
    file = tmp_path / "e4.toml"
    file.write_text(f"grace_s = {seconds}")
    with pytest.raises(InvalidInput, match="grace_s"):
        load(file)
