# SPDX-License-Identifier: Apache-2.0
"""What must hold of every post-quantum suite: sizes, keys, KEM, signatures."""

from __future__ import annotations

import threading
from hashlib import sha3_256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import AuthenticationFailed, E4Error, InvalidInput
from e4core.keys import Secret
from e4core.suite import PrivateKey
from tests.backends.oqs_here import identity, suite
from tests.backends.pq_fleet import (
    COMMAND,
    HEADER,
    INFO,
    SUITES,
    container,
    flipped,
    opened,
    pairs_of,
    parts_of,
    places,
    signature_of,
    signed,
)

# wire name, private, public, signature, KEM ciphertext
SIZES = {
    "pq": ("pq", 32 + 64, 1952 + 1184, 3309, 1088),
    "pq-pyca": ("pq", 32 + 64, 1952 + 1184, 3309, 1088),
    "pq-hybrid": ("pq-hybrid", 32 + 32 + 32, 32 + 1952 + 1184 + 32, 64 + 3309, 1088 + 32),
    "pq-falcon": ("pq-falcon", 1281 + 897 + 64, 897 + 800, 666, 768),
    "pq-slh": ("pq-slh", 128 + 64, 64 + 1568, 49856, 1568),
}


@SUITES
def test_sizes_and_names_are_those_of_the_specification(name: str) -> None:
    wire_name, private, public, signature, ciphertext = SIZES[name]
    part = suite(name)
    assert (part.name, part.wire_name, part.format, part.is_symmetric) == (name, wire_name, 2, False)
    assert (part.aead.key_len, part.aead.nonce_len, part.aead.tag_len) == (64, 0, 16)
    assert part.hash.digest(b"") == sha3_256(b"").digest()
    assert (part.device.private_len, part.device.public_len) == (private, public)
    assert part.control.overhead == len(container(name)) - len(COMMAND) == ciphertext + 16 + signature
    assert signature_of(name).signature_len == len(signed(name)) == signature
    assert signature_of(name).public_len == parts_of(name)[0].public_len


@SUITES
def test_fresh_identities_are_secrets_that_load_and_differ(name: str) -> None:
    part = suite(name).device
    stored = part.generate()
    assert isinstance(stored, Secret)
    assert len(stored) == part.private_len
    assert stored != part.generate()
    public = part.public(part.load(stored))
    part.check(public)
    assert len(public) == part.public_len
    assert part.public(part.load(bytes(stored))) == public


@SUITES
def test_nothing_of_a_private_key_is_in_its_repr(name: str) -> None:
    part = suite(name).device
    stored = part.generate()
    private = part.load(stored)
    shown = f"{stored!r} {private!r} {private}"
    scheme, kem = parts_of(name)
    for piece in (stored[:16], stored[scheme.private_len : scheme.private_len + 16], stored[-16:]):
        if piece in part.public(private):  # the stored form may end with the public key
            continue
        for form in (repr(bytes(piece))[2:-1], piece.hex()):
            assert form not in shown
    assert kem.ciphertext_len > 0


@SUITES
def test_private_keys_of_another_length_or_all_zero_are_refused(name: str) -> None:
    scheme, kem = parts_of(name)
    for part in (scheme, kem):
        length = part.private_len
        for stored in (b"", bytes(length), b"\7" * (length - 1), b"\7" * (length + 1)):
            with pytest.raises(InvalidInput) as caught:
                part.key(stored)
            assert caught.value.kind == "bad_key"
    with pytest.raises(InvalidInput):
        suite(name).device.load(b"\7" * (suite(name).device.private_len - 1))


@SUITES
def test_public_keys_of_another_length_or_all_zero_are_refused(name: str) -> None:
    scheme, kem = parts_of(name)
    for use, length in (
        (scheme.verifier, scheme.public_len),
        (kem.check, kem.public_len),
        (kem.encapsulate, kem.public_len),
    ):
        for public in (b"", bytes(length), b"\7" * (length - 1), b"\7" * (length + 1)):
            with pytest.raises(InvalidInput) as caught:
                use(public)
            assert caught.value.kind == "bad_key"


@SUITES
def test_kem_public_keys_with_a_value_that_is_not_below_the_modulus_are_refused(name: str) -> None:
    """FIPS 203 section 7.2, at the first and the last value, of which the next smaller one passes."""
    _, kem = parts_of(name)
    public = pairs_of(identity(name, 0)[0]).kem.public
    end = {800: 768, 1184: 1152, 1216: 1152, 1568: 1536}[kem.public_len]
    for at, low in ((0, True), (end - 2, False)):
        for value, is_good in ((3328, True), (3329, False), (4095, False)):
            pair = int.from_bytes(public[at : at + 2], "little")
            pair = pair & 0xF000 | value if low else pair & 0x000F | value << 4
            changed = public[:at] + pair.to_bytes(2, "little") + public[at + 2 :]
            for use in (kem.check, kem.encapsulate):
                if is_good:
                    use(changed)
                    continue
                with pytest.raises(InvalidInput) as caught:
                    use(changed)
                assert caught.value.kind == "bad_key"


@SUITES
def test_a_decapsulation_takes_the_one_length_and_never_fails_on_it(name: str) -> None:
    key, (_, kem) = pairs_of(identity(name, 0)[0]).kem, parts_of(name)
    ciphertext, secret = kem.encapsulate(key.public)
    assert isinstance(secret, Secret)
    assert key.decapsulate(ciphertext) == secret
    assert len(secret) == 32
    for length in (0, 1, kem.ciphertext_len - 1, kem.ciphertext_len + 1):
        with pytest.raises(AuthenticationFailed):
            key.decapsulate(b"\7" * length)
    for changed in (flipped(ciphertext, 5), bytes(kem.ciphertext_len), b"\xff" * kem.ciphertext_len):
        assert key.decapsulate(changed) != secret
        assert key.decapsulate(changed) == key.decapsulate(changed)


@SUITES
def test_signatures_are_randomised_and_verify(name: str) -> None:
    part, (private, public) = signature_of(name), identity(name, 0)
    verifier = part.verifier(public[: part.public_len])
    for message in (b"", b"\0", b"m" * 5000):
        verifier.verify(message, part.signer(private).sign(message))
    again = part.signer(private).sign(COMMAND)
    assert again[-part.signature_len // 2 :] != signed(name)[-part.signature_len // 2 :]


@SUITES
def test_no_changed_bit_of_a_signature_verifies(name: str) -> None:
    part, signature = signature_of(name), signed(name)
    verifier = part.verifier(identity(name, 0)[1][: part.public_len])
    verifier.verify(COMMAND, signature)
    changes = (flipped(signature, bit) for bit in places(len(signature)))
    for changed in (*changes, b"", signature[:-1], signature + b"\0", bytes(len(signature))):
        with pytest.raises(AuthenticationFailed) as caught:
            verifier.verify(COMMAND, changed)
        assert caught.value.kind == "bad_signature"


@SUITES
def test_a_signature_is_of_one_message_and_one_key(name: str) -> None:
    part = signature_of(name)
    for peer, message in ((0, COMMAND + b"\0"), (0, COMMAND[:-1]), (0, b""), (1, COMMAND)):
        with pytest.raises(AuthenticationFailed):
            part.verifier(identity(name, peer)[1][: part.public_len]).verify(message, signed(name))


@SUITES
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_garbage_raises_only_errors_of_ours(name: str, data: st.DataObject) -> None:
    scheme, kem = parts_of(name)
    lengths = st.sampled_from(
        [scheme.private_len, scheme.public_len, kem.public_len, kem.ciphertext_len, scheme.signature_len, 0, 7]
    )
    garbage = data.draw(st.binary(min_size=1, max_size=40)) * 1400
    garbage = garbage[: data.draw(lengths)]
    for call in (
        scheme.key,
        scheme.verifier,
        kem.check,
        kem.encapsulate,
        suite(name).device.load,
        suite(name).device.check,
        lambda raw: scheme.verifier(identity(name, 0)[1][: scheme.public_len]).verify(COMMAND, raw),
        pairs_of(identity(name, 0)[0]).kem.decapsulate,
        lambda raw: opened(name, raw),
    ):
        try:
            call(garbage)
        except E4Error as error:
            assert str(error)


@SUITES
def test_one_key_serves_many_threads(name: str) -> None:
    part, (private, public) = signature_of(name), identity(name, 0)
    signer, verifier = part.signer(private), part.verifier(public[: part.public_len])
    channel, device = suite(name).control.at_c2(identity(name, 1)[0], public), suite(name).device
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for round_ in range(2 if name == "pq-slh" else 20):
                message = f"{number} {round_}".encode()
                verifier.verify(message, signer.sign(message))
                assert opened(name, channel.seal(INFO, HEADER, message)) == message
                device.check(device.public(device.load(device.generate())))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(("name", "cut"), [("pq-falcon", 1281), ("pq-slh", 64), ("pq-slh", 96)])
def test_a_private_key_with_the_public_half_of_another_is_refused(name: str, cut: int) -> None:
    scheme, _ = parts_of(name)
    one, other = scheme.generate(), scheme.generate()
    assert scheme.key(one).public in one
    for stored in (one[:cut] + other[cut:], other[:cut] + one[cut:], b"\7" * cut + one[cut:], one[:-1] + other[-1:]):
        if stored in (one, other):  # the last bytes may be equal
            continue
        with pytest.raises(InvalidInput) as caught:
            scheme.key(stored)
        assert caught.value.kind == "bad_key"


def test_a_falcon_public_key_of_another_degree_or_beyond_the_modulus_is_refused() -> None:
    scheme, _ = parts_of("pq-falcon")
    public = scheme.key(scheme.generate()).public
    scheme.verifier(b"\x09" + bytes(2) + public[3:])
    high = (12288 << 2).to_bytes(2, "big")
    scheme.verifier(b"\x09" + high + bytes([public[3] & 0x3F]) + public[4:])
    beyond = (12289 << 2).to_bytes(2, "big")
    last = (int.from_bytes(public[-2:], "big") & 0xC000 | 12289).to_bytes(2, "big")
    for changed in (b"\x0a" + public[1:], b"\x00" + public[1:], b"\x09" + beyond + public[3:], public[:-2] + last):
        with pytest.raises(InvalidInput) as caught:
            scheme.verifier(changed)
        assert caught.value.kind == "bad_key"


def test_what_a_suite_is_given_belongs_to_it() -> None:
    for value in (object(), b"\7" * 96, Secret(b"\7" * 96)):
        with pytest.raises(InvalidInput):
            suite("pq-pyca").device.public(PrivateKey(value))
        with pytest.raises(InvalidInput):
            suite("pq-pyca").control.at_device(PrivateKey(value), identity("pq-pyca", 1)[1])
