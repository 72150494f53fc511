# SPDX-License-Identifier: Apache-2.0
"""How many statements a change costs on PostgreSQL and MariaDB, where each is a round trip: as many as are said for SQLite.

And that those which are others there come to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e4backends import pk as pk_suite
from e4backends import sk as sk_suite
from e4core.suite import Suite
from e4kms import file as kek_file
from tests.c2.shared import database
from tests.c2.test_bulk import (
    test_batch_costs_the_same_for_one_and_for_a_hundred,
    test_batch_with_a_former_c2_key_costs_the_same_for_one_and_for_a_hundred,
    test_removal_costs_little_more_for_twenty_than_for_one,
)
from tests.c2.test_endings import (
    test_a_question_for_an_operation_counts_it_once,
    test_who_follows_a_change_waits_for_the_same_as_its_event,
)
from tests.c2.test_retention import (
    test_an_operation_counts_what_is_off_the_record,
    test_it_costs_the_same_for_one_operation_and_a_hundred,
    test_to_who_never_reports_the_last_that_was_sent_is_kept,
    test_what_a_device_has_missed_stays_until_it_has_the_present,
    test_what_erases_a_key_stays_until_another_does,
    two,
)
from tests.c2.test_revocation import test_of_one_that_left_twice_the_first_time_and_the_nearer_end_count
from tests.c2.test_scale import (
    crowd,
    test_batch_in_which_all_must_wait_costs_no_more,
    test_commands_of_format_2_cost_the_same_for_one_device_and_five_hundred,
    test_eviction_that_waits_costs_the_same_for_one_member_and_five_hundred,
    test_join_costs_the_same_for_one_device_and_five_hundred,
    test_keys_of_the_c2_are_read_once_for_many_reports,
    test_new_c2_key_costs_the_same_for_one_client_and_for_a_thousand,
    test_removal_of_devices_with_a_topic_each_costs_little_more_for_thirty,
    test_rotation_costs_the_same_for_one_member_and_a_thousand,
    test_start_costs_the_same_whether_one_delivery_was_interrupted_or_a_thousand,
    test_what_the_broker_lost_is_written_down_by_a_handful_of_statements,
)
from tests.c2.world import World
from tests.core.suites2 import GCM_SK, SIV_PK
from tests.databases import DatabaseServer

__all__ = [
    "crowd",
    "database",
    "test_a_question_for_an_operation_counts_it_once",
    "test_batch_costs_the_same_for_one_and_for_a_hundred",
    "test_batch_in_which_all_must_wait_costs_no_more",
    "test_batch_with_a_former_c2_key_costs_the_same_for_one_and_for_a_hundred",
    "test_commands_of_format_2_cost_the_same_for_one_device_and_five_hundred",
    "test_eviction_that_waits_costs_the_same_for_one_member_and_five_hundred",
    "test_join_costs_the_same_for_one_device_and_five_hundred",
    "test_keys_of_the_c2_are_read_once_for_many_reports",
    "test_new_c2_key_costs_the_same_for_one_client_and_for_a_thousand",
    "test_of_one_that_left_twice_the_first_time_and_the_nearer_end_count",
    "test_removal_costs_little_more_for_twenty_than_for_one",
    "test_removal_of_devices_with_a_topic_each_costs_little_more_for_thirty",
    "test_rotation_costs_the_same_for_one_member_and_a_thousand",
    "test_start_costs_the_same_whether_one_delivery_was_interrupted_or_a_thousand",
    "test_what_the_broker_lost_is_written_down_by_a_handful_of_statements",
    "test_who_follows_a_change_waits_for_the_same_as_its_event",
    "test_an_operation_counts_what_is_off_the_record",
    "test_it_costs_the_same_for_one_operation_and_a_hundred",
    "test_to_who_never_reports_the_last_that_was_sent_is_kept",
    "test_what_a_device_has_missed_stays_until_it_has_the_present",
    "test_what_erases_a_key_stays_until_another_does",
    "two",
]


@pytest.fixture
def shared(database: DatabaseServer, tmp_path: Path) -> Iterator[Callable[[Suite], World]]:
    """Makes the world of a test, on a database of its own at a server."""
    made: list[World] = []
    kek_file.create(tmp_path / "kek.json")

    def make(suite: Suite) -> World:
        made.append(World(suite, database.make(), f"file://{tmp_path}/kek.json"))
        return made[-1]

    yield make
    for each in made:
        each.store.close()


@pytest.fixture
def sk(shared: Callable[[Suite], World]) -> World:
    return shared(sk_suite.SUITE)


@pytest.fixture
def pk(shared: Callable[[Suite], World]) -> World:
    return shared(pk_suite.SUITE)


@pytest.fixture
def sk2(shared: Callable[[Suite], World]) -> World:
    return shared(GCM_SK)


@pytest.fixture
def world(shared: Callable[[Suite], World]) -> World:
    return shared(SIV_PK)
