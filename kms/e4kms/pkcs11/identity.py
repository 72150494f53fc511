# SPDX-License-Identifier: Apache-2.0
"""A key pair whose private half stays in a PKCS#11 token, as the identity of a C2 or of a device with a secure element.

What tokens can do varies: P-256 is common, X25519 and Ed25519 are not. A pair is for one purpose, to agree or to sign: no pair
should serve both (SP 800-56A revision 3, section 5.6.3.2).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pkcs11
from pkcs11 import Attribute, ObjectClass

from e4core.errors import Conflict, InvalidInput, KmsError, Tampered
from e4core.keys import Secret
from e4kms.pkcs11.access import Access
from e4kms.pkcs11.address import Address
from e4kms.pkcs11.creation import one_at_a_time
from e4kms.pkcs11.curves import ED25519, P256_AGREE, P256_SIGN, X25519, Curve, Making, checked_peer, ecdh, ecdsa, eddsa
from e4kms.pkcs11.keys import GUARDED, in_the_way, require_guarded, stored
from e4kms.pkcs11.module import Link
from e4kms.pkcs11.refusals import is_final, unsupported

__all__ = ["ED25519", "P256_AGREE", "P256_SIGN", "X25519", "TokenIdentity", "open_identity"]

_ID_LEN = 16
_SIGNS: dict[str, Callable[[Any, bytes], bytes]] = {P256_SIGN.name: ecdsa, ED25519.name: eddsa}


CURVES = {curve.name: curve for curve in (X25519, ED25519, P256_AGREE, P256_SIGN)}


def open_key(uri: str, algorithm: str) -> TokenIdentity:
    """As `open_identity`, the curve by its name. Raises, too: KmsError (``kms_unsupported``)."""
    if algorithm not in CURVES:
        raise unsupported(f"keys of {algorithm} are not supported in PKCS#11 tokens; choose another suite")
    return open_identity(uri, CURVES[algorithm])


def open_identity(uri: str, curve: Curve) -> TokenIdentity:
    """The pair that ``uri`` names, as in `Address`; the module is not loaded yet. Raises: InvalidInput (``bad_uri``)."""
    address = Address.parse(uri)
    if address.type == "secret-key":
        raise InvalidInput("a key pair is of type=private; mend the pkcs11 URI", kind="bad_uri")
    return TokenIdentity(replace(address, type="private"), curve)


class TokenIdentity:
    """May be used from any thread, and in a forked child. Every call may raise KmsError."""

    __slots__ = ("_access", "_address", "curve")

    def __init__(self, address: Address, curve: Curve) -> None:
        self._address = address
        self.curve = curve
        self._access = Access(address)

    def public(self) -> bytes:
        """P-256: the uncompressed point, 65 B; X25519, Ed25519: 32 B (RFC 7748, RFC 8032).

        Raises: Tampered: the halves do not belong together; KeyNotFound.
        """
        return self._access.run(lambda link: self._pair(link)[1])

    def agree(self, peer_public: bytes, /) -> Secret:
        """The raw shared secret, 32 B, to be put through a KDF. Raises: InvalidInput: ``peer_public``."""
        self._require(Attribute.DERIVE)
        peer = checked_peer(self.curve, peer_public)
        return self._access.run(lambda link: Secret(ecdh(self._pair(link)[0], peer)))

    def sign(self, message: bytes, /) -> bytes:
        """64 B: for P-256 r | s over SHA-256, for Ed25519 as in RFC 8032."""
        self._require(Attribute.SIGN)
        return self._access.run(lambda link: _SIGNS[self.curve.name](self._pair(link)[0], message))

    def create(self) -> None:
        """Make the pair. Raises: Conflict (``exists``); KmsError (``kms_unsupported``): not on this token."""
        with one_at_a_time(self._address):
            self._access.run(self._create)

    def close(self) -> None:
        self._access.close()

    def _require(self, use: Attribute) -> None:
        if self.curve.use is not use:
            raise unsupported(f"{self._address} is a pair for {self.curve.name} and does nothing else")

    def _pair(self, link: Link) -> tuple[Any, bytes]:
        if self.curve not in link.keys:
            names = {Attribute.LABEL: self._address.label, Attribute.ID: self._address.id}
            given = {name: value for name, value in names.items() if value}
            found = stored(link.session, {Attribute.CLASS: ObjectClass.PRIVATE_KEY, **given})
            link.keys[self.curve] = self._checked(link, found)
        pair: tuple[Any, bytes] = link.keys[self.curve]
        return pair

    def _checked(self, link: Link, found: list[Any]) -> tuple[Any, bytes]:
        if not found:
            raise pkcs11.NoSuchKey
        if len(found) > 1:
            raise KmsError(f"{self._address} is not the only one of that name; give its id in the URI")
        private = found[0]
        require_guarded(private, self._address)
        if not any(_is_made_so(private, making) for making in self.curve.makings):
            raise unsupported(
                f"{self._address} is no key of {self.curve.name}; name another, or let this driver make one"
            )
        named = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: private[Attribute.ID]}
        halves = stored(link.session, named)
        if not halves:
            raise unsupported(f"{self._address} has no public key beside it in the token; put it there")
        public = self.curve.point(halves[0][Attribute.EC_POINT])
        if len(public) != self.curve.public_len or not self.curve.proves(private, public):
            raise Tampered(f"the public key beside {self._address} does not belong to it; put the right one there")
        return private, public

    def _create(self, link: Link) -> None:
        if in_the_way(link.session, self._address):
            raise self._exists()
        listed = link.token.slot.get_mechanisms()
        last: pkcs11.PKCS11Error | None = None
        for making in self.curve.makings:
            if {making.mechanism, self.curve.mechanism} <= listed:
                try:
                    # tried with a pair that is gone with its session
                    with link.token.open() as session:
                        if not self._works(self._make(session, making, b"", store=False)):
                            continue
                    with link.token.open(rw=True) as session:
                        made = self._make(session, making, self._address.id or os.urandom(_ID_LEN), store=True)
                        self._require_only(session, made)
                except pkcs11.PKCS11Error as error:
                    last = error.with_traceback(None)
                else:
                    return
        if last and not is_final(last):
            raise last
        raise unsupported(
            f"{self._address.token} can make no pair for {self.curve.name}; choose another suite or token"
        )

    def _require_only(self, session: pkcs11.Session, made: tuple[Any, Any]) -> None:
        names = {Attribute.LABEL: self._address.label, Attribute.ID: self._address.id}
        wanted = [{Attribute.CLASS: ObjectClass.PRIVATE_KEY, name: value} for name, value in names.items() if value]
        try:
            is_only = all(len(stored(session, each)) == 1 for each in wanted)
        except pkcs11.PKCS11Error:
            _destroy(made)
            raise
        # another machine may have made one in the same moment: two would be worse than none
        if not is_only:
            _destroy(made)
            raise self._exists()

    def _exists(self) -> Conflict:
        return Conflict(f"{self._address} exists already and is not made again; choose another name", kind="exists")

    def _works(self, pair: tuple[Any, Any]) -> bool:
        public, private = pair
        return self.curve.proves(private, self.curve.point(public[Attribute.EC_POINT]))

    def _make(self, session: pkcs11.Session, making: Making, id: bytes, *, store: bool) -> tuple[Any, Any]:
        public = {Attribute.EC_PARAMS: making.params}
        if self.curve.use is Attribute.SIGN:
            public[Attribute.VERIFY] = True  # type: ignore[assignment]
        return session.generate_keypair(
            making.key_type,
            id=id,
            label=self._address.label if store else "",
            store=store,
            capabilities=0,
            mechanism=making.mechanism,
            public_template=public,
            private_template={**GUARDED, self.curve.use: True},
        )


def _destroy(pair: tuple[Any, Any]) -> None:
    for half in pair:
        half.destroy()


def _is_made_so(private: Any, making: Making) -> bool:
    return bool(private[Attribute.KEY_TYPE] is making.key_type and private[Attribute.EC_PARAMS] == making.params)
