# SPDX-License-Identifier: Apache-2.0
"""Key pairs that stay in a token: they agree and sign as `cryptography` does, or it is said plainly that they cannot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, ObjectClass

from e4core.errors import Conflict, InvalidInput, KeyNotFound, KmsError, Tampered
from e4core.keys import Secret
from e4kms.pkcs11 import open_kms
from e4kms.pkcs11.curves import Curve
from e4kms.pkcs11.identity import ED25519, P256_AGREE, P256_SIGN, X25519, TokenIdentity, _is_made_so, open_identity
from tests.kms.pkcs11.tokens import Token

CAN = {
    "softhsm": (P256_AGREE, P256_SIGN, X25519, ED25519),
    "opencryptoki": (),
    "nss": (P256_AGREE, P256_SIGN),
}
"""What the releases of Debian 12 can do."""

Open = Callable[..., TokenIdentity]


@pytest.fixture
def open_as(token: Token, key: str) -> Iterator[Open]:
    opened: list[TokenIdentity] = []

    def open_as(curve: Curve, named: str = "") -> TokenIdentity:
        opened.append(open_identity(token.uri(named or key), curve))
        return opened[-1]

    yield open_as
    for identity in opened:
        identity.close()


@pytest.fixture(params=[P256_AGREE, P256_SIGN, X25519, ED25519], ids=lambda curve: curve.name)
def identity(request: pytest.FixtureRequest, token: Token, open_as: Open) -> TokenIdentity | None:
    """A pair, or None where the token says that it can make none of this kind."""
    identity = open_as(request.param)
    if request.param in CAN[token.name]:
        identity.create()
        return identity
    with pytest.raises(KmsError) as caught:
        identity.create()
    assert caught.value.kind == "kms_unsupported"
    return None


def test_it_does_what_it_is_for(identity: TokenIdentity | None, request: pytest.FixtureRequest) -> None:
    if identity:
        curve = request.node.callspec.params["identity"]
        DOES[curve.name](identity)


def agrees_on_p256(identity: TokenIdentity) -> None:
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), identity.public())
    for _ in range(40):
        own = ec.generate_private_key(ec.SECP256R1())
        half = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        assert identity.agree(half) == own.exchange(ec.ECDH(), public)
    refuses_to_sign(identity)


def agrees_on_x25519(identity: TokenIdentity) -> None:
    public = x25519.X25519PublicKey.from_public_bytes(identity.public())
    for _ in range(40):
        own = x25519.X25519PrivateKey.generate()
        shared = identity.agree(own.public_key().public_bytes_raw())
        assert isinstance(shared, Secret)
        assert shared == own.exchange(public)
    refuses_to_sign(identity)


def signs_on_p256(identity: TokenIdentity) -> None:
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), identity.public())
    for message in (b"", b"m", os.urandom(5000)):
        signature = identity.sign(message)
        assert len(signature) == 64
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    refuses_to_agree(identity, os.urandom(65))


def signs_on_ed25519(identity: TokenIdentity) -> None:
    public = ed25519.Ed25519PublicKey.from_public_bytes(identity.public())
    for message in (b"m", os.urandom(5000)):
        public.verify(identity.sign(message), message)
    refuses_to_agree(identity, os.urandom(32))


DOES = {
    P256_AGREE.name: agrees_on_p256,
    P256_SIGN.name: signs_on_p256,
    X25519.name: agrees_on_x25519,
    ED25519.name: signs_on_ed25519,
}


def refuses_to_sign(identity: TokenIdentity) -> None:
    with pytest.raises(KmsError) as caught:
        identity.sign(b"message")
    assert caught.value.kind == "kms_unsupported"


def refuses_to_agree(identity: TokenIdentity, peer: bytes) -> None:
    with pytest.raises(KmsError) as caught:
        identity.agree(peer)
    assert caught.value.kind == "kms_unsupported"


def test_it_is_made_once_and_found_again(identity: TokenIdentity | None, open_as: Open) -> None:
    if identity:
        public = identity.public()
        with pytest.raises(Conflict):
            identity.create()
        identity.close()
        with pytest.raises(KmsError, match="closed"):
            identity.public()
        assert open_as(identity.curve).public() == public


def test_a_pair_made_elsewhere_in_the_same_moment_stays_the_only_one(
    identity: TokenIdentity | None, token: Token, key: str
) -> None:
    """What comes between the first look for the name and the making is here made by the trial of what the token can do."""
    name = f"{key}-2"

    def made_meanwhile(private: Any, public: bytes) -> bool:
        (making,) = [each for each in other.curve.makings if _is_made_so(private, each)]
        with private.session.token.open(rw=True) as session:
            other._make(session, making, os.urandom(16), store=True)
        return True

    def of_that_name(session: pkcs11.Session) -> int:
        return len(list(session.get_objects({Attribute.LABEL: name.removeprefix("object=")})))

    if identity:
        other = open_identity(token.uri(name), identity.curve)
        second = open_identity(token.uri(name), replace(identity.curve, proves=made_meanwhile))
        with pytest.raises(Conflict) as caught:
            second.create()
        assert caught.value.kind == "exists"
        assert len(other.public()) == other.curve.public_len
        assert token.job(of_that_name) == 2, "the halves of the first, and no others"
        for each in (other, second):
            each.close()


def test_the_private_half_cannot_leave(identity: TokenIdentity | None, token: Token, key: str) -> None:
    def look(session: pkcs11.Session) -> None:
        wanted = {Attribute.LABEL: key.removeprefix("object="), Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        (private,) = session.get_objects(wanted)
        assert (private[Attribute.SENSITIVE], private[Attribute.EXTRACTABLE]) == (True, False)
        with pytest.raises(pkcs11.AttributeSensitive):
            private[Attribute.VALUE]

    if identity:
        token.job(look)


def test_a_public_half_that_is_not_its_own_is_noticed(
    identity: TokenIdentity | None, token: Token, key: str, open_as: Open
) -> None:
    def exchange(session: pkcs11.Session) -> None:
        label = key.removeprefix("object=")
        (private,) = session.get_objects({Attribute.LABEL: label, Attribute.CLASS: ObjectClass.PRIVATE_KEY})
        (own,) = session.get_objects({Attribute.LABEL: label, Attribute.CLASS: ObjectClass.PUBLIC_KEY})
        (foreign,) = session.get_objects({Attribute.LABEL: f"{label}-2", Attribute.CLASS: ObjectClass.PUBLIC_KEY})
        point = foreign[Attribute.EC_POINT]
        template = {name: own[name] for name in (Attribute.CLASS, Attribute.KEY_TYPE, Attribute.EC_PARAMS)}
        own.destroy()
        id = private[Attribute.ID]
        session.create_object({**template, Attribute.TOKEN: True, Attribute.ID: id, Attribute.EC_POINT: point})

    if identity:
        open_as(identity.curve, f"{key}-2").create()
        token.job(exchange)
        with pytest.raises(Tampered):
            open_as(identity.curve).public()


BAD_PEERS = [b"", bytes(32), b"\1" + bytes(31), bytes(65), b"\4" + bytes(64), b"\4" + b"\1" * 64, os.urandom(31)]


@pytest.mark.parametrize("curve", [P256_AGREE, X25519], ids=lambda curve: curve.name)
@pytest.mark.parametrize("peer", BAD_PEERS, ids=range(len(BAD_PEERS)))
def test_no_secret_is_agreed_on_with_a_bad_public_key(open_as: Open, curve: Curve, peer: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_as(curve).agree(peer)
    assert caught.value.kind == "bad_key"


def test_a_pair_that_is_not_there_is_not_found(open_as: Open) -> None:
    with pytest.raises(KeyNotFound):
        open_as(P256_SIGN).public()


def test_a_key_of_another_kind_is_refused(token: Token, rsa_key: str, open_as: Open) -> None:
    with pytest.raises(KmsError) as caught:
        open_as(P256_SIGN, rsa_key).public()
    assert caught.value.kind == "kms_unsupported"


def test_it_comes_back_after_the_token_was_gone(identity: TokenIdentity | None, token: Token) -> None:
    if identity:
        public = identity.public()
        token.lose()
        token.restore()
        assert identity.public() == public


def test_a_symmetric_key_is_no_identity(token: Token, key: str) -> None:
    with pytest.raises(InvalidInput):
        open_identity(token.uri(f"{key};type=secret-key"), P256_SIGN)


def test_a_kms_and_an_identity_share_a_token(identity: TokenIdentity | None, token: Token, key: str) -> None:
    kms = open_kms(token.uri(f"{key}-kek"))
    kms.create_key()
    if identity:
        identity.public()
        identity.close()
    kms.check()
    kms.close()
