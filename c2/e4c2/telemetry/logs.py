# SPDX-License-Identifier: Apache-2.0
"""The log of the process: one handler for ours and for every library's, as text or as JSON lines, redacted."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, TextIO

from e4c2.telemetry.redaction import redact
from e4c2.telemetry.requests import request_id

FIELDS = "fields"
"""Attribute of a record, given as ``extra``: a mapping of what JSON lines show by names of their own."""
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def set_up(form: LogFormat, level: LogLevel, stream: TextIO = sys.stderr) -> None:
    """Send every logger of this process, warnings, and what ends a thread, to ``stream``, and nowhere else."""
    logging.basicConfig(level=level.upper(), handlers=[handler(form, stream)], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _thread_ended


def handler(form: LogFormat, stream: TextIO) -> logging.Handler:
    """What writes records to ``stream``."""
    made = logging.StreamHandler(stream)
    made.setFormatter(_FORMATTERS[form]())
    return made


class _Text(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        request = request_id.get()
        text = redact(record.getMessage()).translate(_ESCAPED)
        lines = [f"e4: {text} [{request}]" if request else f"e4: {text}"]
        return "\n".join(lines + [f"  {line}" for line in _frames(record)])


class _Json(logging.Formatter):
    """One object a line, for programs: time, level, logger, message, and where there is one request_id and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        made = datetime.fromtimestamp(record.created, UTC)
        told: dict[str, Any] = {
            "time": made.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        fields: Mapping[str, Any] = getattr(record, FIELDS, {})
        told |= {name: redact(value) if isinstance(value, str) else value for name, value in fields.items()}
        if request := request_id.get():
            told["request_id"] = request
        if frames := _frames(record):
            told["traceback"] = frames
        return json.dumps(told, default=lambda value: f"({type(value).__name__})")


_FORMATTERS: Mapping[LogFormat, type[logging.Formatter]] = {LogFormat.TEXT: _Text, LogFormat.JSON: _Json}


def _frames(record: logging.LogRecord) -> list[str]:
    """Where an error came from, and of which types it and its causes are; never their texts, which may quote values."""
    error = record.exc_info[1] if record.exc_info else None
    lines: list[str] = []
    while error is not None and len(lines) < 200:
        lines += [f"{type(error).__name__} at:", *_places(error.__traceback__)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


def _places(frames: TracebackType | None) -> list[str]:
    return [f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_tb(frames)]


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value or args.exc_type()
    logging.getLogger(__name__).error("a thread ended by an error", exc_info=error)
