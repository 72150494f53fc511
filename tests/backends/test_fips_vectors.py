# SPDX-License-Identifier: Apache-2.0
"""The parts of the FIPS suites against the vectors of NIST, of RFC 5869 and of Wycheproof, those that must fail included."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest

from e4backends.p256 import Ecdh, Ecdsa
from e4backends.pyca import Gcm, Sha3, hkdf_sha256
from e4core.errors import AuthenticationFailed, InvalidInput

HERE = Path(__file__).parent
_SECTION = re.compile(r"[PKBE][-A-E]")
Entry = dict[str, str]


def lines_of(name: str) -> list[str]:
    with cryptography_vectors.open_vector_file(name, "r") as file:
        return [str(line).strip() for line in file]


def entries(name: str, section: str = "") -> Iterator[Entry]:
    """The tests of a file of NIST: ``FIELD = VALUE`` lines up to an empty one. Args: section: only that under ``[section]``."""
    inside, entry = not section, Entry()
    for line in [*lines_of(name), ""]:
        if line.startswith("["):
            heading = line.strip("[]")
            inside = not section or heading == section or (inside and not _SECTION.match(heading))
            entry |= {"[" + key: value for key, value in [heading.split(" = ")]} if " = " in heading else {}
        elif not line:
            if inside and any(not key.startswith("[") for key in entry):
                yield entry
            entry = {key: value for key, value in entry.items() if key.startswith("[")}
        elif not line.startswith("#"):
            key, _, value = line.partition("=")
            entry[key.strip()] = value.strip()


def octets(entry: Entry, *names: str) -> list[bytes]:
    return [bytes.fromhex(entry[name]) for name in names]


def wycheproof(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Group and test."""
    for group in json.loads((HERE / f"wycheproof_{name}.json").read_text())["testGroups"]:
        for test in group["tests"]:
            yield group, test


def number(text: str) -> bytes:
    """32 B, big-endian, of a number in hex."""
    return int(text, 16).to_bytes(32, "big")


def point(x: str, y: str) -> bytes:
    """Uncompressed; a coordinate that is too long stays as it is."""
    return b"\x04" + b"".join(bytes.fromhex(text.rjust(max(64, len(text) + len(text) % 2), "0")) for text in (x, y))


def ours(entry: Entry) -> bool:
    """Whether a vector of GCM has the lengths of our AEAD."""
    return (entry["[IVlen"], entry["[Taglen"]) == ("96", "128")


def test_gcm_seals_as_nist_says() -> None:
    chosen = list(filter(ours, entries("ciphers/AES/GCM/gcmEncryptExtIV256.rsp")))
    assert len(chosen) == 375
    for entry in chosen:
        raw, nonce, plaintext, ad, ciphertext, tag = octets(entry, "Key", "IV", "PT", "AAD", "CT", "Tag")
        assert Gcm().key(raw).seal(nonce, plaintext, ad) == ciphertext + tag
        assert Gcm().key(raw).open(nonce, ciphertext + tag, ad) == plaintext


def test_gcm_opens_and_refuses_as_nist_says() -> None:
    chosen = list(filter(ours, entries("ciphers/AES/GCM/gcmDecrypt256.rsp")))
    refused = 0
    for entry in chosen:
        raw, nonce, ad, ciphertext, tag = octets(entry, "Key", "IV", "AAD", "CT", "Tag")
        if "FAIL" in entry:
            refused += 1
            with pytest.raises(AuthenticationFailed):
                Gcm().key(raw).open(nonce, ciphertext + tag, ad)
        else:
            assert Gcm().key(raw).open(nonce, ciphertext + tag, ad) == bytes.fromhex(entry["PT"])
    assert len(chosen) == 375
    assert 100 < refused < 300


def test_gcm_opens_and_refuses_as_wycheproof_says() -> None:
    results = []
    for _, test in wycheproof("aes_gcm_256"):
        raw, nonce, plaintext, ad, ciphertext, tag = octets(test, "key", "iv", "msg", "aad", "ct", "tag")
        key = Gcm().key(raw)
        results.append(test["result"])
        if test["result"] == "valid":
            assert key.seal(nonce, plaintext, ad) == ciphertext + tag, test["tcId"]
            assert key.open(nonce, ciphertext + tag, ad) == plaintext, test["tcId"]
        else:
            with pytest.raises(AuthenticationFailed):
                key.open(nonce, ciphertext + tag, ad)
    assert (results.count("valid"), results.count("invalid")) == (21, 27)


def test_ecdsa_verifies_as_nist_says() -> None:
    verdicts = []
    for entry in entries("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", "P-256,SHA-256"):
        verdicts.append(entry["Result"][0])
        message, signature = bytes.fromhex(entry["Msg"]), number(entry["R"]) + number(entry["S"])
        try:
            Ecdsa().verifier(point(entry["Qx"], entry["Qy"])).verify(message, signature)
        except (AuthenticationFailed, InvalidInput):
            assert verdicts[-1] == "F", entry
        else:
            assert verdicts[-1] == "P", entry
    assert len(verdicts) == 15
    assert set(verdicts) == {"P", "F"}


def test_ecdsa_verifies_what_nist_signed_and_signs_with_its_keys() -> None:
    chosen = list(entries("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", "P-256,SHA-256"))
    assert len(chosen) == 15
    for entry in chosen:
        key, public, message = (
            Ecdsa().key(number(entry["d"])),
            point(entry["Qx"], entry["Qy"]),
            bytes.fromhex(entry["Msg"]),
        )
        assert key.public == public
        Ecdsa().verifier(public).verify(message, number(entry["R"]) + number(entry["S"]))
        Ecdsa().verifier(public).verify(message, key.sign(message))


def test_ecdsa_verifies_what_rfc_6979_says() -> None:
    """Section A.2.5, with SHA-256."""
    x, y = (
        "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    )
    r, s = (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    )
    assert Ecdsa().key(number("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")).public == point(x, y)
    Ecdsa().verifier(point(x, y)).verify(b"sample", number(r) + number(s))


def test_ecdsa_verifies_as_wycheproof_says() -> None:
    accepted, refused = 0, 0
    for group, test in wycheproof("ecdsa_p256_sha256_p1363"):
        verifier = Ecdsa().verifier(bytes.fromhex(group["key"]["uncompressed"]))
        message, signature = octets(test, "msg", "sig")
        if test["result"] == "valid":
            verifier.verify(message, signature)
            accepted += 1
            continue
        with pytest.raises(AuthenticationFailed) as caught:
            verifier.verify(message, signature)
        assert caught.value.kind == "bad_signature"
        refused += 1
    assert (accepted, refused) == (146, 73)


@pytest.mark.parametrize("check", [Ecdsa().verifier, Ecdh().check], ids=["signature", "kem"])
def test_public_keys_are_checked_as_nist_says(check: Any) -> None:
    verdicts = []
    for entry in entries("asymmetric/ECDSA/FIPS_186-3/PKV.rsp", "P-256"):
        verdicts.append(entry["Result"][0])
        if verdicts[-1] == "P":
            check(point(entry["Qx"], entry["Qy"]))
        else:
            with pytest.raises(InvalidInput) as caught:
                check(point(entry["Qx"], entry["Qy"]))
            assert caught.value.kind == "bad_key"
    assert len(verdicts) == 12
    assert set(verdicts) == {"P", "F"}


def test_the_public_halves_are_those_of_nist() -> None:
    pairs = [
        (entry["d"], point(entry["Qx"], entry["Qy"]))
        for entry in entries("asymmetric/ECDSA/FIPS_186-3/KeyPair.rsp", "P-256")
        if "d" in entry
    ]
    assert len(pairs) == 10
    for d, public in pairs:
        assert Ecdsa().key(number(d)).public == Ecdh().key(number(d)).public == public


@pytest.mark.parametrize("role", ["init", "resp"])
def test_ecdh_agrees_as_nist_says(role: str) -> None:
    """Its own key is checked too in these vectors; where that is what fails, we are given the scalar and find the right point."""
    counted = 0
    for entry in entries(f"asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_{role}.fax", "EC - SHA256"):
        counted += 1
        reason = int(re.findall(r"\((\d+)", entry["Result"])[0])
        peer = point(entry["QsCAVSx"], entry["QsCAVSy"])
        key = Ecdh().key(number(entry["dsIUT"]))
        own = point(entry["QsIUTx"], entry["QsIUTy"])
        if reason in (1, 2):  # the peer's point
            with pytest.raises(AuthenticationFailed):
                key.decapsulate(peer)
            continue
        agrees = key.decapsulate(peer) == number(entry["Z"]) and key.public == own
        assert agrees is (entry["Result"][0] == "P"), entry
    assert counted == 30


def test_ecdh_agrees_as_wycheproof_says() -> None:
    agreed, refused = 0, 0
    for _, test in wycheproof("ecdh_p256_ecpoint"):
        public = bytes.fromhex(test["public"])
        key = Ecdh().key(number(test["private"]))
        if test["result"] == "valid":
            assert key.decapsulate(public) == bytes.fromhex(test["shared"]), test["tcId"]
            agreed += 1
            continue
        with pytest.raises(AuthenticationFailed):
            key.decapsulate(public)
        with pytest.raises(InvalidInput):
            Ecdh().encapsulate(public)
        refused += 1
    assert (agreed, refused) == (191, 25)


def test_hkdf_derives_as_rfc_5869_says() -> None:
    """Section A.3: no salt, as in all suites."""
    lines = lines_of("KDF/rfc-5869-HKDF-SHA256.txt")
    third = [line.partition("=") for line in lines[lines.index("COUNT = 3") :]]
    entry = {key.strip(): value.strip() for key, _, value in third}
    assert entry["salt"] == ""
    secret, info, output = octets(entry, "IKM", "info", "OKM")
    assert hkdf_sha256(secret, info, int(entry["L"])) == output


@pytest.mark.parametrize("name", ["SHA3_256ShortMsg", "SHA3_256LongMsg"])
def test_sha3_is_that_of_nist(name: str) -> None:
    chosen = [entry for entry in entries(f"hashes/SHA3/{name}.rsp") if "MD" in entry]
    assert len(chosen) == {"SHA3_256ShortMsg": 137, "SHA3_256LongMsg": 100}[name]
    for entry in chosen:
        message, digest = octets(entry, "Msg", "MD")
        assert Sha3().digest(message[: int(entry["Len"]) // 8]) == digest
