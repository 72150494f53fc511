# SPDX-License-Identifier: Apache-2.0
"""Suites that are wrong in one thing, each with the requirement that must find it. For tests alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from e4backends import pk, sk
from e4backends.fips import SUITE_PK, SUITE_SK
from e4backends.hybrid import SUITE as HYBRID
from e4backends.hybrid import Ed25519
from e4backends.pairs import paired_suite
from e4backends.pq_pyca import MlKem768
from e4backends.pyca import Gcm, Siv
from e4backends.sk import symmetric_suite
from e4backends.xwing import XWing
from e4core.suite import Suite
from tests.conformance.suites import broken_parts as parts
from tests.conformance.suites import broken_signatures as signatures
from tests.conformance.suites import toys
from tests.conformance.suites import toys_hidden as hidden


def toy(kind: type[toys.ToyKey]) -> Suite:
    return symmetric_suite(f"toy-{kind.__name__}"[:32], "toy", toys.Toy(kind))


TOY = toy(toys.ToyKey)
PAIRED = paired_suite("paired", "paired", Siv(), Ed25519(), MlKem768())


def _signed(kind: type[Any]) -> Suite:
    return replace(pk.SUITE, signature=kind(pk.SUITE.signature))


_KINDS: dict[type[toys.ToyKey], str] = {
    toys.IgnoresAssociatedData: "E4-AEAD-007",
    toys.ForgetsWhereAssociatedDataEnd: "E4-AEAD-007",
    toys.TruncatedTag: "E4-AEAD-006",
    toys.ComparesPartly: "E4-AEAD-005",
    toys.IgnoresNonce: "E4-AEAD-008",
    toys.CutsNonce: "E4-AEAD-008",
    toys.VerifiesNothing: "E4-AEAD-005",
    toys.OwnNonce: "E4-AEAD-011",
    toys.ShowsKey: "E4-SEC-101",
    toys.HoldsBytes: "E4-SEC-101",
    toys.Pickles: "E4-SEC-102",
    toys.Logs: "E4-SEC-104",
    toys.Prints: "E4-SEC-104",
    toys.SharedBuffer: "E4-AEAD-015",
    toys.SharedHeader: "E4-AEAD-015",
    toys.KeptById: "E4-AEAD-014",
    toys.DiesInFork: "E4-AEAD-016",
    toys.DiesOnShortInput: "E4-AEAD-012",
    toys.SaysWhy: "E4-AEAD-013",
    toys.DiesAfterRefusal: "E4-AEAD-014",
    toys.Pads: "E4-AEAD-004",
    toys.WrapsAt256: "E4-AEAD-004",
    hidden.TagOfStartAndLength: "E4-AEAD-005",
    hidden.TagOfBlocks: "E4-AEAD-005",
    hidden.Streams: "E4-AEAD-005",
    hidden.TagOfStart: "E4-AEAD-006",
    hidden.TagOfShortAssociatedData: "E4-AEAD-007",
    hidden.PanicsInThreads: "E4-AEAD-015",
    hidden.PrintsNatively: "E4-SEC-104",
}
BROKEN: dict[str, tuple[Suite, str]] = {
    **{kind.__name__: (toy(kind), number) for kind, number in _KINDS.items()},
    "TakesZeroKey": (replace(TOY, aead=toys.TakesZeroKey()), "E4-AEAD-010"),
    "IgnoresLastKeyByte": (replace(TOY, aead=toys.IgnoresLastKeyByte()), "E4-AEAD-009"),
    "TellsKey": (replace(TOY, aead=toys.TellsKey()), "E4-SEC-103"),
    "TellsKeyByCause": (replace(TOY, aead=toys.TellsKeyByCause()), "E4-SEC-103"),
    "OtherError": (replace(TOY, aead=toys.OtherError()), "E4-AEAD-010"),
    "ShortTag": (replace(TOY, aead=toys.ShortTag()), "E4-AEAD-001"),
    "GcmWithoutAd": (symmetric_suite("gcm", "gcm", toys.Toy(parts.GcmWithoutAd)), "E4-AEAD-002"),
    "GcmAsSiv": (replace(SUITE_SK, wire_name="pq", aead=Gcm()), "E4-AEAD-002"),
    "Truncated": (replace(sk.SUITE, hash=parts.Truncated(sk.SUITE.hash)), "E4-HASH-001"),
    "OtherHash": (replace(sk.SUITE, hash=parts.OtherHash()), "E4-HASH-002"),
    "kdf without info": (replace(SUITE_SK, kdf=parts.kdf_without_info), "E4-KDF-002"),
    "kdf of short info": (replace(SUITE_SK, kdf=parts.kdf_of_short_info), "E4-KDF-002"),
    "kdf of one block": (replace(SUITE_SK, kdf=parts.kdf_of_one_block), "E4-KDF-003"),
    "kdf without topic": (replace(TOY, kdf=parts.kdf_without_info), "E4-MSG-108"),
    "nonces repeat": (replace(TOY, kdf=parts.kdf_without_info), "E4-MSG-102"),
    "PrefixOnly": (_signed(signatures.PrefixOnly), "E4-SIG-003"),
    "TakesEmpty": (_signed(signatures.TakesEmpty), "E4-SIG-006"),
    "TakesLonger": (_signed(signatures.TakesLonger), "E4-SIG-006"),
    "MovesBoundary": (_signed(signatures.MovesBoundary), "E4-SIG-007"),
    "Malleable": (_signed(signatures.Malleable), "E4-SIG-002"),
    "GivesBoolean": (_signed(signatures.GivesBoolean), "E4-SIG-001"),
    "RaisesValueError": (_signed(signatures.RaisesValueError), "E4-SIG-010"),
    "LastSigned": (_signed(signatures.LastSigned), "E4-SIG-009"),
    "a low-order C2": (replace(pk.SUITE, c2=parts.Unchecked(pk.SUITE.c2)), "E4-ID-007"),
    "a low-order device": (replace(pk.SUITE, device=parts.Unchecked(pk.SUITE.device)), "E4-ID-007"),
    "a point off the curve": (replace(SUITE_PK, device=parts.Unchecked(SUITE_PK.device)), "E4-ID-007"),
    "Constant": (replace(sk.SUITE, device=parts.Constant(sk.SUITE.device)), "E4-ID-002"),
    "ConstantHalf": (replace(sk.SUITE, device=parts.ConstantHalf(sk.SUITE.device)), "E4-ID-003"),
    "PlainBytes": (replace(sk.SUITE, device=parts.PlainBytes(sk.SUITE.device)), "E4-SEC-101"),
    "OneByteMore": (replace(SUITE_SK, control=parts.OneByteMore(SUITE_SK.control)), "E4-CHN-001"),
    "IgnoresHeader": (replace(SUITE_SK, control=parts.IgnoresHeader(SUITE_SK.control)), "E4-CHN-003"),
    "SameForAll": (replace(SUITE_SK, control=parts.SameForAll(SUITE_SK.control)), "E4-CHN-005"),
    "commands for all": (replace(SUITE_SK, control=parts.SameForAll(SUITE_SK.control)), "E4-CMD-105"),
    "Unframed": (replace(SUITE_SK, control=parts.Unframed(SUITE_SK.control)), "E4-CHN-011"),
    "SameEncapsulation": (paired_suite("same", "same", Siv(), Ed25519(), parts.SameEncapsulation()), "E4-CHN-007"),
    "TouchesToken": (replace(pk.SUITE, c2=parts.TouchesToken(pk.SUITE.c2)), "E4-SEC-106"),
    "TakesAnySignature": (_signed(signatures.TakesAnySignature), "E4-SIG-005"),
    "anybody may speak": (_signed(signatures.TakesAnySignature), "E4-MSG-109"),
    "OneIsEnough": (replace(HYBRID, signature=signatures.OneIsEnough(HYBRID.signature)), "E4-SIG-005"),
    "IgnoresInfo": (replace(SUITE_SK, control=parts.IgnoresInfo(SUITE_SK.control)), "E4-CHN-003"),
    "both directions are one": (replace(SUITE_SK, control=parts.IgnoresAll(SUITE_SK.control)), "E4-CMD-107"),
    "LoadsLonger": (replace(pk.SUITE, device=parts.LoadsLonger(pk.SUITE.device)), "E4-ID-005"),
    "LoadsAnother": (replace(sk.SUITE, device=parts.LoadsAnother(sk.SUITE.device)), "E4-ID-004"),
    "DiesOfForeign": (replace(sk.SUITE, device=parts.DiesOfForeign(sk.SUITE.device)), "E4-ID-008"),
    "ChecksNothing": (replace(pk.SUITE, device=parts.ChecksNothing(pk.SUITE.device)), "E4-ID-006"),
    "the C2 hears nothing": (replace(pk.SUITE, device=parts.ChecksNothing(pk.SUITE.device)), "E4-CMD-110"),
    "LoadsDying": (replace(pk.SUITE, device=parts.LoadsDying(pk.SUITE.device)), "E4-ID-009"),
    "ChecksDying": (replace(pk.SUITE, device=parts.ChecksDying(pk.SUITE.device)), "E4-CMD-112"),
    "Somebody": (replace(sk.SUITE, c2=parts.Somebody(sk.SUITE.c2)), "E4-ID-010"),
    "DyingChannel": (replace(PAIRED, control=parts.DyingChannel(PAIRED.control)), "E4-CMD-111"),
    "reflects": (replace(PAIRED, control=parts.SameForAll(SUITE_SK.control)), "E4-CHN-006"),
    "offers other keys": (replace(PAIRED, device=parts.LoadsAnother(PAIRED.device)), "E4-CMD-109"),
    "kdf with salt": (replace(SUITE_SK, kdf=parts.kdf_with_salt), "E4-KDF-001"),
    "SignsHereOnly": (_signed(signatures.SignsHereOnly), "E4-SIG-012"),
    "ChecksLate": (_signed(signatures.ChecksLate), "E4-SIG-010"),
    "SaysLonger": (replace(sk.SUITE, device=parts.SaysLonger(sk.SUITE.device)), "E4-ID-002"),
    "LogsBadKey": (replace(TOY, aead=toys.LogsBadKey()), "E4-SEC-104"),
    "another wire name": (replace(SUITE_PK, wire_name="fips-sk"), "E4-VEC-102"),
    "not approved": (replace(sk.SUITE, approved=True), "E4-SEC-105"),
    "X25519, approved": (replace(pk.SUITE, wire_name="toy", aead=Gcm(), approved=True), "E4-SEC-105"),
    "ChunkOnly": (_signed(signatures.ChunkOnly), "E4-SIG-003"),
    "LongTail": (replace(SUITE_SK, control=parts.LongTail(SUITE_SK.control)), "E4-CHN-002"),
    "OfThisProcess": (replace(sk.SUITE, device=parts.OfThisProcess(sk.SUITE.device)), "E4-ID-012"),
}
"""What is wrong -> the suite, and the requirement that names it."""
_FURTHER: dict[str, tuple[str, ...]] = {
    "ComparesPartly": ("E4-CHN-002", "E4-CMD-102", "E4-CMD-106", "E4-MSG-103"),
    "VerifiesNothing": (
        "E4-AEAD-006",
        "E4-AEAD-007",
        "E4-AEAD-008",
        "E4-AEAD-009",
        "E4-AEAD-012",
        "E4-CHN-004",
        "E4-CHN-011",
        "E4-CMD-103",
        "E4-MSG-104",
        "E4-MSG-107",
        "E4-MSG-113",
    ),
    "TagOfStartAndLength": ("E4-MSG-103",),
    "TagOfStart": ("E4-MSG-104",),
    "LongTail": ("E4-CHN-004",),
    "ChunkOnly": ("E4-SIG-004",),
    "OwnNonce": ("E4-CHN-008", "E4-MSG-105", "E4-MSG-111"),
    "Pads": ("E4-MSG-101", "E4-CMD-101", "E4-CHN-012", "E4-CHN-013"),
    "LastSigned": ("E4-MSG-106", "E4-MSG-112", "E4-SIG-011"),
    "LoadsAnother": ("E4-CMD-104", "E4-CMD-108"),
    "ChecksDying": ("E4-ID-009",),
    "ChecksLate": ("E4-ID-007",),
    "OtherError": ("E4-AEAD-012",),
    "ShortTag": ("E4-ID-001",),
    "ChecksNothing": ("E4-ID-007",),
    "Constant": ("E4-CHN-009",),
    "SameForAll": ("E4-CHN-010",),
    "TakesAnySignature": ("E4-SIG-004", "E4-SIG-008", "E4-SIG-010"),
    "GcmAsSiv": ("E4-AEAD-003", "E4-VEC-103"),
    "OtherHash": ("E4-HASH-001", "E4-HASH-003", "E4-VEC-101"),
    "kdf without info": ("E4-KDF-004", "E4-VEC-104"),
}
"""What else must name the same fault: requirements that have no control of their own."""
CONTROLS = [(name, number) for name, (_, first) in BROKEN.items() for number in (first, *_FURTHER.get(name, ()))]

DIFFERENT: dict[str, tuple[Suite, Suite, str]] = {
    "an AEAD at long inputs": (toy(toys.WrapsAt256), TOY, "E4-AEAD-017"),
    "keys": (PAIRED, paired_suite("other", "paired", Siv(), Ed25519(), XWing()), "E4-ID-011"),
    "channels": (PAIRED, paired_suite("other", "paired", Gcm(), Ed25519(), MlKem768()), "E4-CHN-014"),
}
"""In what two suites differ that should be alike -> both, and the requirement that says so."""
