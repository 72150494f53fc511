# SPDX-License-Identifier: Apache-2.0
"""One requirement for each section of stories."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from e4conformance.ports import stories
from e4conformance.ports.book import must, should
from e4conformance.ports.sections import name_of
from e4conformance.ports.subject import PortSubject

_ADVICE = "see its lines with e4 -v conformance port ... --only and this id, and compare the named step with the source"


class _Told(NamedTuple):
    number: str
    section: str
    source: str
    says: str


_STRICT = (
    _Told("E4-PMSG-101", "message_replay", "wire.md section 12, no. 1", "no message is accepted twice"),
    _Told("E4-PMSG-102", "clock_skew", "wire.md section 4", "a timestamp is accepted within its window alone"),
    _Told("E4-PSTA-101", "restarts", "wire.md section 12, no. 1", "nothing is accepted twice over restarts"),
    _Told("E4-PCMD-101", "command_order", "wire.md section 12, no. 2", "commands are obeyed once, and in order"),
    _Told("E4-PCMD-102", "refused_commands", "wire.md section 7", "keys that are none are refused"),
    _Told("E4-PEPO-101", "previous_keys", "wire.md section 8", "the previous key of a topic opens for an hour"),
    _Told("E4-PREP-101", "reports", "format2.md section 4.3", "acknowledgements and hellos in Format 1"),
)
_FORMAT2 = (
    _Told("E4-PMSG-111", "receiving", "format2.md section 2.5", "the first check that fails refuses a message"),
    _Told("E4-PMSG-112", "validity", "format2.md section 2.5", "timestamps hold against validity and skew"),
    _Told("E4-PMSG-113", "replays", "format2.md section 2.6", "no sequence of a session is accepted twice"),
    _Told("E4-PMSG-114", "sending", "format2.md section 2.3", "sessions, sequences and epochs of own messages"),
    _Told("E4-PMSG-115", "two_signatures", "format2.md section 1.1", "both signatures must verify"),
    _Told("E4-PSTA-111", "restarts", "format2.md section 2.7", "nothing is accepted twice over restarts"),
    _Told("E4-PCMD-111", "command_order", "format2.md section 3.3", "commands are obeyed once, and in order"),
    _Told("E4-PCMD-112", "refused_containers", "format2.md section 3.3", "what does not open is met with silence"),
    _Told("E4-PCMD-113", "refused_commands", "format2.md section 3.4", "each refusal has its reason, changes nothing"),
    _Told("E4-PCMD-114", "own_keys", "format2.md section 3.5", "the device's and the C2's keys change"),
    _Told("E4-PCMD-115", "public_keys", "format2.md section 3.4", "senders' keys come, change and go"),
    _Told("E4-PEPO-111", "epochs", "format2.md section 3.4", "epochs come, end and are erased"),
    _Told("E4-PREP-111", "reports", "format2.md section 4.4", "hellos, and devices without a clock"),
)


def _tell(subject: PortSubject, kind: str, section: str) -> str:
    return stories.play(subject, kind, section)


for _kind, _all in {"strict": _STRICT, "format2": _FORMAT2}.items():
    for _told in _all:
        must(
            _told.number,
            f"all stories of {_told.section}: {_told.says}",
            source=_told.source,
            advice=_ADVICE,
            needs=name_of(_kind, _told.section),
        )(partial(_tell, kind=_kind, section=_told.section))

should(
    "E4-PMSG-103",
    "all stories of sending: own messages of Format 1 are dated back by 2 s, and equal ones step to other seconds",
    source="wire.md section 12, no. 1 and 14",
    advice="e4go tolerates no sender ahead of it, and receivers take equal bytes for a replay; choose timestamps as the stories do",
    needs=name_of("strict", "sending"),
)(partial(_tell, kind="strict", section="sending"))
