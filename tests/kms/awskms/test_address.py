# SPDX-License-Identifier: Apache-2.0
"""The URIs of the AWS driver: what they name, and that a secret in one is refused and never repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.errors import E4Error, InvalidInput
from e4kms.awskms import open_kms
from e4kms.awskms.address import Address, is_private

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
HOME = "arn:aws:kms:eu-west-1:123456789012"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("awskms:///alias/e4", Address("alias/e4", alias="alias/e4")),
        (f"awskms:///{KEY}", Address(KEY)),
        (f"awskms:///mrk-{'0a' * 16}", Address(f"mrk-{'0a' * 16}")),
        (f"awskms:///{HOME}:key/{KEY}", Address(f"{HOME}:key/{KEY}", region="eu-west-1")),
        (f"awskms:///{HOME}:alias/a/b?region=eu-west-1", Address(f"{HOME}:alias/a/b", region="eu-west-1")),
        (
            "awskms:///alias/e4?region=us-gov-west-1&endpoint=https://vpce-1.kms.example:444/&timeout=0.5&profile=e4%20c2",
            Address(
                "alias/e4",
                alias="alias/e4",
                region="us-gov-west-1",
                endpoint="https://vpce-1.kms.example:444/",
                timeout_s=0.5,
                profile="e4 c2",
            ),
        ),
        (
            f"awskms:///alias/e4?former={HOME}:key/{KEY},{HOME}:key/mrk-{'0a' * 16}",
            Address("alias/e4", alias="alias/e4", former=(f"{HOME}:key/{KEY}", f"{HOME}:key/mrk-{'0a' * 16}")),
        ),
        (
            "awskms:///alias/e4?danger-plain-http=yes&endpoint=http://kms.example",
            Address("alias/e4", alias="alias/e4", endpoint="http://kms.example", plain_http=True),
        ),
    ],
)
def test_a_uri_says_key_and_options(uri: str, expected: Address) -> None:
    assert Address.parse(uri) == expected


SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "awskms:",
        "awskms:alias/e4",
        "awskms://alias/e4",
        "awskms:///",
        "awskms:///alias/",
        "awskms:///e4",
        "awskms:///alias/a b",
        "awskms:///alias/e4\n",
        "awskms:///alias/e4#x",
        f"awskms:///{KEY.upper()}",
        f"awskms:///{HOME}:role/x",
        f"awskms:///arn:aws:s3:eu-west-1:123456789012:key/{KEY}",
        f"awskms:///{HOME}:key/{KEY}?region=eu-west-2",
        "awskms:///alias/e4?region",
        "awskms:///alias/e4?region=",
        "awskms:///alias/e4?region=eu_west",
        "awskms:///alias/e4?region=eu-west-1&region=eu-west-1",
        "awskms:///alias/e4?timeout=0",
        "awskms:///alias/e4?timeout=nan",
        "awskms:///alias/e4?timeout=inf",
        "awskms:///alias/e4?timeout=soon",
        "awskms:///alias/e4?endpoint=kms.example",
        "awskms:///alias/e4?endpoint=ftp://kms.example",
        "awskms:///alias/e4?endpoint=https://kms.example:0",
        "awskms:///alias/e4?endpoint=https://kms.example:port",
        "awskms:///alias/e4?endpoint=https://",
        "awskms:///alias/e4?danger-plain-http=no",
        "awskms:///alias/e4?profile=",
        "awskms:///alias/e4?former=",
        f"awskms:///alias/e4?former={KEY}",
        f"awskms:///alias/e4?former={HOME}:alias/e4",
        f"awskms:///alias/e4?former={HOME}:key/{KEY},",
        "awskms:///alias/e4?profile=a%0Ab",
        f"awskms://AKIAEXAMPLE:{SECRET}@/alias/e4",
        f"awskms:///alias/e4?secret_access_key={SECRET}",
        f"awskms:///alias/e4?{SECRET}=1",
        f"awskms:///alias/e4?endpoint=https://user:{SECRET}@kms.example",
        f"awskms:///alias/e4?endpoint=https://kms.example/?token={SECRET}",
        f"awskms:///alias/e4?timeout={SECRET}",
        f"awskms:///alias/e4&token={SECRET}",
    ],
)
def test_any_other_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_kms(uri)
    assert caught.value.kind == "bad_uri"
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@given(st.text())
def test_no_uri_raises_anything_but_our_errors(rest: str) -> None:
    with pytest.raises(E4Error):
        open_kms("awskms:///?" + rest)


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://kms.example", True),
        ("http://127.0.0.2:5000", True),
        ("http://[::1]:5000", True),
        ("http://localhost", True),
        ("http://kms.example", False),
        ("http://localhost.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_only_tls_and_this_machine_are_private(url: str, private: bool) -> None:
    assert is_private(url) is private


def test_secrets_are_not_sent_in_the_clear_unless_that_is_asked_for() -> None:
    kms = open_kms("awskms:///alias/e4?region=eu-west-1&endpoint=http://192.0.2.1")
    with pytest.raises(InvalidInput, match="must begin with https"):
        kms.check()


def test_an_endpoint_in_the_environment_is_held_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://192.0.2.1")
    with pytest.raises(InvalidInput, match="must begin with https"):
        open_kms("awskms:///alias/e4?region=eu-west-1").check()


def test_without_a_region_the_uri_is_to_name_one() -> None:
    with pytest.raises(InvalidInput, match="add region="):
        open_kms("awskms:///alias/e4").check()
