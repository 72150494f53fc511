# SPDX-License-Identifier: Apache-2.0
"""Requirements of the AEAD: what it gives, what it opens, and what it must refuse (RFC 5116, `format2.md` section 1.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

from e4conformance.requirement import NotExercised, require, text_of
from e4conformance.suites.probing import cut, exchanged, flipped, garbage, refused, refused_key, resized, typed
from e4conformance.suites.subject import SIZES, SUITES, SuiteSubject, timed
from e4core.errors import E4Error
from e4core.suite import AeadKey


@dataclass(frozen=True, slots=True)
class Sealed:
    """One sealing, and what went into it."""

    raw: bytes
    key: AeadKey
    nonce: bytes
    plaintext: bytes
    ad: bytes
    sealed: bytes

    def open(self, sealed: bytes | None = None, nonce: bytes | None = None, ad: bytes | None = None) -> bytes:
        """With what is given in place of its own."""
        own = (self.nonce if nonce is None else nonce, self.sealed if sealed is None else sealed)
        return self.key.open(*own, self.ad if ad is None else ad)


def sealing(subject: SuiteSubject, random: Random, size: int, ad_size: int) -> Sealed:
    aead = subject.suite.aead
    raw, nonce = _raw(subject, random), random.randbytes(aead.nonce_len)
    plaintext, ad, key = random.randbytes(size), random.randbytes(ad_size), aead.key(raw)
    return Sealed(raw, key, nonce, plaintext, ad, key.seal(nonce, plaintext, ad))


def _raw(subject: SuiteSubject, random: Random) -> bytes:
    return random.randbytes(subject.suite.aead.key_len)


def some(subject: SuiteSubject, what: str) -> Iterator[Sealed]:
    """A few short ones, and long ones: what streams, or works in chunks, may look at the first of them alone."""
    random = subject.random(what)
    for size, ad_size in ((1, 8), (16, 41), (23, 24), (100, 0), (20, 300), (1025, 41), (5000, 8), (65536, 8)):
        yield sealing(subject, random, size, ad_size)


@SUITES.must(
    "E4-AEAD-001",
    "Key, nonce and tag have lengths that the format has room for.",
    source="format2.md section 1.1; wire.md section 3",
    advice="Correct key_len, nonce_len or tag_len, or choose an AEAD with a tag of 16 bytes and a nonce of none or at least 4.",
)
def lengths(subject: SuiteSubject) -> None:
    aead = subject.suite.aead
    got = (aead.key_len, aead.nonce_len, aead.tag_len)
    require(aead.tag_len == 16, f"a tag of {aead.tag_len} bytes; it is 16 in both formats")
    if subject.suite.format == 1:
        require(got == (32, 0, 16), f"key, nonce and tag of {got} bytes; Format 1 has 32, 0 and 16")
    require(1 <= aead.key_len <= 64, f"a key of {aead.key_len} bytes; it is 1 to 64")
    require(aead.nonce_len == 0 or aead.nonce_len >= 4, f"a nonce of {aead.nonce_len} bytes has no room for a sequence")


@SUITES.must(
    "E4-AEAD-004",
    "What was sealed opens as it was, and is longer by exactly the tag, at every size.",
    source="RFC 5116 section 2; e4core.suite.Aead",
    advice="Make seal append (or prepend) tag_len bytes and no padding, and open give the plaintext unchanged.",
)
def round_trips(subject: SuiteSubject) -> None:
    random, tag_len = subject.random("round trips"), subject.suite.aead.tag_len
    for size in (*SIZES, *(random.randrange(5000) for _ in range(20))):
        for ad_size in (0, 1, 16, 41, 257):
            one = sealing(subject, random, size, ad_size)
            where = f"{size} bytes and {ad_size} of associated data"
            require(len(one.sealed) == size + tag_len, f"{where} make {len(one.sealed)}, not {size + tag_len}")
            require(one.open() == one.plaintext, f"{where} do not come back as they were")


@SUITES.must(
    "E4-AEAD-005",
    "Every flipped bit of a ciphertext or tag is refused, and so are exchanged blocks, in long ones too.",
    source="RFC 5116 section 2.2; format2.md section 2.5",
    advice="Put all of the ciphertext, in its order, under the tag, compare all of that in constant time, and give nothing before.",
)
def flips(subject: SuiteSubject) -> None:
    for one in some(subject, "flips"):
        cost = timed(one.open)
        what = f"a ciphertext of {len(one.sealed)} bytes"
        for bit in subject.bits(len(one.sealed), cost, "flips"):
            refused(partial(one.open, flipped(one.sealed, bit)), f"{what} with bit {bit} flipped")
        for how, changed in exchanged(one.sealed):
            refused(partial(one.open, changed), f"{what} with {how}")


@SUITES.must(
    "E4-AEAD-006",
    "A ciphertext cut short, extended or empty is refused.",
    source="RFC 5116 section 2.2; SP 800-38D section 5.2.1.2",
    advice="Accept tags of exactly tag_len bytes: check the length before anything is computed.",
)
def other_lengths(subject: SuiteSubject) -> None:
    random = subject.random("lengths")
    for one in (*some(subject, "lengths"), sealing(subject, random, 0, 8)):
        changes = list(resized(one.sealed, random))
        for what, changed in (*cut(one.sealed), *subject.sample(changes, timed(one.open), "lengths")):
            refused(partial(one.open, changed), f"a ciphertext of {len(one.sealed)} bytes, {what},")


@SUITES.must(
    "E4-AEAD-007",
    "Associated data that differ in a bit, in length, or at the boundary to what is sealed are refused.",
    source="RFC 5116 section 2.2; format2.md section 2.2",
    advice="Pass associated_data whole to the cipher in every seal and open, cached or not; a tag of your own covers its length.",
)
def associated_data(subject: SuiteSubject) -> None:
    random = subject.random("associated data")
    for one in some(subject, "associated data"):
        where, cost = f"{len(one.ad)} bytes of associated data", timed(one.open)
        for bit in subject.bits(len(one.ad), cost, "associated data"):
            refused(partial(one.open, ad=flipped(one.ad, bit)), f"{where} with bit {bit} flipped")
        changes = [*resized(one.ad, random), ("random ones", random.randbytes(24))]
        for what, changed in (*exchanged(one.ad), *subject.sample(changes, cost, "other associated data")):
            refused(partial(one.open, ad=changed), f"other than {where} ({what})")
        if one.ad:
            moved = one.key.seal(one.nonce, one.ad[-1:] + one.plaintext, one.ad[:-1])
            refused(partial(one.open, moved), "a ciphertext under whose tag the boundary lies elsewhere")
        for ad, sealed in _moved(one, subject.suite.aead.tag_len):
            refused(partial(one.open, sealed, ad=ad), "a byte moved between associated data and ciphertext")


def _moved(one: Sealed, tag_len: int) -> Iterator[tuple[bytes, bytes]]:
    """The same bytes in the same order: a tag over them is right where no length is under it, be it last or first."""
    for start in (0, tag_len):
        head, body = one.sealed[:start], one.sealed[start:]
        yield one.ad + body[:1], head + body[1:]
        if one.ad:
            yield one.ad[:-1], head + one.ad[-1:] + body


@SUITES.must(
    "E4-AEAD-008",
    "Another nonce does not open, and makes another ciphertext, whatever bit it differs in.",
    source="RFC 5116 section 2.1; format2.md section 2.2",
    advice="Use the whole nonce that is given, in seal and in open; make none of your own.",
    needs="nonce",
)
def nonces(subject: SuiteSubject) -> None:
    subject.need("nonce")
    for one in some(subject, "nonces"):
        price = timed(partial(one.key.seal, one.nonce, one.plaintext, one.ad)) + timed(one.open)
        for bit in subject.sample(range(8 * len(one.nonce)), price, "nonces"):
            other = flipped(one.nonce, bit)
            refused(partial(one.open, nonce=other), f"a nonce with bit {bit} flipped")
            again = one.key.seal(other, one.plaintext, one.ad)
            require(again != one.sealed, f"nonces that differ in bit {bit} give the same ciphertext")


@SUITES.must(
    "E4-AEAD-009",
    "Another key does not open, whatever bit it differs in.",
    source="RFC 5116 section 2.1",
    advice="Use all key_len bytes of the key.",
)
def keys(subject: SuiteSubject) -> None:
    aead = subject.suite.aead
    for one in some(subject, "keys"):
        # half of an SIV key only encrypts: one byte in 256 comes out the same, and is then authentic
        if len(one.plaintext) < 16:
            continue
        price = timed(partial(aead.key, one.raw)) + timed(one.open)
        for bit in subject.sample(range(8 * len(one.raw)), price, "keys"):
            other = aead.key(flipped(one.raw, bit))
            refused(partial(other.open, one.nonce, one.sealed, one.ad), f"a key with bit {bit} flipped")


@SUITES.must(
    "E4-AEAD-010",
    "A key of another length, or all zero, is refused as bad_key.",
    source="format2.md section 1.1; e4core.suite.Aead",
    advice="Check the length and any(raw) in key(), and raise InvalidInput(kind='bad_key').",
)
def bad_keys(subject: SuiteSubject) -> None:
    aead, random = subject.suite.aead, subject.random("bad keys")
    for length in {0, 1, 16, 24, 32, 48, 64, 128, aead.key_len - 1, aead.key_len + 1} - {aead.key_len}:
        refused_key(partial(aead.key, random.randbytes(length)), f"a key of {length} bytes")
    refused_key(partial(aead.key, bytes(aead.key_len)), "an all-zero key")


@SUITES.must(
    "E4-AEAD-011",
    "The same key, nonce and input give the same output: the core makes every nonce, the part makes none.",
    source="e4core.suite; format2.md section 2.2; RFC 5297 section 1.3.2",
    advice="Take randomness, counters and what was kept by a key's id out of seal; uniqueness is the core's business.",
)
def deterministic(subject: SuiteSubject) -> None:
    for one in some(subject, "deterministic"):
        for how, key in (("for the second time", one.key), ("under a key made anew", subject.suite.aead.key(one.raw))):
            again = key.seal(one.nonce, one.plaintext, one.ad)
            require(again == one.sealed, f"the same input gives another ciphertext {how}")


@SUITES.must(
    "E4-AEAD-012",
    "Bytes that nobody has sealed are refused with AuthenticationFailed, whatever they are.",
    source="e4core.suite.AeadKey; format2.md section 9",
    advice="Refuse what is shorter than a tag; turn what the library raises into AuthenticationFailed, `from None`, in one place.",
)
def rubbish(subject: SuiteSubject) -> None:
    random, one = subject.random("rubbish"), next(some(subject, "rubbish"))
    for data in garbage(random, subject.suite.aead.tag_len):
        refused(partial(one.open, data), f"{len(data)} bytes that mean nothing")
    for raw in garbage(random, subject.suite.aead.key_len):
        typed(partial(subject.suite.aead.key, raw), f"key() of {len(raw)} bytes")


@SUITES.must(
    "E4-AEAD-013",
    "A refusal does not tell what was wrong.",
    source="e4core.suite.AeadKey; RFC 5116 section 2.2",
    advice="Raise a bare AuthenticationFailed, the same for tag, length, nonce and associated data.",
)
def silent(subject: SuiteSubject) -> None:
    random, ways = subject.random("silent"), set()
    for one in some(subject, "silent"):
        changes = [
            flipped(one.sealed, 0),
            flipped(one.sealed, 8 * len(one.sealed) - 1),
            one.sealed[:-1],
            b"",
            bytes(64),
        ]
        acts = [*(partial(one.open, data) for data in changes), partial(one.open, ad=random.randbytes(9))]
        ways |= {told(act) for act in acts}
    ways.discard("")
    if not ways:
        raise NotExercised("nothing that was changed is refused")
    require(len(ways) == 1, f"refusals differ: {', '.join(sorted(ways))}")


def told(act: Callable[[], bytes]) -> str:
    """How it is refused; empty: it is not, which is for others to say."""
    try:
        act()
    except E4Error as error:
        return f"{type(error).__name__} ({error.kind}): {error}"
    except Exception as error:  # the border to foreign code: an error of a library tells the most
        return f"{type(error).__name__}: {text_of(error)}"
    return ""
