# SPDX-License-Identifier: Apache-2.0
"""What botocore raises, as errors of this project.

Nothing of the original is kept but what the table says: an answer that cannot be parsed may hold a root secret, and AWS's text
about a wrong signature the session token.
"""

from __future__ import annotations

from dataclasses import dataclass

from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from e4core.errors import Conflict, E4Error, InvalidInput, KeyNotFound, KmsDenied, KmsError, KmsUnavailable, Tampered
from e4kms.awskms.address import Address

THROTTLED = "kms_throttled"
KEY_DISABLED = "kms_key_disabled"
UNSUPPORTED = "kms_unsupported"

_MAX_REASON_LEN = 300


class OtherKey(KeyNotFound):
    """Not the key that the call named made the wrap; whether that is an alarm, the caller knows."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """``quoted``: AWS's own text follows; it helps, and holds no secret."""

    error: type[E4Error]
    text: str
    kind: str = ""
    quoted: bool = False


def translated(error: Exception, address: Address) -> E4Error:
    """The error to raise for what a call of boto3 raised."""
    if isinstance(error, E4Error):
        return error
    if isinstance(error, aws.ClientError):
        return _of_answer(error, address)
    for kinds, failure in _BY_TYPE:
        if isinstance(error, kinds):
            return failure.error(f"{address}: {failure.text}", kind=failure.kind)
    return KmsError(f"{address}: boto3 failed with {type(error).__name__}; look at the configuration of AWS here")


def _of_answer(error: aws.ClientError, address: Address) -> E4Error:
    details = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(details.get("Code", ""))
    failure = _BY_CODE.get(code) or _BY_STATUS.get(status) or (_OUTAGE if status >= 500 else _refusal(code))
    reason = _reason(str(details.get("Message", ""))) if failure.quoted else ""
    return failure.error(f"{address}: {failure.text}{reason}", kind=failure.kind)


def _refusal(code: str) -> _Failure:
    name = code if code.isalnum() and code.isascii() else "an unknown error"
    return _Failure(KmsError, f"AWS KMS refused with {name}; look it up in the reference of its API")


def _reason(text: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in text[:_MAX_REASON_LEN]).strip()
    return f" (AWS says: {line})" if line else ""


_OUTAGE = _Failure(KmsUnavailable, "AWS KMS fails at the moment; try again later")
_THROTTLE = _Failure(
    KmsUnavailable,
    "AWS KMS takes no more calls of this account now; try again later, or ask for a higher quota",
    THROTTLED,
)
_FORBIDDEN = _Failure(
    KmsDenied, "AWS KMS does not allow this; mend the policy of the key or of who runs this", quoted=True
)
_IDENTITY = _Failure(KmsDenied, "AWS does not accept the credentials; renew them, and check the clock of this machine")
_NO_IDENTITY = _Failure(
    KmsDenied, "boto3 finds no usable credentials, or not the profile; give it some in one of the places where it looks"
)
_UNUSABLE = _Failure(
    KeyNotFound,
    "the key cannot be used in its present state; enable it, or cancel its deletion",
    KEY_DISABLED,
    quoted=True,
)
_ABSENT = _Failure(
    KeyNotFound, "there is no such key in this account and region; check URI and credentials, or restore the key"
)
_CHANGED = _Failure(Tampered, "a wrap was changed or belongs elsewhere; restore it from a backup")
_UNREACHABLE = _Failure(
    KmsUnavailable, "AWS KMS cannot be reached; check network, region and endpoint, and try again later"
)
_NO_REGION = _Failure(InvalidInput, "no valid region is known; add region=... to the URI", "bad_uri")

_BY_CODE: dict[str, _Failure] = {
    "ThrottlingException": _THROTTLE,
    "Throttling": _THROTTLE,
    "RequestLimitExceeded": _THROTTLE,
    "TooManyRequestsException": _THROTTLE,
    "KMSInternalException": _OUTAGE,
    "KeyUnavailableException": _OUTAGE,
    "DependencyTimeoutException": _OUTAGE,
    "InternalFailure": _OUTAGE,
    "ServiceUnavailable": _OUTAGE,
    "ServiceUnavailableException": _OUTAGE,
    "RequestTimeout": _OUTAGE,
    "DisabledException": _UNUSABLE,
    "KMSInvalidStateException": _UNUSABLE,
    "NotFoundException": _ABSENT,
    "InvalidArnException": _ABSENT,
    "AccessDeniedException": _FORBIDDEN,
    "AccessDenied": _FORBIDDEN,
    "NotAuthorized": _FORBIDDEN,
    "ExpiredToken": _IDENTITY,
    "ExpiredTokenException": _IDENTITY,
    "IncompleteSignature": _IDENTITY,
    "InvalidClientTokenId": _IDENTITY,
    "InvalidSignatureException": _IDENTITY,
    "MissingAuthenticationToken": _IDENTITY,
    "MissingAuthenticationTokenException": _IDENTITY,
    "OptInRequired": _IDENTITY,
    "RequestExpired": _IDENTITY,
    "SignatureDoesNotMatch": _IDENTITY,
    "UnrecognizedClientException": _IDENTITY,
    "InvalidCiphertextException": _CHANGED,
    "IncorrectKeyException": _Failure(OtherKey, "another key made this wrap"),
    "AlreadyExistsException": _Failure(Conflict, "the alias exists already; use the key that it names", "exists"),
    "InvalidKeyUsageException": _Failure(
        KmsError, "the key is not one for encryption; name one of the key spec SYMMETRIC_DEFAULT", UNSUPPORTED
    ),
    "LimitExceededException": _Failure(KmsError, "a quota of this account is used up; ask AWS for a higher one"),
    "ValidationException": _Failure(KmsError, "AWS KMS does not take this request; see its limits for lengths"),
}
"""The common errors of AWS's APIs, and those of KMS for the calls made here."""

_BY_STATUS: dict[int, _Failure] = {401: _IDENTITY, 403: _FORBIDDEN, 429: _THROTTLE}

_BY_TYPE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], _Failure], ...] = (
    (
        (aws.NoRegionError, aws.InvalidRegionError),
        _NO_REGION,
    ),
    (
        aws.SSLError,
        _Failure(
            KmsUnavailable,
            "TLS with AWS KMS fails; check the endpoint, and AWS_CA_BUNDLE if it has a certificate of your own CA",
        ),
    ),
    (
        (aws.ConnectionError, aws.HTTPClientError, aws.EndpointProviderError),
        _UNREACHABLE,
    ),
    (
        (ResponseParserError, aws.IncompleteReadError),
        _Failure(KmsUnavailable, "what answers there does not speak as AWS KMS does; check the endpoint"),
    ),
    (
        (
            aws.NoCredentialsError,
            aws.PartialCredentialsError,
            aws.CredentialRetrievalError,
            aws.ProfileNotFound,
            aws.MetadataRetrievalError,
            aws.TokenRetrievalError,
            aws.SSOError,
            aws.LoginError,
            aws.NoAuthTokenError,
            aws.RefreshWithMFAUnsupportedError,
        ),
        _NO_IDENTITY,
    ),
)
