# SPDX-License-Identifier: Apache-2.0
"""Making a key encryption key that may do what the best rung of its token needs, and nothing else."""

from __future__ import annotations

import os
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag

from e4core.errors import Conflict
from e4kms.pkcs11.address import Address
from e4kms.pkcs11.keys import GUARDED, KEY_TYPES, Kek, candidates, ids, in_the_way
from e4kms.pkcs11.ladder import LADDER, UNFIT, Rung
from e4kms.pkcs11.module import Link
from e4kms.pkcs11.refusals import is_final, unsupported

_ID_LEN = 16
_RSA_BITS, _RSA_TRIAL_BITS, _SYMMETRIC_BITS = 3072, 2048, 256
_NOTHING = MechanismFlag(0)


def create(link: Link, address: Address) -> None:
    """Make the KEK, and its HMAC key where one is needed. Raises: Conflict (``exists``); KmsError; pkcs11.PKCS11Error."""
    if in_the_way(link.session, address):
        raise _exists(address)
    rung = _best(link, address)
    with link.token.open(rw=True) as session:
        kek = _made(session, rung, address.id or os.urandom(_ID_LEN), address.label, store=True)
        try:
            is_only = len(candidates(session, address)) == 1
        except pkcs11.PKCS11Error:
            _destroy(kek)
            raise
        # another machine may have made one in the same moment: two would be worse than none
        if not is_only:
            _destroy(kek)
            raise _exists(address)


def _best(link: Link, address: Address) -> Rung:
    """The first rung that works with a key that is gone with its session."""
    listed = link.token.slot.get_mechanisms()
    last: Exception | None = None
    for rung in LADDER:
        if rung.mechanism in listed and rung.key_type in KEY_TYPES[address.type]:
            try:
                # each in a session of its own: one that failed may stay stuck
                with link.token.open() as session:
                    rung.probe(_made(session, rung, b"", "", store=False))
            except UNFIT as error:
                last = error.with_traceback(None)
            else:
                return rung
    if isinstance(last, pkcs11.PKCS11Error) and not is_final(last):
        raise last  # the token itself may be in trouble
    raise unsupported(f"{address.token} wraps secrets in no way that is known here; use another token")


def _made(session: pkcs11.Session, rung: Rung, id: bytes, label: str, *, store: bool) -> Kek:
    # first, so that no KEK is ever without it
    mac = _mac(session, ids(id)[1] if id else b"", label, store) if rung.needs_mac else None
    may = {**GUARDED, **dict.fromkeys(rung.uses, True)}
    names: dict[str, Any] = {"id": id, "label": label, "store": store, "capabilities": _NOTHING}
    key: Any
    if rung.key_type is KeyType.RSA:
        # NSS asks for the use of the public half that belongs to that of the private one
        halves = {"public_template": {Attribute.ENCRYPT: True}, "private_template": may}
        _, key = session.generate_keypair(KeyType.RSA, _RSA_BITS if store else _RSA_TRIAL_BITS, **halves, **names)
    else:
        key = session.generate_key(KeyType.AES, _SYMMETRIC_BITS, template=may, **names)
    return Kek(id, rung.key_type, session, key, mac)


def _mac(session: pkcs11.Session, id: bytes, label: str, store: bool) -> Any:
    may = {**GUARDED, Attribute.SIGN: True, Attribute.VERIFY: True}
    kind = KeyType.GENERIC_SECRET
    return session.generate_key(
        kind, _SYMMETRIC_BITS, id=id, label=label, store=store, capabilities=_NOTHING, template=may
    )


def _destroy(kek: Kek) -> None:
    for key in filter(None, (kek.key, kek.mac)):
        key.destroy()


def _exists(address: Address) -> Conflict:
    return Conflict(f"{address} exists already and is not made again; use it, or choose another name", kind="exists")
