# SPDX-License-Identifier: Apache-2.0
"""What each exit status of ``e4`` means: one table."""

from __future__ import annotations

from dataclasses import dataclass

from e4core.errors import (
    ApprovalNeeded,
    AuthenticationFailed,
    Conflict,
    Denied,
    E4Error,
    InvalidInput,
    KeyNotFound,
    KmsDenied,
    KmsError,
    KmsUnavailable,
    NotFound,
    NotFresh,
    PluginError,
    RateExceeded,
    StorageError,
    Tampered,
    TransportError,
    UnknownKey,
    UnsupportedSuite,
)

OK = 0
USAGE = 2
INTERNAL = 70
INTERRUPTED = 130
CLOSED_PIPE = 141


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    name: str
    meaning: str


_OF_ERRORS: dict[type[E4Error], Exit] = {
    E4Error: Exit(
        1,
        "error",
        "any other error; of e4 conformance: the subject does not conform; of e4 doctor: a check fails",
    ),
    InvalidInput: Exit(3, "invalid_input", "an input has the wrong form: a key, a name, a message, a file"),
    AuthenticationFailed: Exit(4, "not_authentic", "not made by the holder of the key, changed, or a wrong passphrase"),
    NotFresh: Exit(5, "not_fresh", "accepted before, too old, from the future, or without a clock to tell"),
    UnknownKey: Exit(6, "unknown_key", "no key is held for this topic or sender"),
    RateExceeded: Exit(7, "rate_exceeded", "too many in too short a time; try again later"),
    NotFound: Exit(8, "not_found", "there is no such thing"),
    Conflict: Exit(9, "conflict", "it exists already, is in use, or its state does not allow this"),
    Denied: Exit(10, "denied", "not allowed to the caller"),
    UnsupportedSuite: Exit(11, "unsupported", "the suite, or the operation in it, is not supported"),
    PluginError: Exit(12, "plugin", "a plugin is missing, ambiguous, or does not load"),
    KmsError: Exit(13, "kms", "the key management service refused"),
    KmsUnavailable: Exit(14, "kms_unavailable", "the key management service cannot be reached now"),
    KeyNotFound: Exit(15, "kms_key_not_found", "the key encryption key does not exist there"),
    Tampered: Exit(16, "tampered", "what was stored is not what was written: an integrity alarm"),
    TransportError: Exit(
        17,
        "transport",
        "the broker cannot be reached, refused, or the link was lost; of --wait: not all is done in time",
    ),
    StorageError: Exit(18, "storage", "a file or database cannot be read or written as it must be"),
    ApprovalNeeded: Exit(20, "approval_needed", "another has to approve it first; then repeat it with --approval ID"),
    KmsDenied: Exit(19, "kms_denied", "the key management service does not let us in, or not do this"),
}

TABLE: tuple[Exit, ...] = tuple(
    sorted(
        (
            Exit(OK, "ok", "done"),
            Exit(USAGE, "usage", "the command line is not understood"),
            Exit(INTERNAL, "internal", "a bug; set E4_DEBUG=1 for the traceback, and report it"),
            Exit(INTERRUPTED, "interrupted", "Ctrl-C"),
            Exit(CLOSED_PIPE, "closed_pipe", "whoever read the output has gone"),
            *_OF_ERRORS.values(),
        ),
        key=lambda exit_: exit_.code,
    )
)


def code_of(error: E4Error) -> int:
    """Exit status for ``error``: that of its nearest class in the table."""
    return next(_OF_ERRORS[kind].code for kind in type(error).__mro__ if kind in _OF_ERRORS)
