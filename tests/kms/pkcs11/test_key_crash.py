# SPDX-License-Identifier: Apache-2.0
"""Making a key encryption key may be interrupted at any point: its name is not blocked, and no HMAC key of others is touched."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, ObjectClass

from e4core.errors import Conflict
from e4kms.pkcs11 import Pkcs11Kms
from e4kms.pkcs11.creation import _made
from e4kms.pkcs11.keys import GUARDED
from e4kms.pkcs11.ladder import RUNGS
from tests.kms import warm
from tests.kms.pkcs11.conftest import OpenKms, new_key
from tests.kms.pkcs11.tokens import Token

NEEDS_HMAC = pytest.mark.parametrize("token", ["opencryptoki"], indirect=True)


def killed_after(point: str, uri: str) -> None:
    child = warm.run("from tests.kms.pkcs11 import dying_creation; dying_creation.main()", point, uri)
    assert child.returncode == -signal.SIGKILL, child.stderr


def in_token(token: Token, key: str) -> set[tuple[KeyType, bytes]]:
    """Type and CKA_ID of the secret keys of a label."""

    def found(session: pkcs11.Session) -> set[tuple[KeyType, bytes]]:
        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: key.removeprefix("object=")}
        return {(one[Attribute.KEY_TYPE], one[Attribute.ID]) for one in list(session.get_objects(wanted))}

    return token.job(found)


def leave(token: Token, key: str, id: bytes) -> None:
    """An HMAC key as this driver makes it, without the KEK."""
    uses = {**GUARDED, Attribute.SIGN: True, Attribute.VERIFY: True}
    how = {"id": id, "label": key.removeprefix("object="), "store": True, "capabilities": 0, "template": uses}
    token.job(lambda session: session.generate_key(KeyType.GENERIC_SECRET, 256, **how))  # type: ignore[arg-type]


def spelled(id: bytes) -> str:
    return "".join(f"%{byte:02x}" for byte in id)


@NEEDS_HMAC
@pytest.mark.parametrize("named_by", ["label", "label and id"])
def test_killed_between_its_two_keys_it_is_made_anew(token: Token, open_at: OpenKms, key: str, named_by: str) -> None:
    name = key if named_by == "label" else f"{key};id={spelled(os.urandom(8))}"
    for _ in range(2):
        killed_after("the HMAC key", token.uri(name))
    assert {kind for kind, _ in in_token(token, key)} == {KeyType.GENERIC_SECRET}
    kms = open_at(name)
    kms.create_key()
    kms.check()
    (kek,) = (id for kind, id in in_token(token, key) if kind is KeyType.AES)
    assert in_token(token, key) == {(KeyType.AES, kek), (KeyType.GENERIC_SECRET, kek + b"-mac")}


@NEEDS_HMAC
def test_killed_after_both_it_is_made(token: Token, open_at: OpenKms, key: str) -> None:
    killed_after("both keys", token.uri(key))
    kms = open_at(key)
    with pytest.raises(Conflict):
        kms.create_key()
    kms.check()


@pytest.mark.parametrize("named_by", ["label", "id"])
def test_a_remainder_blocks_no_name(token: Token, open_at: OpenKms, key: str, named_by: str) -> None:
    id = os.urandom(8)
    leave(token, key, id + b"-mac")
    kms = open_at(key if named_by == "label" else f"id={spelled(id)};{key}")
    kms.create_key()
    kms.check()
    keks = [each for kind, each in in_token(token, key) if kind is KeyType.AES]
    macs = [each for kind, each in in_token(token, key) if kind is KeyType.GENERIC_SECRET]
    assert len(keks) == 1
    assert macs == [keks[0] + b"-mac"] * ("hmac" in token.mechanism)


def test_the_hmac_key_of_another_kek_is_left_alone(token: Token, open_at: OpenKms, kms: Pkcs11Kms, key: str) -> None:
    """As after a KEK was given another label, but not its HMAC key."""
    (kek,) = (id for kind, id in in_token(token, key) if kind is KeyType.AES)
    other = new_key()
    if "hmac" in token.mechanism:
        relabel(token, key, other)
    else:
        leave(token, other, kek + b"-mac")
    with pytest.raises(Conflict):
        open_at(other).create_key()
    assert in_token(token, other) == {(KeyType.GENERIC_SECRET, kek + b"-mac")}
    kms.check()


def relabel(token: Token, key: str, other: str) -> None:
    def change(session: pkcs11.Session) -> None:
        mac = session.get_key(label=key.removeprefix("object="), key_type=KeyType.GENERIC_SECRET)
        mac[Attribute.LABEL] = other.removeprefix("object=")

    token.job(change)


@pytest.mark.parametrize("token", ["softhsm", "opencryptoki"], indirect=True)  # NSS makes what it does not understand
def test_a_kek_that_cannot_be_made_leaves_no_hmac_key(token: Token, key: str) -> None:
    impossible = replace(RUNGS["aes-cbc-pad-hmac-sha256"], uses=(Attribute.MODULUS_BITS,))
    with pytest.raises(pkcs11.PKCS11Error):
        token.job(lambda session: _made(session, impossible, os.urandom(8), key.removeprefix("object="), store=True))
    assert in_token(token, key) == set()
