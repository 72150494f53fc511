# SPDX-License-Identifier: Apache-2.0
"""What a PKCS#11 token may answer, and which of our errors that is: the one place where its errors become ours."""

from __future__ import annotations

import pkcs11

from e4core.errors import KeyNotFound, KmsDenied, KmsError, KmsUnavailable

_Answer = tuple[type[KmsError], str, str]
"""Error, kind ("" for its own), what to do."""

PIN_WRONG = "kms_pin_wrong"
UNSUPPORTED = "kms_unsupported"

_PIN: _Answer = (
    KmsDenied,
    PIN_WRONG,
    "it refuses the PIN, which is not tried again; correct it and open the KMS anew",
)
_PIN_STATE: _Answer = (
    KmsDenied,
    "",
    "its PIN is locked, expired or not set; set it with the tools of its vendor and open the KMS anew",
)
_FORBIDDEN: _Answer = (
    KmsDenied,
    "",
    "it does not allow this; look at the attributes of the key and whether the token may be written to",
)
_GONE: _Answer = (KeyNotFound, "", "the key is not there; restore it from the backup of the token, or mend the URI")
_CANNOT: _Answer = (KmsError, UNSUPPORTED, "it cannot do this with the key; let this driver make another key")
_AWAY: _Answer = (
    KmsUnavailable,
    "",
    "it does not answer as it must; look at the token and its service, then try again",
)

_LOGIN: dict[type[pkcs11.PKCS11Error], _Answer] = {
    pkcs11.PinIncorrect: _PIN,
    pkcs11.PinInvalid: _PIN,
    pkcs11.PinLenRange: _PIN,
    pkcs11.PinTooWeak: _PIN,
    pkcs11.PinLocked: _PIN_STATE,
    pkcs11.PinExpired: _PIN_STATE,
    pkcs11.UserPinNotInitialized: _PIN_STATE,
}
_USE: dict[type[pkcs11.PKCS11Error], _Answer] = {
    pkcs11.TokenWriteProtected: _FORBIDDEN,
    pkcs11.SessionReadOnly: _FORBIDDEN,
    pkcs11.FunctionRejected: _FORBIDDEN,
    pkcs11.MechanismInvalid: _CANNOT,
    pkcs11.MechanismParamInvalid: _CANNOT,
    pkcs11.FunctionNotSupported: _CANNOT,
    pkcs11.KeyTypeInconsistent: _CANNOT,
    pkcs11.KeySizeRange: _CANNOT,
    pkcs11.DomainParamsInvalid: _CANNOT,
    pkcs11.DataLenRange: _CANNOT,
    pkcs11.TemplateInconsistent: _CANNOT,
    pkcs11.TemplateIncomplete: _CANNOT,
    pkcs11.AttributeTypeInvalid: _CANNOT,
    pkcs11.AttributeValueInvalid: _CANNOT,
    pkcs11.AttributeReadOnly: _CANNOT,
    pkcs11.AttributeSensitive: _CANNOT,
}
# not logged in, or on a token that is gone, a key cannot be seen either: final only after all was opened anew
_PERHAPS: dict[type[pkcs11.PKCS11Error], _Answer] = {pkcs11.NoSuchKey: _GONE}
_ANSWERS = _LOGIN | _USE | _PERHAPS


def concerns_pin(error: pkcs11.PKCS11Error) -> bool:
    """Whether to try again might burn the PIN."""
    return type(error) in _LOGIN


def is_wrong_pin(error: pkcs11.PKCS11Error) -> bool:
    """Whether it is this PIN that is refused, rather than any."""
    return _LOGIN.get(type(error)) is _PIN


def is_final(error: pkcs11.PKCS11Error) -> bool:
    """Whether a restart of the module cannot change the answer."""
    return type(error) in _LOGIN or type(error) in _USE


def refusal(error: pkcs11.PKCS11Error, subject: object) -> KmsError:
    """Ours for ``error``; whatever is not in the table may be another after a restart, and counts as unavailable.

    Args: subject: the key or token it is about, without secrets.
    """
    leaf, kind, advice = _ANSWERS.get(type(error), _AWAY)
    return leaf(f"{subject}: {advice} ({type(error).__name__})", kind=kind)


def unsupported(text: str) -> KmsError:
    return KmsError(text, kind=UNSUPPORTED)
