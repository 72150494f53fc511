# SPDX-License-Identifier: Apache-2.0
"""Neither a root secret nor a credential shows itself: not in the log at its finest, not in an error, not in a repr."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable
from urllib.parse import quote

import pytest

from e4core.errors import KmsError
from e4core.keys import Secret
from e4kms.awskms import AwsKms
from e4kms.awskms.address import Address
from e4kms.awskms.calls import _Call, _Local
from tests.kms.awskms.conftest import CREDENTIALS, Account
from tests.kms.awskms.servers import Fault, FaultProxy, answer, refusal

SECRET = Secret(bytes(range(200, 232)))
CONTEXT = b"the context"
HIDDEN = (SECRET, CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode(), CREDENTIALS["AWS_SESSION_TOKEN"].encode())


def forms(secret: bytes) -> set[str]:
    """What a secret looks like in a text."""
    coded = base64.b64encode(secret).decode()
    return {
        *(secret.hex(), secret.hex().upper(), secret.decode("latin-1"), repr(secret)[2:-1], repr(bytes(secret))[2:-1]),
        *(coded, coded.rstrip("="), base64.urlsafe_b64encode(secret).decode(), quote(coded, safe="")),
    } - {repr(SECRET)[2:-1]}


def shown_in(text: str, *secrets: bytes) -> list[str]:
    return [form for secret in secrets for form in forms(secret) if form in text]


def use_all(kms: AwsKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    assert kms.unwrap(kms.rewrap(wrapped, CONTEXT), CONTEXT) == SECRET


def test_the_log_at_its_finest_holds_no_secret(
    kms: AwsKms, account: Account, alias: str, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        proxy.once("Decrypt", refusal("ThrottlingException"))
        use_all(kms)
        assert shown_in(caplog.text, *HIDDEN) == []
        # what others ask by boto3 is logged as ever, so the search above would have found it
        account.client.encrypt(KeyId=alias, Plaintext=bytes(SECRET))
    assert shown_in(caplog.text, SECRET)


def test_loggers_that_were_set_to_debug_one_by_one_tell_nothing(kms: AwsKms, caplog: pytest.LogCaptureFixture) -> None:
    kms.check()
    for name in [name for name in logging.root.manager.loggerDict if name.startswith(("boto", "urllib3"))]:
        caplog.set_level(logging.DEBUG, name)
    use_all(kms)
    assert shown_in(caplog.text, *HIDDEN) == []


class _Talks(_Call):
    def run(self) -> None:
        logging.getLogger("botocore.endpoint").warning("look at this")
        logging.getLogger("botocore.endpoint").info("not at this")


def test_warnings_of_botocore_still_come_through(kms: AwsKms, caplog: pytest.LogCaptureFixture) -> None:
    kms.check()
    caplog.set_level(logging.DEBUG)
    call = _Talks(_Local(Address("alias/e4"), 1), "", {})
    call.start()
    call.join()
    assert caplog.messages == ["look at this"]


CODED = base64.b64encode(SECRET).decode()
TOKEN = CREDENTIALS["AWS_SESSION_TOKEN"]
FAULTS = {
    "JSON cut short": answer(json.dumps({"Plaintext": CODED, "KeyId": "x"}).encode()[:-5]),
    "another type": answer(json.dumps({"Plaintext": [CODED]}).encode()),
    "an error that quotes the request": refusal("ValidationException", message=f"the plaintext {CODED} is too long"),
    "a failure that quotes the request": refusal("KMSInternalException", 500, f"the plaintext {CODED}"),
    "a canonical request": refusal("InvalidSignatureException", message=f"x-amz-security-token:{TOKEN}"),
    "an unknown error": refusal(f"Bad{SECRET.hex()}!", message=CODED),
}


@pytest.mark.parametrize("name", FAULTS)
def test_no_error_holds_a_secret(kms: AwsKms, proxy: FaultProxy, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrapped = kms.wrap(SECRET, CONTEXT)
    fault: Fault = FAULTS[name]
    uses: dict[str, Callable[[], object]] = {
        "Encrypt": lambda: kms.wrap(SECRET, CONTEXT),
        "Decrypt": lambda: kms.unwrap(wrapped, CONTEXT),
    }
    for operation, use in uses.items():
        proxy.always(operation, fault)
        with pytest.raises(KmsError) as caught:
            use()
        assert caught.value.__cause__ is None and caught.value.__context__ is None
        text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert shown_in(text + caplog.text, *HIDDEN) == []


def test_no_repr_holds_a_secret(kms: AwsKms) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    opened = kms.unwrap(wrapped, CONTEXT)
    assert shown_in(f"{kms!r} {kms} {wrapped!r} {opened!r} {opened}", *HIDDEN) == []
