# SPDX-License-Identifier: Apache-2.0
"""Which keys open: the one that the URI names now and its former ones, whatever the database says."""

from __future__ import annotations

import dataclasses
import os

import pytest

from e4core.errors import KeyNotFound, Tampered
from e4core.keys import Secret
from e4kms import deks
from tests.kms.awskms.conftest import Account, OpenKms
from tests.kms.awskms.servers import REGION, FaultProxy

SECRET = Secret(bytes(range(32)))
CONTEXT = b"the context"
DATABASE_ID = os.urandom(16)

NAMES = ["alias", "key id", "key ARN"]
FOREIGN = "arn:aws:kms:eu-west-1:666666666666:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def named_as(form: str, alias: str, arn: str) -> str:
    return {"alias": alias, "key id": arn.partition(":key/")[2], "key ARN": arn}[form]


@pytest.mark.parametrize("form", NAMES)
def test_no_wrap_chooses_another_key(
    account: Account, open_at: OpenKms, alias: str, shared_key: str, proxy: FaultProxy, form: str
) -> None:
    """Who writes the database and has another key of the same account must not choose what is in a root secret."""
    kms = open_at(name := named_as(form, alias, shared_key))
    other = open_at(account.new_key()).wrap(SECRET, CONTEXT)
    proxy.asked.clear()
    for forged in (other, dataclasses.replace(other, key_id=FOREIGN)):
        for use in (kms.unwrap, kms.rewrap):
            with pytest.raises(KeyNotFound, match=f"add former={forged.key_id}"):
                use(forged, CONTEXT)
    with pytest.raises(Tampered):
        kms.unwrap(dataclasses.replace(other, key_id=shared_key), CONTEXT)
    assert {asked.get("KeyId") or asked["SourceKeyId"] for _, asked in proxy.asked} == {name}


def test_an_alias_may_move_to_another_key(
    account: Account, open_at: OpenKms, alias: str, shared_key: str, proxy: FaultProxy
) -> None:
    plain, new = open_at(alias), account.new_key()
    before = plain.wrap(SECRET, CONTEXT)
    account.point(alias, new)
    assert plain.wrap(SECRET, CONTEXT).key_id == new
    with pytest.raises(KeyNotFound, match=f"add former={shared_key}"):
        plain.unwrap(before, CONTEXT)

    kms = open_at(alias, options=f"&region={REGION}&former={FOREIGN},{shared_key}")
    assert kms.unwrap(before, CONTEXT) == SECRET
    after = kms.rewrap(before, CONTEXT)
    assert proxy.operations[-1] == "ReEncrypt"
    assert after.key_id == new != before.key_id
    assert [each.unwrap(after, CONTEXT) for each in (kms, plain)] == [SECRET, SECRET]


def test_a_wrap_does_not_open_under_the_name_of_another_key(
    account: Account, open_at: OpenKms, alias: str, shared_key: str
) -> None:
    kms = open_at(alias, options=f"&region={REGION}&former={shared_key},{FOREIGN}")
    account.point(alias, new := account.new_key())
    wrapped = kms.wrap(SECRET, CONTEXT)
    assert kms.unwrap(wrapped, CONTEXT) == SECRET
    for name in (shared_key, new.replace(":123456789012:", ":666666666666:")):
        for use in (kms.unwrap, kms.rewrap):
            with pytest.raises(Tampered, match="did not make it"):
                use(dataclasses.replace(wrapped, key_id=name), CONTEXT)


def test_a_database_follows_its_alias(account: Account, open_at: OpenKms, alias: str, shared_key: str) -> None:
    """As the guide tells it."""
    kms = open_at(alias)
    dek = deks.create(deks.Purpose.RECORDS, 1, DATABASE_ID, {"awskms:plain": kms})
    account.point(alias, new := account.new_key())
    with pytest.raises(KeyNotFound, match="former="):
        deks.unwrap(dek, DATABASE_ID, {"awskms:plain": kms})

    # another option, another URI, which no wrap names yet
    named = {"awskms:former": open_at(alias, options=f"&region={REGION}&former={shared_key}")}
    root = deks.unwrap(dek, DATABASE_ID, named)
    moved = deks.add_wrap(dek, DATABASE_ID, root, *named.popitem(), first=True)
    moved = deks.remove_wrap(moved, "awskms:plain")
    assert [wrap.wrapped.key_id for wrap in moved.wraps] == [new]
    assert deks.unwrap(moved, DATABASE_ID, {"awskms:plain": kms}) == root
