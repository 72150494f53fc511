# SPDX-License-Identifier: Apache-2.0
"""``e4 topics protect`` and ``unprotect``: by a C2 that does so for others; nothing is published."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from typing import NamedTuple

from e4cli import payloads
from e4cli.api_client import Api
from e4cli.asking import reports
from e4cli.output import Output, Row, show_record
from e4cli.payloads import Base64Option, InOption, OutOption
from e4cli.topics import TopicArgument


class _Told(NamedTuple):
    """``row``: for scripts."""

    row: Row
    data: bytes
    out: Path | None


def _tell(output: Output, told: _Told) -> None:
    if output is Output.TABLE:
        payloads.write(told.out, told.data)
    else:
        show_record(output, told.row)


@reports(_tell)
def protect(
    api: Api, topic: TopicArgument, in_: InOption = None, out: OutOption = None, base64: Base64Option = False
) -> _Told:
    """Have the C2 protect one message: payload in, protected message out; in suites without signatures."""
    row = api.post(f"{api.topic(topic)}/protect", {"payload": b64encode(payloads.read(in_)).decode()})
    text = str(row["message"])
    return _Told(row, text.encode() + b"\n" if base64 else b64decode(text), out)


@reports(_tell)
def unprotect(
    api: Api, topic: TopicArgument, in_: InOption = None, out: OutOption = None, base64: Base64Option = False
) -> _Told:
    """Have the C2 check one protected message and give its payload, once; with --output json or csv also who sent it, and when."""
    data = payloads.read(in_)
    message = payloads.unbase64(data) if base64 else data
    row = api.post(f"{api.topic(topic)}/unprotect", {"message": b64encode(message).decode()})
    return _Told(row, b64decode(str(row["payload"])), out)
