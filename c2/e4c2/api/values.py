# SPDX-License-Identifier: Apache-2.0
"""Values as they stand in paths, queries and bodies, parsed at this edge and nowhere else."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from e4c2.departures import WAITS_AT_MOST_S
from e4core.errors import InvalidInput
from e4core.keys import Secret

T = TypeVar("T")

LIMIT_MAX = 1000
LIMIT = 100

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$"), Field(description="16 bytes in hexadecimal")]


NUMBER = r"[0-9]{1,18}"
"""Shape of what a list that is sorted by a number goes on after."""

Wait = Annotated[
    float | None,
    Field(
        ge=0,
        le=WAITS_AT_MOST_S,
        description="seconds for which others may leave before the re-key, then one for all; without it, as the settings say",
    ),
]


def _key(value: object) -> Secret:
    try:
        if isinstance(value, str):
            return Secret(base64.b64decode(value, validate=True))
    except ValueError:
        pass
    # raised out here, for the value must not stay in a chained error
    raise PydanticCustomError("base64", "should be standard base64 with padding")


Base64 = Annotated[
    bytes,
    PlainValidator(_key),
    WithJsonSchema({"type": "string", "format": "byte"}),
]

DeviceKey = Annotated[
    Secret,
    PlainValidator(_key),
    WithJsonSchema({"type": "string", "format": "byte", "writeOnly": True}),
    Field(description="what the C2 knows of a device: its 32-byte key in symmetric suites, else its public key"),
]

Prefix = Annotated[
    str, StringConstraints(pattern=r"^[^\x00]*$", max_length=512), Field(description="only those whose names begin so")
]


class Body(BaseModel):
    """The body of a request; a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Parameters(BaseModel):
    """The query of a request; a parameter that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paging(Parameters):
    limit: int = Field(LIMIT, ge=1, le=LIMIT_MAX, description="number of items at most")
    cursor: str | None = Field(None, max_length=4096, description="`next` of the page before")

    def after(self, shape: str = r"[^\0]+") -> str:
        """What the last item before this page is known by; empty on the first page. Raises: InvalidInput."""
        if self.cursor is None:
            return ""
        text = _decoded(self.cursor)
        if not re.fullmatch(shape, text, re.DOTALL | re.ASCII):
            raise InvalidInput("this cursor was not made here; begin without one", kind="bad_cursor")
        return text


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None = Field(description="`cursor` of the next page; null on the last")


def page(rows: Sequence[T], limit: int, mark: Callable[[T], str]) -> Page[T]:
    """The first ``limit`` of ``rows``, of which one more was read; ``mark`` is what the list is sorted by."""
    items = list(rows[:limit])
    more = len(rows) > limit
    return Page(items=items, next=cursor(mark(items[-1])) if more else None)


def cursor(mark: str) -> str:
    """What `Paging.after` reads."""
    return base64.urlsafe_b64encode(mark.encode()).decode()


def _decoded(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, b"-_", validate=True).decode()
    except ValueError:
        return ""
