# SPDX-License-Identifier: Apache-2.0
"""A key in a PKCS#11 token as a KMS.

``Wrapped.key_id`` is the CKA_ID of the key in hex, ``Wrapped.mechanism`` the rung of `e4kms.pkcs11.ladder` that made
``Wrapped.blob``. All three and the context are bound. A wrap opens only under the key that the URI names now, or one of its former
ones: others of the token may be known to somebody, who must not choose our root secrets by writing to the database.
"""

from __future__ import annotations

import os
import re

import pkcs11
from cryptography.exceptions import InvalidTag

from e4core.errors import KeyNotFound, KmsError, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms.pkcs11 import keys
from e4kms.pkcs11.access import Access
from e4kms.pkcs11.address import Address
from e4kms.pkcs11.creation import create, one_at_a_time
from e4kms.pkcs11.keys import Kek
from e4kms.pkcs11.ladder import KEY_LEN, LADDER, RUNGS, UNFIT, Rung
from e4kms.pkcs11.module import Link
from e4kms.pkcs11.refusals import is_final, unsupported
from e4kms.records import canonical

_KEY_ID = re.compile(r"(?:[0-9a-f]{2})+")


def open_kms(uri: str) -> Pkcs11Kms:
    """The KMS at ``uri``; the module is not loaded yet. Raises: InvalidInput (``bad_uri``)."""
    return Pkcs11Kms(Address.parse(uri))


class Pkcs11Kms:
    """A `e4core.kms.Kms` that can also `rewrap` and `create_key`."""

    __slots__ = ("_access", "_address", "_chosen")

    def __init__(self, address: Address) -> None:
        self._address = address
        self._access = Access(address)
        self._chosen: dict[bytes, Rung] = {}

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        return self._access.run(lambda link: self._wrap(link, secret, context))

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        rung, id = self._made_by(wrapped)
        return self._access.run(lambda link: self._unwrap(link, rung, id, wrapped.blob, context))

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        """The same secret under the key that the URI names now. Raises: as `unwrap`."""
        rung, id = self._made_by(wrapped)
        return self._access.run(
            lambda link: self._wrap(link, self._unwrap(link, rung, id, wrapped.blob, context), context)
        )

    def create_key(self) -> None:
        """Make the key: sensitive, never to be extracted, for nothing but wrapping.

        Raises: Conflict (``exists``); KmsError.
        """
        with one_at_a_time(self._address):
            self._access.run(lambda link: create(link, self._address))

    def check(self) -> None:
        def job(link: Link) -> bool:
            wrapped = self._wrap(link, probe, context)
            return self._unwrap(link, *self._made_by(wrapped), wrapped.blob, context) == probe

        probe, context = Secret(os.urandom(KEY_LEN)), b"e4 probe"
        if not self._access.run(job):
            raise KmsError(f"{self._address} does not give back what it wrapped; do not use this token")

    @property
    def about(self) -> dict[str, str]:
        """What a conformance report says of it. Raises: KmsError."""
        return self._access.about()

    def close(self) -> None:
        self._access.close()

    def _wrap(self, link: Link, secret: Secret, context: bytes) -> Wrapped:
        rung = self._rung(link)
        kek = keys.named(link, self._address)
        return Wrapped(kek.id.hex(), rung.name, rung.seal(kek, rung, secret, _bound(kek.id, rung, context)))

    def _unwrap(self, link: Link, rung: Rung, id: bytes, blob: bytes, context: bytes) -> Secret:
        def opened(kek: Kek) -> Secret:
            return Secret(rung.open(kek, rung, blob, _bound(id, rung, context)))

        try:
            try:
                return opened(self._kek(link, rung, id))
            except pkcs11.PKCS11Error:
                link.renew()
            try:
                return opened(self._kek(link, rung, id))
            except pkcs11.NoSuchKey:
                raise
            except pkcs11.PKCS11Error:
                link.renew()
            # tokens have the same error for a changed wrap and for trouble of their own: what opens now, if not this?
            rung.probe(self._kek(link, rung, id))
        except InvalidTag:
            pass
        raise Tampered(
            f"a secret wrapped under key {id.hex()} was changed or belongs elsewhere; restore it from a backup"
        )

    def _kek(self, link: Link, rung: Rung, id: bytes) -> Kek:
        """What opens a wrap. Raises: KeyNotFound: the URI does not name it; InvalidTag: it never wrapped so; KmsError."""
        is_former = id in self._address.former
        kek = keys.by_id(link, rung.key_type, id) if is_former else keys.named(link, self._address)
        if kek.id != id:
            raise KeyNotFound(
                f"wrapped under key {id.hex()}, and {self._address} is key {kek.id.hex()}; if you know the other as its former "
                f"key, add former={id.hex()} to the URI, else restore the wrap from a backup"
            )
        if kek.type is not rung.key_type or not kek.may(*rung.uses):
            raise InvalidTag
        return kek

    def _rung(self, link: Link) -> Rung:
        """The best that works with the key that the URI names. Raises: KmsError; pkcs11.PKCS11Error."""
        id = keys.named(link, self._address).id
        if id not in self._chosen:
            self._chosen[id] = self._first_that_works(link)
        return self._chosen[id]

    def _first_that_works(self, link: Link) -> Rung:
        listed = link.token.slot.get_mechanisms()
        last: Exception | None = None
        for rung in LADDER:
            kek = keys.named(link, self._address)
            if rung.fits(kek, listed):
                try:
                    rung.probe(kek)
                except UNFIT as error:
                    last = error.with_traceback(None)
                    link.renew()
                else:
                    return rung
        if isinstance(last, pkcs11.PKCS11Error) and not is_final(last):
            raise last  # the token itself may be in trouble
        raise unsupported(f"{self._address} can wrap in no way that is known here; let this driver make another key")

    def _made_by(self, wrapped: Wrapped) -> tuple[Rung, bytes]:
        rung = RUNGS.get(wrapped.mechanism)
        if not rung or not _KEY_ID.fullmatch(wrapped.key_id):
            raise Tampered(
                f"{wrapped.mechanism!r} under {wrapped.key_id!r} is not how a PKCS#11 token wraps here; "
                "restore the wrap from a backup"
            )
        return rung, bytes.fromhex(wrapped.key_id)


def _bound(id: bytes, rung: Rung, context: bytes) -> bytes:
    return canonical(b"e4 pkcs11 kms v1", id, rung.name.encode(), context)
