# SPDX-License-Identifier: Apache-2.0
"""The AWS driver on moto: what a wrap is bound to, which key opens it, how keys are made and changed.

That no wrap opens of which anything was changed is for the conformance kit, see `tests.kms.test_every_driver`.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e4core.errors import Conflict, KeyNotFound, KmsError, Tampered
from e4core.keys import Secret
from e4core.kms import CreatesKey, Kms, Rewraps, Wrapped
from e4kms import deks
from e4kms.awskms import CONTEXT_NAME, MECHANISM, AwsKms, open_kms
from tests.kms.awskms.conftest import Account, OpenKms
from tests.kms.awskms.servers import REGION, FaultProxy, refusal

SECRET = Secret(bytes(range(32)))
CONTEXT = b"the context"
GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "kms-aws.md"
DATABASE_ID = bytes(range(16))


def test_it_can_all_that_a_kms_may(kms: AwsKms) -> None:
    assert isinstance(kms, Kms)
    assert isinstance(kms, Rewraps)
    assert isinstance(kms, CreatesKey)
    kms.check()


def test_a_secret_comes_back_after_a_restart(open_at: OpenKms, alias: str) -> None:
    wrapped = open_at(alias).wrap(SECRET, CONTEXT)
    assert wrapped.mechanism == MECHANISM
    assert SECRET not in wrapped.blob
    assert open_at(alias).unwrap(wrapped, CONTEXT) == SECRET


@pytest.mark.parametrize("form", ["key id", "key ARN", "alias ARN"])
def test_a_key_has_several_names(account: Account, open_at: OpenKms, alias: str, form: str) -> None:
    arn = account.client.describe_key(KeyId=alias)["KeyMetadata"]["Arn"]
    home, _, key_id = arn.partition(":key/")
    wrapped = open_at(alias).wrap(SECRET, CONTEXT)
    name = {"key id": key_id, "key ARN": arn, "alias ARN": f"{home}:{alias}"}[form]
    kms = open_at(name, options="" if name.startswith("arn:") else f"&region={REGION}")
    assert kms.unwrap(wrapped, CONTEXT) == SECRET
    assert kms.wrap(SECRET, CONTEXT).key_id == arn


def test_wrapping_twice_never_gives_the_same(kms: AwsKms) -> None:
    assert kms.wrap(SECRET, CONTEXT).blob != kms.wrap(SECRET, CONTEXT).blob


# What a wrap is bound to


@pytest.mark.parametrize("context", [b"", b"the contexT", b"the context\0", b"the contex"])
def test_another_context_is_an_alarm(kms: AwsKms, context: bytes) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    for use in (kms.unwrap, kms.rewrap):
        with pytest.raises(Tampered):
            use(wrapped, context)


def test_an_empty_context_binds_too(kms: AwsKms) -> None:
    wrapped = kms.wrap(SECRET, b"")
    assert kms.unwrap(wrapped, b"") == SECRET
    with pytest.raises(Tampered):
        kms.unwrap(wrapped, CONTEXT)


def test_aws_is_told_the_context_for_policies_and_trail(kms: AwsKms, proxy: FaultProxy) -> None:
    kms.rewrap(kms.wrap(SECRET, CONTEXT), CONTEXT)
    bound = {CONTEXT_NAME: f"hex:{CONTEXT.hex()}"}
    (_, encrypt), (_, re_encrypt) = proxy.asked
    assert encrypt["EncryptionContext"] == bound
    assert re_encrypt["SourceEncryptionContext"] == re_encrypt["DestinationEncryptionContext"] == bound


@pytest.mark.parametrize(
    "change",
    [
        {"mechanism": "aes-256-gcm"},
        {"key_id": "alias/e4"},
        {"key_id": "arn:aws:s3:::bucket"},
        {"blob": b""},
        {"blob": bytes(6145)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_this_driver_never_makes_is_an_alarm_and_asks_nobody(
    kms: AwsKms, proxy: FaultProxy, change: dict[str, str | bytes]
) -> None:
    wrapped = dataclasses.replace(kms.wrap(SECRET, CONTEXT), **change)  # type: ignore[arg-type]
    for use in (kms.unwrap, kms.rewrap):
        with pytest.raises(Tampered):
            use(wrapped, CONTEXT)
    assert proxy.operations == ["Encrypt"]


def test_the_keyring_notices_swapped_wraps_and_swapped_secrets(kms: AwsKms) -> None:
    records, audit = (deks.create(p, 1, DATABASE_ID, {"uri": kms}) for p in (deks.Purpose.RECORDS, deks.Purpose.AUDIT))
    deks.unwrap(records, DATABASE_ID, {"uri": kms})
    swapped = dataclasses.replace(records, wraps=audit.wraps)
    other_secret = kms.wrap(SECRET, deks.Binding(deks.Purpose.RECORDS, 1, DATABASE_ID).context())
    replaced = dataclasses.replace(records, wraps=(dataclasses.replace(records.wraps[0], wrapped=other_secret),))
    for dek in (swapped, replaced):
        with pytest.raises(Tampered):
            deks.unwrap(dek, DATABASE_ID, {"uri": kms})


# Which key


def test_the_key_of_a_wrap_is_recorded(account: Account, kms: AwsKms, alias: str) -> None:
    assert kms.wrap(SECRET, CONTEXT).key_id == account.client.describe_key(KeyId=alias)["KeyMetadata"]["Arn"]


def test_rotated_material_opens_the_old_and_the_rewrapped(account: Account, kms: AwsKms, alias: str) -> None:
    before = kms.wrap(SECRET, CONTEXT)
    account.client.rotate_key_on_demand(KeyId=before.key_id)
    after = kms.rewrap(before, CONTEXT)
    assert after.blob != before.blob
    assert [kms.unwrap(wrapped, CONTEXT) for wrapped in (before, after)] == [SECRET, SECRET]


def test_rewrapping_shows_the_secret_to_nobody(kms: AwsKms, proxy: FaultProxy) -> None:
    dek = deks.create(deks.Purpose.RECORDS, 1, DATABASE_ID, {"uri": kms})
    proxy.asked.clear()
    deks.rewrap(dek, DATABASE_ID, "uri", kms)
    assert proxy.operations == ["Decrypt", "ReEncrypt", "Decrypt"]


def test_it_does_what_the_policy_in_the_guide_allows_and_no_more(kms: AwsKms, proxy: FaultProxy) -> None:
    block = re.search(r"^    \{\n(?:    .*\n)+", GUIDE.read_text(), re.M)
    assert block
    (statement,) = json.loads(block[0])["Statement"]
    kms.check()
    kms.rewrap(kms.wrap(SECRET, CONTEXT), CONTEXT)
    actions = {"ReEncrypt": {"kms:ReEncryptFrom", "kms:ReEncryptTo"}}
    needed = [actions.get(operation, {f"kms:{operation}"}) for operation in proxy.operations]
    assert set(statement["Action"]) == set().union(*needed)
    assert f"kms:EncryptionContext:{CONTEXT_NAME}" in statement["Condition"]["Null"]


def test_a_key_that_is_gone_says_so(account: Account, open_at: OpenKms, absent_alias: str) -> None:
    with pytest.raises(KeyNotFound, match="no such key"):
        open_at(absent_alias).check()


# How a key is made


def test_a_key_is_made_with_the_alias_of_the_uri(account: Account, open_at: OpenKms, absent_alias: str) -> None:
    kms = open_at(absent_alias)
    kms.create_key()
    kms.check()
    assert account.client.describe_key(KeyId=absent_alias)["KeyMetadata"]["KeySpec"] == "SYMMETRIC_DEFAULT"


def test_an_alias_that_exists_is_left_alone(kms: AwsKms, proxy: FaultProxy) -> None:
    with pytest.raises(Conflict) as caught:
        kms.create_key()
    assert caught.value.kind == "exists"
    assert proxy.operations == ["DescribeKey"]


def test_a_key_that_got_no_alias_is_named(
    account: Account, open_at: OpenKms, absent_alias: str, proxy: FaultProxy
) -> None:
    proxy.once("CreateAlias", refusal("AlreadyExistsException"))
    with pytest.raises(Conflict, match=r"but the key [0-9a-f-]{36} was made"):
        open_at(absent_alias).create_key()


def test_a_key_is_never_made_twice_when_the_answer_is_lost(
    open_at: OpenKms, absent_alias: str, proxy: FaultProxy
) -> None:
    proxy.always("CreateKey", refusal("KMSInternalException", 500))
    with pytest.raises(KmsError):
        open_at(absent_alias).create_key()
    assert proxy.operations == ["DescribeKey", "CreateKey"]


def test_only_an_alias_can_be_made(open_at: OpenKms, proxy: FaultProxy) -> None:
    with pytest.raises(KmsError, match="AWS chooses the ids") as caught:
        open_at("1234abcd-12ab-34cd-56ef-1234567890ab").create_key()
    assert caught.value.kind == "kms_unsupported"
    assert proxy.operations == []


# Threads, processes, the end


def test_threads_get_their_own_secrets(kms: AwsKms) -> None:
    def round_trips(number: int) -> bool:
        secret, context = Secret(bytes([number]) * 32), f"thread {number}".encode()
        return all(kms.unwrap(kms.wrap(secret, context), context) == secret for _ in range(2))

    with ThreadPoolExecutor(24) as threads:
        assert all(threads.map(round_trips, range(1, 25)))


def _unwrap_in_a_fork(uri: str, wrapped: Wrapped) -> None:
    kms = open_kms(uri)
    kms.unwrap(wrapped, CONTEXT)
    child = os.fork()
    opened = kms.unwrap(wrapped, CONTEXT) == SECRET
    kms.close()
    if child:
        _, status = os.waitpid(child, 0)
        opened = opened and status == 0
    os._exit(0 if opened else 1)


def test_parent_and_child_of_a_fork_go_on(open_at: OpenKms, alias: str, proxy: FaultProxy) -> None:
    wrapped = open_at(alias).wrap(SECRET, CONTEXT)
    uri = f"awskms:///{alias}?region={REGION}&endpoint={proxy.url}&timeout=20"
    process = multiprocessing.get_context("spawn").Process(target=_unwrap_in_a_fork, args=(uri, wrapped))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert proxy.operations.count("Decrypt") == 3
    assert len(proxy.connections) == 3  # one that wrapped, and one for each of the two


def test_a_closed_kms_is_of_no_use(kms: AwsKms, proxy: FaultProxy) -> None:
    wrapped = kms.wrap(SECRET, CONTEXT)
    kms.close()
    kms.close()
    uses: list[Callable[[], object]] = [
        lambda: kms.wrap(SECRET, CONTEXT),
        lambda: kms.unwrap(wrapped, CONTEXT),
        lambda: kms.rewrap(wrapped, CONTEXT),
        kms.create_key,
        kms.check,
    ]
    for use in uses:
        with pytest.raises(KmsError, match="closed"):
            use()
    assert proxy.operations == ["Encrypt"]
