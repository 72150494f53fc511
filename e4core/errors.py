# SPDX-License-Identifier: Apache-2.0
"""Every error of this project, in one tree, with leaves by what the caller can do about it.

``kind`` is the neutral name of `wire.md` for the very check that failed (``bad_length``, ``not_authentic`` ...): stable, fit for
counters and vectors. The text is for people, names no secret and ends with what to do where something can be done.
"""

from __future__ import annotations


class E4Error(Exception):
    """Root of all errors that this project raises on purpose."""

    kind = "error"

    def __init__(self, message: str = "", *, kind: str = "") -> None:
        super().__init__(message or _clause(type(self).__doc__ or self.kind))
        if kind:
            self.kind = kind


def _clause(sentence: str) -> str:
    """``sentence`` as the other texts are: it may follow a name and a colon."""
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


class InvalidInput(E4Error, ValueError):
    """The input has the wrong form; the same input will never be accepted."""

    kind = "invalid_input"


class AuthenticationFailed(E4Error):
    """The data was not made by the holder of the key, or was changed on its way."""

    kind = "not_authentic"


class NotFresh(E4Error):
    """Authentic perhaps, but not acceptable at this moment."""

    kind = "not_fresh"


class Replayed(NotFresh):
    """This very message was accepted before."""

    kind = "replayed"


class TooOld(NotFresh):
    """The timestamp is too far in the past; check the clocks of both ends."""

    kind = "timestamp_old"


class InFuture(NotFresh):
    """The timestamp lies in the future; check the clocks of both ends."""

    kind = "timestamp_future"


class ClockUnset(NotFresh):
    """This device has no clock that it trusts; it waits for the time from the C2."""

    kind = "clock_unset"


class RateExceeded(E4Error):
    """Too many equal messages in a few seconds; wait a second and send again."""

    kind = "rate_exceeded"

    def __init__(self, message: str = "", *, kind: str = "", wait_s: int | None = None) -> None:
        """Args: wait_s: seconds until it may go on, where they are known."""
        super().__init__(message, kind=kind)
        self.wait_s = wait_s


class UnknownKey(E4Error):
    """No key is held for this topic or sender; ask the C2 for it."""

    kind = "key_missing"


class UnsupportedSuite(E4Error):
    """The suite or the operation in it is not supported here."""

    kind = "unsupported"


class PluginError(E4Error):
    """A plugin is missing, ambiguous, or does not load."""

    kind = "plugin"


class KmsError(E4Error):
    """The key management service refused."""

    kind = "kms"


class KeyNotFound(KmsError):
    """The key encryption key does not exist there."""

    kind = "kms_key_not_found"


class KmsDenied(KmsError):
    """The key management service does not let us in, or not do this; mend PIN, token or policy. Never tried again by itself."""

    kind = "kms_denied"


class KmsUnavailable(KmsError):
    """The key management service cannot be reached now; try again later."""

    kind = "kms_unavailable"


class Tampered(KmsError):
    """What was stored is not what was written: an integrity alarm, never a reason to try elsewhere."""

    kind = "tampered"


class TransportError(E4Error):
    """The broker cannot be reached, refused, or the link was lost."""

    kind = "transport"


class IssuerUnavailable(TransportError):
    """The issuer of this token cannot be asked for its keys now; try again later, or show a token of the C2."""

    kind = "issuer_unavailable"


class StorageError(E4Error):
    """A file or database cannot be read or written as it must be."""

    kind = "storage"


class NotFound(E4Error):
    """There is no such thing on this C2."""

    kind = "not_found"


class Conflict(E4Error):
    """The thing exists already, or its state does not allow this."""

    kind = "conflict"


class Denied(E4Error):
    """The caller is not allowed to do this."""

    kind = "denied"


class ApprovalNeeded(Denied):
    """Another principal has to approve this first."""

    kind = "approval_needed"

    def __init__(self, message: str = "", *, kind: str = "", approval: str = "") -> None:
        """Args: approval: id of the one that is waited for."""
        told = f"another has to approve this ({approval}): e4 approvals approve {approval}; then repeat it with that id"
        super().__init__(message or (told if approval else ""), kind=kind)
        self.approval = approval
