# SPDX-License-Identifier: Apache-2.0
"""The key encryption key (KEK) in its token, found by label or CKA_ID; all of it is to be used in jobs of `e4kms.pkcs11.module`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11._pkcs11 import OperationContext, SearchIter  # type: ignore[attr-defined]

from e4core.errors import KmsError
from e4kms.pkcs11.address import Address
from e4kms.pkcs11.module import Link
from e4kms.pkcs11.refusals import unsupported

CLASSES: Mapping[KeyType, ObjectClass] = {KeyType.AES: ObjectClass.SECRET_KEY, KeyType.RSA: ObjectClass.PRIVATE_KEY}
KEY_TYPES: Mapping[str, tuple[KeyType, ...]] = {
    "": (KeyType.AES, KeyType.RSA),
    "secret-key": (KeyType.AES,),
    "private": (KeyType.RSA,),
}
"""What may be the KEK, by ``type`` of the URI, best first."""

GUARDED: Mapping[Attribute, bool] = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
"""A key that nobody can read or take out, though he knows the PIN."""


_MAC = b"-mac"
_BATCH = 10
_METHODS: Mapping[Attribute, str] = {
    Attribute.ENCRYPT: "encrypt",
    Attribute.DECRYPT: "decrypt",
    Attribute.WRAP: "wrap_key",
    Attribute.UNWRAP: "unwrap_key",
}


@dataclass(frozen=True, slots=True)
class Kek:
    """Handles of one session: the KEK, and the HMAC key that belongs to it, for mechanisms that do not authenticate."""

    id: bytes
    type: KeyType
    session: pkcs11.Session
    key: Any
    mac: Any = None

    def may(self, *uses: Attribute) -> bool:
        # the binding gives a key the methods that its attributes allow
        return all(hasattr(self.key, _METHODS[use]) for use in uses)


def named(link: Link, address: Address) -> Kek:
    """The KEK that the URI names. Raises: KmsError: several, none that is guarded; pkcs11.NoSuchKey; pkcs11.PKCS11Error."""
    if address not in link.keys:
        link.keys[address] = _only(link.session, candidates(link.session, address), address)
    kek: Kek = link.keys[address]
    return kek


def by_id(link: Link, key_type: KeyType, id: bytes) -> Kek:
    """The KEK of that CKA_ID, whatever its label. Raises: as `named`."""
    if (key_type, id) not in link.keys:
        found = _search(link.session, CLASSES[key_type], key_type, {Attribute.ID: id})
        link.keys[key_type, id] = _only(link.session, found, f"the key with id {id.hex()}")
    kek: Kek = link.keys[key_type, id]
    return kek


def candidates(session: pkcs11.Session, address: Address) -> list[Any]:
    """All keys that the URI may mean."""
    names = {Attribute.LABEL: address.label, Attribute.ID: address.id}
    given = {name: value for name, value in names.items() if value}
    return [key for kind in KEY_TYPES[address.type] for key in _search(session, CLASSES[kind], kind, given)]


def in_the_way(session: pkcs11.Session, address: Address) -> bool:
    """Whether a key has the label that the URI names, or the CKA_ID, which NSS would take as leave to overwrite it."""
    by_label = [{Attribute.CLASS: CLASSES[kind], Attribute.LABEL: address.label} for kind in KEY_TYPES[address.type]]
    by_id = [{Attribute.CLASS: kind, Attribute.ID: id} for kind in CLASSES.values() for id in ids(address.id)]
    wanted = by_label * bool(address.label) + by_id * bool(address.id)
    left_over = remainders(session, address)
    return any(key not in left_over for names in wanted for key in stored(session, names))


def remainders(session: pkcs11.Session, address: Address) -> list[Any]:
    """HMAC keys of the name in the URI that no KEK has: whoever was about to make that was interrupted."""
    by_label, by_id = {Attribute.LABEL: address.label}, {Attribute.ID: ids(address.id)[1]}
    wanted = [by_label] * bool(address.label) + [by_id] * bool(address.id)
    found = [key for given in wanted for key in _search(session, ObjectClass.SECRET_KEY, KeyType.GENERIC_SECRET, given)]
    return [key for key in found if _is_guarded(key) and _is_alone(session, bytes(key[Attribute.ID]))]


def _is_alone(session: pkcs11.Session, mac_id: bytes) -> bool:
    id = mac_id.removesuffix(_MAC)
    keks = ({Attribute.CLASS: kind, Attribute.ID: id} for kind in CLASSES.values())
    return id != mac_id and not any(stored(session, kek) for kek in keks)


def ids(id: bytes) -> tuple[bytes, bytes]:
    """CKA_ID of the KEK, and of its HMAC key: not the same, for NSS replaces a secret key by the next of the same id."""
    return id, id + _MAC


def mac_key(session: pkcs11.Session, id: bytes) -> Any:
    """The HMAC key that belongs to the KEK of that CKA_ID, or None."""
    found = _search(session, ObjectClass.SECRET_KEY, KeyType.GENERIC_SECRET, {Attribute.ID: ids(id)[1]})
    if len(found) > 1:
        raise KmsError(f"{len(found)} HMAC keys have the id {ids(id)[1].hex()}; remove those that are not of this KMS")
    if not found:
        return None
    require_guarded(found[0], f"the HMAC key with id {ids(id)[1].hex()}")
    return found[0]


def _only(session: pkcs11.Session, found: list[Any], subject: object) -> Kek:
    if not found:
        raise pkcs11.NoSuchKey
    if len(found) > 1:
        raise KmsError(f"{subject} is not the only one of that name; give its id in the URI")
    key = found[0]
    require_guarded(key, subject)
    id = bytes(key[Attribute.ID])
    if not id:
        raise unsupported(f"{subject} has no CKA_ID, by which a wrap could name it; give it one")
    return Kek(id, key[Attribute.KEY_TYPE], session, key, mac_key(session, id))


def require_guarded(key: Any, subject: object) -> None:
    """Raises: KmsError (``kms_unsupported``): it may leave the token."""
    if not _is_guarded(key):
        raise unsupported(f"{subject} can be taken out of the token; let this driver make another key")


def _is_guarded(key: Any) -> bool:
    return all(key[attribute] is value for attribute, value in GUARDED.items())


def _search(
    session: pkcs11.Session, object_class: ObjectClass, key_type: KeyType, given: Mapping[Attribute, Any]
) -> list[Any]:
    return stored(session, {Attribute.CLASS: object_class, Attribute.KEY_TYPE: key_type, **given})


def stored(session: pkcs11.Session, wanted: Mapping[Attribute, Any]) -> list[Any]:
    """The objects of the token that have these attributes."""
    search = SearchIter(session, {Attribute.TOKEN: True, **wanted}, _BATCH)
    try:
        with search:
            return [key for batch in search for key in batch]
    except pkcs11.PKCS11Error:
        # else a search that could not begin is ended when it is deleted, where nobody can catch the error
        OperationContext._finalize(search)
        raise
