# SPDX-License-Identifier: Apache-2.0
"""Keys in a token: how they are made, named, found and told apart, and what they may do."""

from __future__ import annotations

import os
from dataclasses import replace

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes, keywrap, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from pkcs11 import Attribute, KeyType

from e4core.errors import Conflict, KeyNotFound, KmsError, KmsUnavailable, Tampered
from e4core.kms import Wrapped
from e4kms.pkcs11 import Pkcs11Kms
from tests.kms.pkcs11.conftest import CONTEXT, OpenKms, new_key, new_secret
from tests.kms.pkcs11.tokens import CRYPT, WRAP, Token, import_key


def test_a_key_that_the_token_does_not_have_is_not_found(kms: Pkcs11Kms, open_at: OpenKms) -> None:
    wrapped = kms.wrap(new_secret(), CONTEXT)
    with pytest.raises(KeyNotFound):
        kms.unwrap(replace(wrapped, key_id="00" * 16), CONTEXT)
    absent = open_at(new_key())
    for call in (absent.check, lambda: absent.wrap(new_secret(), CONTEXT)):
        with pytest.raises(KeyNotFound):
            call()
    with pytest.raises(KeyNotFound):
        absent.unwrap(wrapped, CONTEXT)


def test_the_key_is_made_once(kms: Pkcs11Kms, open_at: OpenKms, key: str) -> None:
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)
    for again in (kms, open_at(key)):
        with pytest.raises(Conflict) as caught:
            again.create_key()
        assert caught.value.kind == "exists"
    assert kms.unwrap(wrapped, CONTEXT) == secret


def test_no_wrap_chooses_another_key(token: Token, kms: Pkcs11Kms, open_at: OpenKms) -> None:
    """Who writes the database and knows another key of the token must not choose what is in a root secret."""
    id = os.urandom(4)
    import_key(token, other := new_key(), CRYPT + WRAP, id)
    import_key(token, other, (Attribute.SIGN, Attribute.VERIFY), id + b"-mac", kind=KeyType.GENERIC_SECRET)
    forged = open_at(other).wrap(new_secret(), CONTEXT)
    for use in (kms.unwrap, kms.rewrap):
        with pytest.raises(KeyNotFound, match=f"add former={id.hex()}"):
            use(forged, CONTEXT)
    with pytest.raises(Tampered):
        kms.unwrap(replace(forged, key_id=kms.wrap(new_secret(), CONTEXT).key_id), CONTEXT)


def test_after_a_rotation_wraps_under_a_former_key_open_and_move(kms: Pkcs11Kms, open_at: OpenKms, key: str) -> None:
    old = kms.wrap(secret := new_secret(), CONTEXT)
    open_at(newer := new_key()).create_key()
    again = open_at(newer, options=f"&former=00,{old.key_id}")
    new = again.rewrap(old, CONTEXT)
    assert again.unwrap(old, CONTEXT) == again.unwrap(new, CONTEXT) == secret
    assert new.key_id == again.wrap(secret, CONTEXT).key_id != old.key_id
    with pytest.raises(Tampered):
        again.rewrap(old, b"another context")
    with pytest.raises(KeyNotFound):
        open_at(key).unwrap(new, CONTEXT)


def test_a_key_may_be_named_by_its_id(kms: Pkcs11Kms, open_at: OpenKms, key: str) -> None:
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)
    encoded = "".join(f"%{byte:02x}" for byte in bytes.fromhex(wrapped.key_id))
    assert open_at(f"id={encoded}").unwrap(wrapped, CONTEXT) == secret
    assert open_at(f"id={encoded};{key}").wrap(secret, CONTEXT).key_id == wrapped.key_id


def test_a_key_is_made_with_the_id_that_the_uri_names(open_at: OpenKms, key: str) -> None:
    id = os.urandom(8).hex()
    kms = open_at(f"{key};id=" + "".join(f"%{byte:02X}" for byte in bytes.fromhex(id)))
    kms.create_key()
    assert kms.wrap(new_secret(), CONTEXT).key_id == id


def test_an_id_that_another_key_has_is_not_given_again(token: Token, open_at: OpenKms, key: str) -> None:
    id = os.urandom(4)
    import_key(token, new_key(), (Attribute.SIGN,), id, kind=KeyType.GENERIC_SECRET)
    with pytest.raises(Conflict):
        open_at(f"{key};id=" + "".join(f"%{byte:02X}" for byte in id)).create_key()


def test_the_key_can_neither_be_read_nor_taken_out(token: Token, kms: Pkcs11Kms, key: str) -> None:
    def look(session: pkcs11.Session) -> list[tuple[object, ...]]:
        found = list(session.get_objects({Attribute.LABEL: key.removeprefix("object=")}))
        for one in found:
            with pytest.raises(pkcs11.AttributeSensitive):
                one[Attribute.VALUE]
        kinds = (Attribute.SENSITIVE, Attribute.EXTRACTABLE, Attribute.PRIVATE, Attribute.TOKEN)
        return [tuple(one[kind] for kind in kinds) for one in found]

    seen = token.job(look)
    assert set(seen) == {(True, False, True, True)}
    assert len(seen) == (2 if "hmac" in token.mechanism else 1)


def test_the_key_may_do_no_more_than_its_mechanism_needs(token: Token, kms: Pkcs11Kms, key: str) -> None:
    def uses(session: pkcs11.Session) -> set[Attribute]:
        kek = session.get_key(label=key.removeprefix("object="), key_type=KeyType.AES)
        return {use for use in CRYPT + WRAP + (Attribute.SIGN, Attribute.DERIVE) if kek[use]}

    assert token.job(uses) == set(WRAP if token.mechanism == "aes-key-wrap" else CRYPT)


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        (CRYPT, {"softhsm": "aes-gcm", "opencryptoki": "aes-cbc-pad-hmac-sha256", "nss": "aes-cbc-pad-hmac-sha256"}),
        (WRAP, {"softhsm": "aes-key-wrap", "opencryptoki": "", "nss": "aes-key-wrap"}),
        ((), {"softhsm": "", "opencryptoki": "", "nss": ""}),
    ],
)
def test_a_key_made_by_others_is_used_for_what_it_may(
    token: Token, open_at: OpenKms, key: str, uses: tuple[Attribute, ...], expected: dict[str, str]
) -> None:
    id = os.urandom(4)
    import_key(token, key, uses, id)
    import_key(token, key, (Attribute.SIGN, Attribute.VERIFY), id + b"-mac", kind=KeyType.GENERIC_SECRET)
    kms = open_at(key)
    if expected[token.name]:
        wrapped = kms.wrap(secret := new_secret(), CONTEXT)
        assert wrapped.mechanism == expected[token.name]
        assert kms.unwrap(wrapped, CONTEXT) == secret
    else:
        with pytest.raises(KmsError) as caught:
            kms.check()
        assert caught.value.kind == "kms_unsupported"


def test_without_its_hmac_key_a_wrap_is_not_called_tampered(token: Token, open_at: OpenKms, rsa_key: str) -> None:
    kms = open_at(rsa_key)
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)

    def rename(session: pkcs11.Session, old: bytes, new: bytes) -> None:
        mac = session.get_key(key_type=KeyType.GENERIC_SECRET, id=old)
        mac[Attribute.ID] = new

    id = bytes.fromhex(wrapped.key_id) + b"-mac"
    token.job(lambda session: rename(session, id, b"elsewhere"))
    try:
        with pytest.raises(KeyNotFound):
            open_at(rsa_key).unwrap(wrapped, CONTEXT)
    finally:
        token.job(lambda session: rename(session, b"elsewhere", id))
    assert open_at(rsa_key).unwrap(wrapped, CONTEXT) == secret


def test_a_key_that_could_be_taken_out_is_refused(token: Token, open_at: OpenKms, key: str) -> None:
    id = os.urandom(4)
    import_key(token, key, CRYPT + WRAP, id, sensitive=False)
    import_key(token, key, (Attribute.SIGN, Attribute.VERIFY), id + b"-mac", kind=KeyType.GENERIC_SECRET)
    with pytest.raises(KmsError) as caught:
        open_at(key).wrap(new_secret(), CONTEXT)
    assert caught.value.kind == "kms_unsupported"


def test_a_key_without_an_id_is_refused(token: Token, open_at: OpenKms, key: str) -> None:
    import_key(token, key, CRYPT + WRAP, b"")
    with pytest.raises(KmsError, match="CKA_ID"):
        open_at(key).wrap(new_secret(), CONTEXT)


def test_of_two_keys_with_one_label_neither_is_guessed(token: Token, open_at: OpenKms, key: str) -> None:
    for id in (b"1", b"2"):
        import_key(token, key, CRYPT + WRAP, key[-8:].encode() + id)
    with pytest.raises(KmsError, match="id"):
        open_at(key).wrap(new_secret(), CONTEXT)


def test_a_token_that_is_not_there_is_unavailable(open_at: OpenKms, key: str) -> None:
    with pytest.raises(KmsUnavailable):
        open_at(key, token="token=absent").check()


def test_a_token_is_known_by_all_that_it_says(token: Token, kms: Pkcs11Kms, key: str, open_at: OpenKms) -> None:
    def tell(session: pkcs11.Session) -> dict[str, str]:
        it = session.token
        return {
            "token": it.label,
            "serial": it.serial.decode(),
            "manufacturer": it.manufacturer_id,
            "model": it.model,
            "slot-id": str(it.slot.slot_id),
        }

    said = token.job(tell)
    wrapped = kms.wrap(secret := new_secret(), CONTEXT)
    whole = ";".join(f"{name}={value.replace(' ', '%20')}" for name, value in said.items())
    assert open_at(key, token=whole).unwrap(wrapped, CONTEXT) == secret
    assert open_at(key, token=f"slot-id={said['slot-id']}").unwrap(wrapped, CONTEXT) == secret
    for name in ("serial", "manufacturer", "model"):
        with pytest.raises(KmsUnavailable):
            open_at(key, token=f"token={said['token'].replace(' ', '%20')};{name}=other").check()


def test_wrapping_is_what_the_standards_say(token: Token, open_at: OpenKms, key: str) -> None:
    """With keys known outside, other software opens what the token wrapped."""
    id = os.urandom(4)
    kek = import_key(token, key, WRAP if token.mechanism == "aes-key-wrap" else CRYPT, id)
    mac = import_key(token, key, (Attribute.SIGN, Attribute.VERIFY), id + b"-mac", kind=KeyType.GENERIC_SECRET)
    wrapped = open_at(key).wrap(secret := new_secret(), CONTEXT)
    assert wrapped.mechanism == token.mechanism
    assert opened_outside(wrapped, kek, mac) == secret


def opened_outside(wrapped: Wrapped, kek: bytes, mac: bytes) -> bytes:
    def fields(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(4, "little") + part for part in parts)

    blob = wrapped.blob
    bound = fields(b"e4 pkcs11 kms v1", bytes.fromhex(wrapped.key_id), wrapped.mechanism.encode(), CONTEXT)
    if wrapped.mechanism == "aes-gcm":
        return AESGCM(kek).decrypt(blob[:12], blob[12:], bound)
    if wrapped.mechanism == "aes-key-wrap":
        carried = blob[2 : 2 + int.from_bytes(blob[:2], "big")]
        return AESGCM(keywrap.aes_key_unwrap(kek, carried)).decrypt(
            bytes(12), blob[2 + len(carried) :], fields(bound, carried)
        )
    check = HMAC(mac, hashes.SHA256())
    check.update(fields(bound, blob[:-32]))
    check.verify(blob[-32:])
    decryptor = Cipher(algorithms.AES256(kek), modes.CBC(blob[:16])).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(blob[16:-32]) + decryptor.finalize()) + unpadder.finalize()
