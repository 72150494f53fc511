# SPDX-License-Identifier: Apache-2.0
"""Long lists are read page by page: everything once, in order, whatever comes and goes meanwhile."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.c2.served import Served, created, operation, problem, serving, settings_in

MANY = 120
NAMES = [f"{'äb/Z'[n % 4]}{n:03}" for n in range(MANY)]


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With 120 topics, 120 clients that are members of the first topic, and so 120 commands."""
    with serving(settings_in(tmp_path_factory.mktemp("c2"))) as served:
        for name in NAMES:
            served.topic(name)
        members = [served.client(name) for name in NAMES]
        (first,) = served.http.get("/v1/topics", params={"name": NAMES[0]}).json()["items"]
        operation(served.http.post(f"/v1/topics/{first['id']}/members", json={"clients": members}))
        yield served


def pages(c2: Served, path: str, **query: Any) -> list[list[Any]]:
    """All pages of a list."""
    found, cursor = [], None
    while True:
        answer = c2.http.get(path, params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        cursor = answer.json()["next"]
        if cursor is None:
            return found


def items(c2: Served, path: str, **query: Any) -> list[Any]:
    return [item for page in pages(c2, path, **query) for item in page]


def first_topic(c2: Served) -> str:
    return str(c2.http.get("/v1/topics", params={"name": NAMES[0]}).json()["items"][0]["id"])


@pytest.mark.parametrize("limit", [1000, 120, 60, 47, 7])
@pytest.mark.parametrize("path", ["/v1/topics", "/v1/clients", "/v1/topics/{first}/members"])
def test_every_item_comes_once_and_in_order(c2: Served, path: str, limit: int) -> None:
    names = [item["name"] for item in items(c2, path.replace("{first}", first_topic(c2)), limit=limit)]
    assert names == sorted(NAMES)


@pytest.mark.parametrize("path", ["/v1/topics", "/v1/clients"])
def test_a_list_may_be_of_names_that_begin_so(c2: Served, path: str) -> None:
    for prefix in ("ä", "Z", "Z0", "z", "", "b001", "nobody"):
        found = [item["name"] for item in items(c2, path, prefix=prefix, limit=7)]
        assert found == sorted(name for name in NAMES if name.startswith(prefix))
    assert items(c2, path, prefix="ä", name=NAMES[1]) == []
    assert len(items(c2, path, prefix="ä", name=NAMES[0])) == 1
    problem(c2.http.get(path, params={"prefix": "\0"}), 422, "invalid_input")


def test_the_last_page_may_be_full_and_then_none_follows(c2: Served) -> None:
    assert [len(page) for page in pages(c2, "/v1/topics", limit=60)] == [60, 60]


def test_a_page_has_100_items_unless_asked_otherwise(c2: Served) -> None:
    assert [len(page) for page in pages(c2, "/v1/topics")] == [100, 20]


def test_commands_are_paged_by_number(c2: Served) -> None:
    numbers = [command["id"] for command in items(c2, "/v1/commands", limit=60)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == MANY


def test_tokens_are_paged(c2: Served) -> None:
    made = {created(c2.http.post("/v1/tokens", json={"name": f"t{n}", "grants": []}))["id"] for n in range(9)}
    listed = [token["id"] for token in items(c2, "/v1/tokens", limit=4)]
    assert listed == sorted(set(listed))
    assert len(made - set(listed)) == 0


def test_what_comes_and_goes_meanwhile_moves_nothing_else(c2: Served) -> None:
    first = c2.http.get("/v1/clients", params={"limit": 100}).json()
    c2.client("!before everything")
    seen = [client["name"] for client in first["items"]]
    rest = items(c2, "/v1/clients", limit=100, cursor=first["next"])
    assert seen + [client["name"] for client in rest] == sorted(NAMES)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "1e3", "x", "", "9" * 5000, "1.5"])
def test_limits_out_of_bounds_are_refused(c2: Served, limit: str) -> None:
    problem(c2.http.get("/v1/clients", params={"limit": limit}), 422, "invalid_input")


def cursor(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v1/clients", "%%%"),
        ("/v1/clients", "YQ"),
        ("/v1/clients", ""),
        ("/v1/clients", cursor(b"\xff\xfe")),
        ("/v1/clients", cursor(b"a\0b")),
        ("/v1/clients", "A" * 8192),
        ("/v1/commands", cursor(b"x")),
        ("/v1/commands", cursor(b"-1")),
        ("/v1/commands", cursor(b"9" * 30)),
        ("/v1/commands", cursor("\u0661".encode())),
        ("/v1/tokens", cursor(b"zz")),
        ("/v1/tokens", cursor(b"ab")),
    ],
)
def test_cursors_that_were_not_made_here_are_refused(c2: Served, path: str, text: str) -> None:
    problem(c2.http.get(path, params={"cursor": text}), 422)
