# SPDX-License-Identifier: Apache-2.0
"""For each test a proxy before moto's server, an alias and an environment of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from e4kms.awskms import AwsKms, open_kms
from tests.kms.awskms.servers import REGION, FaultProxy, moto_port, proxy_before

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAE4TESTACCESSKEY0",
    "AWS_SECRET_ACCESS_KEY": "secret-access-key-that-nobody-may-see",
    "AWS_SESSION_TOKEN": "session-token-that-nobody-may-see",
}

OpenKms = Callable[..., AwsKms]


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with proxy_before(moto_port()) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of AWS but these credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    nowhere = str(tmp_path / "nowhere")
    files = dict.fromkeys(["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG", "HOME"], nowhere)
    for name, value in (CREDENTIALS | files | {"AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)


@dataclass(frozen=True)
class Account:
    """What an operator would do at AWS: straight to moto, past the proxy."""

    client: Any

    def new_key(self) -> str:
        """ARN of a new key."""
        arn: str = self.client.create_key()["KeyMetadata"]["Arn"]
        return arn

    def point(self, alias: str, arn: str) -> None:
        self.client.update_alias(AliasName=alias, TargetKeyId=arn)


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    session = boto3.session.Session("operator", "of the account", region_name=REGION)
    client = session.client("kms", endpoint_url=f"http://127.0.0.1:{moto_port()}")
    yield Account(client)
    client.close()


@pytest.fixture
def absent_alias() -> str:
    """An alias that no key has."""
    return f"alias/e4-{uuid.uuid4()}"


@pytest.fixture(scope="session")
def shared_key(account: Account) -> str:
    """ARN of a key that tests share, as moto takes its time to make one."""
    return account.new_key()


@pytest.fixture
def alias(account: Account, absent_alias: str, shared_key: str) -> str:
    """An alias of the shared key, for this test alone."""
    account.client.create_alias(AliasName=absent_alias, TargetKeyId=shared_key)
    return absent_alias


@pytest.fixture
def open_at(proxy: FaultProxy) -> Iterator[OpenKms]:
    """Opens a KMS behind the proxy: ``open_at(alias, timeout=2)``; any other options instead of the region."""
    opened: list[AwsKms] = []

    def open_at(key: str, *, timeout: float = 20, options: str = f"&region={REGION}") -> AwsKms:
        kms = open_kms(f"awskms:///{key}?endpoint={proxy.url}&timeout={timeout}{options}")
        opened.append(kms)
        return kms

    yield open_at
    for kms in opened:
        kms.close()


@pytest.fixture
def kms(open_at: OpenKms, alias: str) -> AwsKms:
    return open_at(alias)
