# SPDX-License-Identifier: Apache-2.0
"""What AWS, the network and the credentials may do, and what comes of it: a typed error that says what to do, in time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from e4core.errors import Conflict, E4Error, InvalidInput, KeyNotFound, KmsDenied, KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4kms.awskms import AwsKms, open_kms
from e4kms.awskms.address import Address
from e4kms.awskms.failures import OtherKey, translated
from tests.kms.awskms.conftest import CREDENTIALS, OpenKms
from tests.kms.awskms.servers import REGION, Fault, FaultProxy, answer, drip, drop, hang, refusal
from tests.servers import free_port

SECRET = Secret(bytes(range(32)))
CONTEXT = b"the context"


# Over the wire


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        (refusal("DisabledException"), KeyNotFound, "kms_key_disabled"),
        (refusal("KMSInvalidStateException", message="is pending deletion"), KeyNotFound, "kms_key_disabled"),
        (refusal("NotFoundException"), KeyNotFound, "kms_key_not_found"),
        (refusal("InvalidCiphertextException"), Tampered, "tampered"),
        (refusal("AccessDeniedException", message="not authorized"), KmsDenied, "kms_denied"),
        (refusal("ExpiredTokenException"), KmsDenied, "kms_denied"),
        (refusal("UnrecognizedClientException"), KmsDenied, "kms_denied"),
        (refusal("InvalidKeyUsageException"), KmsError, "kms_unsupported"),
        (refusal("ValidationException"), KmsError, "kms"),
        (refusal("SomethingNewException"), KmsError, "kms"),
        (answer(b"<html>", 403), KmsDenied, "kms_denied"),
    ],
)
def test_a_refusal_is_final_and_typed(
    kms: AwsKms, proxy: FaultProxy, fault: Fault, error: type[E4Error], kind: str
) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    proxy.once("Decrypt", fault)
    with pytest.raises(error) as caught:
        kms.unwrap(wrapped, CONTEXT)
    assert type(caught.value) is error
    assert caught.value.kind == kind
    assert proxy.operations == ["Encrypt", "Decrypt"]
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


TROUBLES = {
    "throttled": (refusal("ThrottlingException"), "kms_throttled"),
    "out of order": (refusal("KMSInternalException", 500), "kms_unavailable"),
    "down": (answer(b"<html>", 503), "kms_unavailable"),
    "dropped": (drop, "kms_unavailable"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_that_passes_is_not_noticed(kms: AwsKms, proxy: FaultProxy, name: str) -> None:
    proxy.once("Encrypt", TROUBLES[name][0])
    kms.wrap(SECRET, CONTEXT)
    assert proxy.operations == ["Encrypt", "Encrypt"]


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_that_stays_is_told_after_few_attempts(kms: AwsKms, proxy: FaultProxy, name: str) -> None:
    fault, kind = TROUBLES[name]
    proxy.always("Encrypt", fault)
    with pytest.raises(KmsUnavailable) as caught:
        kms.wrap(SECRET, CONTEXT)
    assert caught.value.kind == kind
    assert proxy.operations == ["Encrypt"] * 3


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"{}", b'{"Plaintext": 5}', b'{"Plaintext": "?"}', b'{"Plaintext": {"a": "b"}}']
)
def test_an_answer_that_makes_no_sense_opens_nothing(kms: AwsKms, proxy: FaultProxy, body: bytes) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    proxy.always("Decrypt", answer(body))
    with pytest.raises(KmsError):
        kms.unwrap(wrapped, CONTEXT)


def test_an_answer_without_a_key_is_no_wrap(kms: AwsKms, proxy: FaultProxy) -> None:
    proxy.once("Encrypt", answer(b'{"KeyId": "alias/e4", "CiphertextBlob": "AAAA"}'))
    with pytest.raises(KmsUnavailable, match="does not speak as AWS KMS"):
        kms.wrap(SECRET, CONTEXT)


# Deadlines: without one, `drip` would never end


@pytest.mark.parametrize("fault", [hang, drip])
def test_a_call_ends_at_its_deadline(open_at: OpenKms, alias: str, proxy: FaultProxy, fault: Fault) -> None:
    proxy.always("Encrypt", fault)
    with pytest.raises(KmsUnavailable):
        open_at(alias, timeout=0.6).wrap(SECRET, CONTEXT)


def test_one_slow_answer_is_asked_for_again(open_at: OpenKms, alias: str, proxy: FaultProxy) -> None:
    proxy.once("Encrypt", hang)
    open_at(alias, timeout=6).wrap(SECRET, CONTEXT)
    assert proxy.operations == ["Encrypt", "Encrypt"]


def test_calls_that_never_end_do_not_pile_up(open_at: OpenKms, alias: str, proxy: FaultProxy) -> None:
    proxy.always("Encrypt", drip)
    kms = open_at(alias, timeout=1.5)

    def refused_with(_number: int) -> str:
        with pytest.raises(KmsUnavailable) as caught:
            kms.wrap(SECRET, CONTEXT)
        return str(caught.value)

    with ThreadPoolExecutor(20) as threads:
        texts = list(threads.map(refused_with, range(20)))
    assert sum("too many calls wait" in text for text in texts) == 4


def test_nobody_at_the_endpoint_is_unavailability(alias: str) -> None:
    kms = open_kms(f"awskms:///{alias}?region={REGION}&endpoint=http://127.0.0.1:{free_port()}&timeout=20")
    with pytest.raises(KmsUnavailable, match="cannot be reached"):
        kms.check()


def test_a_host_that_lets_nobody_in_is_unavailability(alias: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        # one that is let wait fills the queue, so that the next gets no answer at all
        with socket.create_connection(("127.0.0.1", port)):
            kms = open_kms(f"awskms:///{alias}?region={REGION}&endpoint=http://127.0.0.1:{port}&timeout=0.5")
            with pytest.raises(KmsUnavailable):
                kms.check()


def test_what_is_not_tls_at_an_https_endpoint_gets_nothing(alias: str, proxy: FaultProxy) -> None:
    https = proxy.url.replace("http:", "https:")
    with pytest.raises(KmsUnavailable):
        open_kms(f"awskms:///{alias}?region={REGION}&endpoint={https}&timeout=20").check()
    assert proxy.operations == []


# Credentials


def write_profile(path: Path, name: str, key: str) -> None:
    secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    path.write_text(f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\nregion = {REGION}\n")
    path.chmod(0o600)


@pytest.fixture
def profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of credentials, instead of variables."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    return path


def test_no_credentials_are_a_denial_that_mends_itself(
    open_at: OpenKms, alias: str, proxy: FaultProxy, profiles: Path
) -> None:
    kms = open_at(alias)
    with pytest.raises(KmsDenied, match="finds no usable credentials"):
        kms.check()
    assert proxy.operations == []
    write_profile(profiles, "default", "AKIAAFTERWARDS000000")
    kms.check()


def test_a_profile_gives_credentials_and_region(
    open_at: OpenKms, alias: str, proxy: FaultProxy, profiles: Path
) -> None:
    write_profile(profiles, "e4", "AKIAOFTHEPROFILE0000")
    open_at(alias, options="&profile=e4").check()
    assert set(proxy.askers) == {"AKIAOFTHEPROFILE0000"}
    with pytest.raises(KmsDenied, match="profile"):
        open_at(alias, options=f"&profile=other&region={REGION}").check()


def test_renewed_credentials_are_taken_up(open_at: OpenKms, alias: str, proxy: FaultProxy, profiles: Path) -> None:
    write_profile(profiles, "default", "AKIAEXPIRED000000000")
    kms = open_at(alias)
    kms.wrap(SECRET, CONTEXT)
    write_profile(profiles, "default", "AKIARENEWED000000000")
    proxy.once("Encrypt", refusal("ExpiredTokenException"))
    with pytest.raises(KmsDenied, match="renew them"):
        kms.wrap(SECRET, CONTEXT)
    kms.wrap(SECRET, CONTEXT)
    assert proxy.askers == ["AKIAEXPIRED000000000", "AKIAEXPIRED000000000", "AKIARENEWED000000000"]


# The table


@pytest.mark.parametrize(
    ("code", "error", "kind"),
    [
        ("Throttling", KmsUnavailable, "kms_throttled"),
        ("RequestLimitExceeded", KmsUnavailable, "kms_throttled"),
        ("KeyUnavailableException", KmsUnavailable, "kms_unavailable"),
        ("DependencyTimeoutException", KmsUnavailable, "kms_unavailable"),
        ("InvalidArnException", KeyNotFound, "kms_key_not_found"),
        ("IncompleteSignature", KmsDenied, "kms_denied"),
        ("InvalidSignatureException", KmsDenied, "kms_denied"),
        ("MissingAuthenticationToken", KmsDenied, "kms_denied"),
        ("RequestExpired", KmsDenied, "kms_denied"),
        ("IncorrectKeyException", OtherKey, "kms_key_not_found"),
        ("AlreadyExistsException", Conflict, "exists"),
        ("LimitExceededException", KmsError, "kms"),
        ("", KmsError, "kms"),
        ("<b>no code</b>", KmsError, "kms"),
    ],
)
def test_a_code_of_aws_has_a_leaf(code: str, error: type[E4Error], kind: str) -> None:
    made = translated(aws.ClientError({"Error": {"Code": code}}, "Decrypt"), Address("alias/e4"))
    assert (type(made), made.kind) == (error, kind)
    assert "<" not in str(made)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (aws.NoRegionError, InvalidInput),
        (lambda: aws.SSLError(endpoint_url="https://kms", error="self-signed"), KmsUnavailable),
        (lambda: aws.ConnectTimeoutError(endpoint_url="https://kms"), KmsUnavailable),
        (lambda: ResponseParserError("text"), KmsUnavailable),
        (lambda: aws.PartialCredentialsError(provider="env", cred_var="x"), KmsDenied),
        (lambda: aws.CredentialRetrievalError(provider="process", error_msg="text"), KmsDenied),
        (aws.UnauthorizedSSOTokenError, KmsDenied),
        (lambda: ZeroDivisionError("text"), KmsError),
    ],
)
def test_whatever_else_boto3_raises_has_a_leaf_and_is_not_repeated(
    make: Callable[[], Exception], error: type[E4Error]
) -> None:
    made = translated(make(), Address("alias/e4"))
    assert type(made) is error
    assert str(made).startswith("awskms:///alias/e4: ")
    assert "text" not in str(made)


def test_a_policy_that_denies_is_quoted_in_one_line_of_bounded_length() -> None:
    message = "User: arn:aws:iam::1:user/c2 is not authorized\nto perform: kms:Decrypt " + "x" * 5000
    made = translated(
        aws.ClientError({"Error": {"Code": "AccessDeniedException", "Message": message}}, "Decrypt"),
        Address("alias/e4"),
    )
    assert "(AWS says: User: arn:aws:iam::1:user/c2 is not authorized to perform: kms:Decrypt" in str(made)
    assert len(str(made)) < 500
