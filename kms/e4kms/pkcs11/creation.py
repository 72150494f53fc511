# SPDX-License-Identifier: Apache-2.0
"""Making a key encryption key that may do what the best rung of its token needs, and nothing else."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag

from e4core.errors import Conflict
from e4kms.pkcs11.address import Address
from e4kms.pkcs11.keys import GUARDED, KEY_TYPES, Kek, candidates, ids, in_the_way, remainders
from e4kms.pkcs11.ladder import LADDER, UNFIT, Rung
from e4kms.pkcs11.module import Link
from e4kms.pkcs11.refusals import is_final, unsupported

_ID_LEN = 16
_RSA_BITS, _RSA_TRIAL_BITS, _SYMMETRIC_BITS = 3072, 2048, 256
_LOCK_PAUSE_S = 0.01
_NOTHING = MechanismFlag(0)


@contextmanager
def one_at_a_time(address: Address) -> Iterator[None]:
    """Keep others on this machine from making a key by the same module meanwhile: tokens show late what another process has made.

    Who keeps the lock for longer than the timeout of the URI is not waited for: `create` looks for itself.
    """
    try:
        file = os.open(address.module, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # that it is no module is found out where it is used
        yield
        return
    try:
        deadline = time.monotonic() + address.timeout_s
        while not _locked(file) and time.monotonic() < deadline:
            time.sleep(_LOCK_PAUSE_S)
        yield
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def create(link: Link, address: Address) -> None:
    """Make the KEK, and its HMAC key where one is needed. Raises: Conflict (``exists``); KmsError; pkcs11.PKCS11Error."""
    if in_the_way(link.session, address):
        raise _exists(address)
    rung = _best(link, address)
    with link.token.open(rw=True) as session:
        if address.id:
            _clear(session, address)  # no two keys may have one id
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
        # only now: that of who is about to make the same key looks like a remainder, and he is going to give way to this one
        with suppress(pkcs11.PKCS11Error):
            _clear(session, address)


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
    try:
        key = _key(session, rung, id, label, store)
    except pkcs11.PKCS11Error:
        _discard(mac)
        raise
    return Kek(id, rung.key_type, session, key, mac)


def _key(session: pkcs11.Session, rung: Rung, id: bytes, label: str, store: bool) -> Any:
    may = {**GUARDED, **dict.fromkeys(rung.uses, True)}
    names: dict[str, Any] = {"id": id, "label": label, "store": store, "capabilities": _NOTHING}
    if rung.key_type is not KeyType.RSA:
        return session.generate_key(KeyType.AES, _SYMMETRIC_BITS, template=may, **names)
    # NSS asks for the use of the public half that belongs to that of the private one
    halves = {"public_template": {Attribute.ENCRYPT: True}, "private_template": may}
    return session.generate_keypair(KeyType.RSA, _RSA_BITS if store else _RSA_TRIAL_BITS, **halves, **names)[1]


def _mac(session: pkcs11.Session, id: bytes, label: str, store: bool) -> Any:
    may = {**GUARDED, Attribute.SIGN: True, Attribute.VERIFY: True}
    kind = KeyType.GENERIC_SECRET
    return session.generate_key(
        kind, _SYMMETRIC_BITS, id=id, label=label, store=store, capabilities=_NOTHING, template=may
    )


def _destroy(kek: Kek) -> None:
    kek.key.destroy()
    _discard(kek.mac)


def _discard(mac: Any) -> None:
    # one that stays, or that others have removed by now, does no harm
    if mac:
        with suppress(pkcs11.PKCS11Error):
            mac.destroy()


def _clear(session: pkcs11.Session, address: Address) -> None:
    for mac in remainders(session, address):
        mac.destroy()


def _exists(address: Address) -> Conflict:
    return Conflict(f"{address} exists already and is not made again; use it, or choose another name", kind="exists")
