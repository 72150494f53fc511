# SPDX-License-Identifier: Apache-2.0
"""Topic names and topic filters as MQTT has them (MQTT 5.0, section 4.7)."""

from __future__ import annotations

from e4core.errors import InvalidInput

MAX_LEN = 65_535
"""Longest topic name or filter, in bytes of UTF-8 (MQTT 5.0, section 4.7.3)."""


def check_topic(topic: str) -> None:
    """Accept a topic to publish to. Raises: InvalidInput: empty, longer than 65,535 B, or with ``+``, ``#`` or NUL in it."""
    _check_text(topic)
    if "+" in topic or "#" in topic:
        raise InvalidInput("a topic to publish to has no wildcard (+ or #)", kind="bad_topic")


def check_filter(topic: str) -> None:
    """Accept a topic to subscribe to. Raises: InvalidInput: as `check_topic`, or a wildcard that is not a level of its own."""
    _check_text(topic)
    levels = topic.split("/")
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels) or "#" in levels[:-1]:
        raise InvalidInput("the wildcards + and # stand for whole levels, and # only for the last", kind="bad_topic")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether ``topic`` falls under ``topic_filter``; a leading wildcard does not cover ``$`` topics (section 4.7.2)."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    wanted, given = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(want in ("+", level) for want, level in zip(wanted, given, strict=True))


def _check_text(topic: str) -> None:
    try:
        length = len(topic.encode())
    except UnicodeEncodeError:
        raise InvalidInput("a topic is valid UTF-8 text", kind="bad_topic") from None
    if not 0 < length <= MAX_LEN or "\0" in topic:
        raise InvalidInput("a topic has 1 to 65,535 bytes of UTF-8 and no NUL", kind="bad_topic")
