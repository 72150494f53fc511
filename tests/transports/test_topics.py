# SPDX-License-Identifier: Apache-2.0
"""Topic filters against the examples of MQTT 5.0, section 4.7."""

from __future__ import annotations

import pytest

from e4transports.topics import matches

_P = "sport/tennis/player1"


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        (f"{_P}/#", _P, True),
        (f"{_P}/#", f"{_P}/ranking", True),
        (f"{_P}/#", f"{_P}/score/wimbledon", True),
        ("#", "anything/at/all", True),
        ("sport/tennis/+", _P, True),
        ("sport/tennis/+", f"{_P}/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("+/tennis/#", "sport/tennis", True),
        ("sport/#", "sports", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("ACCOUNTS", "Accounts", False),
    ],
)
def test_filters_cover_what_the_specification_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected
