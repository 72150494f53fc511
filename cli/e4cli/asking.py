# SPDX-License-Identifier: Apache-2.0
"""Commands that ask a C2: what they have in common, as decorators.

A command is a function from an `Api` and its own options to an answer. `shows`, `lists` and `changes` say what becomes of the
answer, and add the options that all have: where the C2 is, who asks, and how to print.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from inspect import Parameter
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from e4cli.api_client import Api, Document
from e4cli.connection import DEFAULT_URL
from e4cli.output import Output, OutputOption, Row, Value, show_record, show_rows
from e4cli.reaching import REACHING, CaOption, ProfileOption, TokenFileOption, UrlOption, open_api
from e4core.errors import InvalidInput

P = ParamSpec("P")
Command = Callable[..., None]

_TIMES = frozenset(
    {"begun", "converged", "created", "expires", "last_report", "rekey_by", "requested", "rotated", "since"}
    | {"activated", "deadline", "ended", "failing_since", "next_try", "made", "restored", "time"}
)


class Reason(StrEnum):
    """Why a key is changed."""

    ROUTINE = "routine"
    COMPROMISED = "compromised"


ApprovalOption = Annotated[
    str | None,
    typer.Option("--approval", metavar="ID", help="That another has given for this very change; see e4 approvals."),
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Show the first N, not all.")]
PrefixOption = Annotated[str, typer.Option("--prefix", metavar="TEXT", help="Only those whose names begin so.")]
WaitOption = Annotated[
    bool,
    typer.Option(
        "--wait", help="End when devices that report have confirmed its commands, and to all others they are sent."
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask whether this is meant.")]
WaitSecondsOption = Annotated[
    float | None,
    typer.Option(
        "--wait-s", min=0, metavar="SECONDS", help="Let others leave so long, then re-key once for all; 0: at once."
    ),
]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="Wait so long at most.")]


def shows(asks: Callable[Concatenate[Api, P], Row]) -> Command:
    """A command whose answer is one thing."""
    return _command(asks, lambda _api, output, answer: show_record(output, readable(output, answer)), _APPROVAL)


def lists(asks: Callable[Concatenate[Api, P], Iterable[Row]]) -> Command:
    """A command whose answer is a list."""
    return _command(asks, lambda _api, output, rows: show_rows(output, [readable(output, row) for row in rows]))


def reports(show: Callable[[Output, Any], None]) -> Callable[[Callable[Concatenate[Api, P], Any]], Command]:
    """A command whose answer ``show`` prints."""
    return lambda asks: _command(asks, lambda _api, output, answer: show(output, answer), _APPROVAL)


def changes(asks: Callable[Concatenate[Api, P], Document]) -> Command:
    """A command whose answer is an operation, which ``--wait`` follows."""
    return _command(asks, _follow, *_WAITING)


def begins(path: Callable[[Document], str]) -> Callable[[Callable[Concatenate[Api, P], Document]], Command]:
    """A command whose answer names the ``operation`` that it has begun, which ``--wait`` follows; then it is shown anew.

    Args: path: where what was answered is shown.
    """

    def finish(api: Api, output: Output, answer: Document, wait: bool, timeout: float) -> None:
        from e4cli import following

        if not wait:
            show_record(output, readable(output, answer))
            return
        operation = following.follow(api, Document(id=answer["operation"]), timeout)
        show_record(output, readable(output, api.get(path(answer))))
        following.check(operation, timeout)

    return lambda asks: _command(asks, finish, *_WAITING)


def make_sure(yes: bool, what: str) -> None:
    """Go on only if this is meant; ``what`` says what it does.

    Raises: typer.BadParameter: there is nobody to ask. typer.Abort: it is not.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter(f"{what}; if that is meant, say --yes")
    typer.confirm(f"{what}. Go on?", abort=True, err=True)


def hex_id(text: str) -> str:
    """``text`` as it may stand in a path. Raises: InvalidInput (``bad_id``)."""
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise InvalidInput("an id is 16 bytes, written as 32 hexadecimal digits", kind="bad_id")
    return text.lower()


_CONNECTION = (
    Parameter("url", Parameter.KEYWORD_ONLY, default=DEFAULT_URL, annotation=UrlOption),
    Parameter("token_file", Parameter.KEYWORD_ONLY, default=None, annotation=TokenFileOption),
    Parameter("ca", Parameter.KEYWORD_ONLY, default=None, annotation=CaOption),
    Parameter("profile", Parameter.KEYWORD_ONLY, default=None, annotation=ProfileOption),
    Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context),
    Parameter("output", Parameter.KEYWORD_ONLY, default=Output.TABLE, annotation=OutputOption),
)
_APPROVAL = Parameter("approval", Parameter.KEYWORD_ONLY, default=None, annotation=ApprovalOption)
_WAITING = (
    _APPROVAL,
    Parameter("wait", Parameter.KEYWORD_ONLY, default=False, annotation=WaitOption),
    Parameter("timeout", Parameter.KEYWORD_ONLY, default=60.0, annotation=TimeoutOption),
)


def _command(asks: Callable[..., Any], finish: Callable[..., None], *options: Parameter) -> Command:
    """Args: finish: called with the API, how to print, the answer, and the values of ``options``."""
    own = list(inspect.signature(asks, eval_str=True).parameters.values())[1:]

    @functools.wraps(asks)
    def run(*, context: typer.Context, output: Output, approval: str | None = None, **values: Any) -> None:
        rest = {option.name: values.pop(option.name) for option in options if option is not _APPROVAL}
        with open_api(context, **{name: values.pop(name) for name in REACHING}) as api:
            api.approval = None if approval is None else hex_id(approval)
            finish(api, output, asks(api, **values), **rest)

    parameters = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*own, *options, *_CONNECTION)]
    # this is what Typer reads
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _follow(api: Api, output: Output, operation: Document, wait: bool, timeout: float) -> None:
    from e4cli import following

    if wait:
        operation = following.follow(api, operation, timeout)
    show_record(output, readable(output, operation))
    if wait:
        following.check(operation, timeout)


def readable(output: Output, row: Row) -> Row:
    """Times as people read them; programs get Unix seconds."""
    return row if output is not Output.TABLE else {name: _for_people(name, value) for name, value in row.items()}


def _for_people(name: str, value: Value) -> Value:
    match value:
        case list():
            return [_for_people(name, each) for each in value]
        case dict():
            return {inner: _for_people(inner, each) for inner, each in value.items()}
        case _:
            return _time(value) if name in _TIMES else value


def _time(value: object) -> str | None:
    if not isinstance(value, int | float):
        return None
    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%SZ}"
