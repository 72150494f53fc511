# SPDX-License-Identifier: Apache-2.0
"""What has arrived waits in order for whoever reads, and what is given up is not lost."""

from __future__ import annotations

import asyncio

import pytest

from e4core.inbox import Inbox


async def rest(inbox: Inbox[int]) -> list[int]:
    return [item async for item in inbox]


def test_what_arrived_before_it_was_closed_is_read_in_order() -> None:
    inbox = Inbox[int]()
    assert [inbox.put(number) for number in range(3)] == [True] * 3
    inbox.close()
    assert asyncio.run(rest(inbox)) == [0, 1, 2]


@pytest.mark.parametrize(("capacity", "kept"), [(0, []), (1, [4]), (3, [2, 3, 4]), (5, [0, 1, 2, 3, 4])])
def test_a_full_one_loses_the_oldest_and_says_so(capacity: int, kept: list[int]) -> None:
    inbox = Inbox[int](capacity)
    assert [inbox.put(number) for number in range(5)].count(False) == 5 - len(kept)
    inbox.close()
    assert asyncio.run(rest(inbox)) == kept


def test_an_error_ends_every_reader_after_what_is_still_there() -> None:
    async def story() -> list[object]:
        inbox = Inbox[int]()
        readers = [asyncio.create_task(rest(inbox)) for _ in range(3)]
        await asyncio.sleep(0)
        inbox.put(1)
        inbox.close(OSError("first"))
        inbox.close()
        inbox.close(OSError("second"))
        return [*await asyncio.gather(*readers, return_exceptions=True)]

    assert [str(each) for each in asyncio.run(story())] == ["first"] * 3


def test_a_read_that_is_given_up_loses_nothing() -> None:
    async def story() -> int:
        inbox = Inbox[int]()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(inbox), 0.01)
        inbox.put(1)
        return await anext(inbox)

    assert asyncio.run(story()) == 1
