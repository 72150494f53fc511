# SPDX-License-Identifier: Apache-2.0
"""What a driver need not have: new versions of a key, wraps made anew, keys made, shares."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from e4conformance.kms.refused import refused
from e4conformance.kms.subject import KMS, PROTOCOL, KmsSubject, spoiled
from e4conformance.requirement import require
from e4core.errors import Conflict, KeyNotFound, KmsError, Tampered
from e4core.kms import CreatesKey, HasShares, Rewraps, Wrapped

_REWRAP, _CREATE, _SHARES = (f"{PROTOCOL}{name}" for name in ("Rewraps", "CreatesKey", "HasShares"))
_ROTATE = "NIST SP 800-57 part 1 section 5.3.6 (cryptoperiods)"


@KMS.must(
    "E4-KROT-001",
    "rewrap gives another wrap of the same secret, and leaves the former one readable",
    source=_REWRAP,
    advice="make the new wrap as wrap does, and change nothing at the back end",
    needs="rewrap",
)
def rewrapping_keeps_the_secret(subject: KmsSubject) -> None:
    rewraps, sample = subject.ability(Rewraps), subject.sample()  # type: ignore[type-abstract]
    secret, context = sample.secret(), sample.context()
    old = subject.kms.wrap(secret, context)
    new = rewraps.rewrap(old, context)
    require(subject.kms.unwrap(new, context) == secret, "another secret came back from the new wrap")
    require(subject.kms.unwrap(old, context) == secret, "another secret came back from the former wrap")
    refused("the new wrap in another context", lambda: subject.kms.unwrap(new, sample.context()), Tampered)


@KMS.must(
    "E4-KROT-002",
    "rewrap refuses what unwrap refuses: Tampered",
    source=_REWRAP,
    advice="let the back end authenticate wrap and context when it wraps anew, or unwrap first",
    needs="rewrap",
)
def rewrapping_refuses_what_was_changed(subject: KmsSubject) -> None:
    rewraps, sample = subject.ability(Rewraps), subject.sample()  # type: ignore[type-abstract]
    context = sample.context()
    wrapped = subject.kms.wrap(sample.secret(), context)
    bits = range(8 * len(wrapped.blob))
    changed = {f"bit {bit} flipped": spoiled(wrapped.blob, bit) for bit in sample.random.sample(bits, 8)}
    for how, blob in {**changed, "truncated": wrapped.blob[:-1], "empty": b""}.items():
        refused(f"rewrapping, {how}", lambda b=blob: rewraps.rewrap(replace(wrapped, blob=b), context), Tampered)  # type: ignore[misc]
    refused("rewrapping in another context", lambda: rewraps.rewrap(wrapped, sample.context()), Tampered)


@KMS.must(
    "E4-KROT-010",
    "After a rotation earlier wraps open, and new wraps are under the new version",
    source=_ROTATE,
    advice="wrap under the newest version; open with the version that the wrap names, or a former key that the URI lists",
    needs="rotation",
)
def rotation_keeps_earlier_wraps(subject: KmsSubject) -> None:
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    old = subject.kms.wrap(secret, context)
    uri = subject.hook(subject.hooks.rotate, "rotate")()
    with subject.opened(uri) as kms:
        require(kms.unwrap(old, context) == secret, "another secret came back from an earlier wrap")
        new = kms.wrap(secret, context)
        require(kms.unwrap(new, context) == secret, "another secret came back from a new wrap")
    require(_version(subject, new) != _version(subject, old), f"still under {_version(subject, old)!r}: {_NO_VERSION}")


@KMS.must(
    "E4-KROT-011",
    "After a rotation rewrap moves a wrap to the new version, and changes nothing else",
    source=_REWRAP,
    advice="make the new wrap under the newest version, and say so in its key_id",
    needs="moving",
)
def rewrapping_moves_to_the_newest(subject: KmsSubject) -> None:
    sample = subject.sample()
    subject.ability(Rewraps)  # type: ignore[type-abstract]
    rotate = subject.hook(subject.hooks.rotate, "rotate")
    secret, context = sample.secret(), sample.context()
    old = subject.kms.wrap(secret, context)
    with subject.opened(rotate()) as kms:
        assert isinstance(kms, Rewraps)
        moved, fresh = kms.rewrap(old, context), kms.wrap(secret, context)
        require(kms.unwrap(moved, context) == secret, "another secret came back")
    versions = [_version(subject, each) for each in (old, moved, fresh)]
    require(versions[0] != versions[1], f"the version is still {versions[0]!r}: {_NO_VERSION}")
    require(versions[1] == versions[2], f"it moved to {versions[1]!r}, where new wraps are under {versions[2]!r}")


_NO_VERSION = "if key_id does not tell the version, the hook version does"


def _version(subject: KmsSubject, wrapped: Wrapped) -> str:
    return (subject.hooks.version or (lambda each: each.key_id))(wrapped)


@KMS.must(
    "E4-KROT-020",
    "create_key makes no second key where there is one: Conflict",
    source=_CREATE,
    advice="look for the key first, and let the back end refuse a second one in case two ask at once",
    needs="create",
)
def no_second_key_is_made(subject: KmsSubject) -> None:
    creates, sample = subject.ability(CreatesKey), subject.sample()  # type: ignore[type-abstract]
    secret, context = sample.secret(), sample.context()
    wrapped = subject.kms.wrap(secret, context)
    refused("making the key again", creates.create_key, Conflict)
    require(subject.kms.unwrap(wrapped, context) == secret, "the key was changed")


@KMS.must(
    "E4-KROT-021",
    "create_key makes the key that the URI names; before, it is KeyNotFound",
    source=_CREATE,
    advice="make the key in create_key alone: a key that is made by a first use hides that the right one is gone",
    needs="absent-key",
)
def keys_are_made_on_request_alone(subject: KmsSubject) -> None:
    subject.ability(CreatesKey)  # type: ignore[type-abstract]
    uri = subject.hook(subject.hooks.absent_uri, "absent_uri")()
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    with subject.opened(uri) as kms:
        refused("wrapping under a key that does not exist", lambda: kms.wrap(secret, context), KeyNotFound)
        refused("check of a key that does not exist", kms.check, KeyNotFound)
        assert isinstance(kms, CreatesKey)
        kms.create_key()
        refused("making the key again", kms.create_key, Conflict)
        wrapped = kms.wrap(secret, context)
        require(kms.unwrap(wrapped, context) == secret, "another secret came back")
    with suppress(KmsError):
        require(subject.kms.unwrap(wrapped, context) != secret, "the new key is the one of the subject")


@KMS.must(
    "E4-KROT-030",
    "check_shares finds nothing where all shares are well, and refuses a wrap that was changed",
    source=_SHARES,
    advice="try each share by itself, with and without a wrap",
    needs="shares",
)
def all_shares_are_well(subject: KmsSubject) -> None:
    shares, sample = subject.ability(HasShares), subject.sample()  # type: ignore[type-abstract]
    context = sample.context()
    wrapped = subject.kms.wrap(sample.secret(), context)
    for each in (None, wrapped):
        found = shares.check_shares(each, context)
        require(found is None, f"where all is well it found: {found}")
    refused(
        "checking a truncated wrap",
        lambda: shares.check_shares(replace(wrapped, blob=wrapped.blob[:9]), context),
        KmsError,
    )


@KMS.must(
    "E4-KROT-031",
    "A share that fails is told by check_shares, while the rest open the wrap",
    source=_SHARES,
    advice="tell of each share that fails, also where enough are left",
    needs="spare-share",
)
def a_lost_share_is_told(subject: KmsSubject) -> None:
    gone = subject.hook(subject.hooks.share_gone, "share_gone")
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    wrapped = subject.kms.wrap(secret, context)
    with gone(), subject.opened() as kms:
        assert isinstance(kms, HasShares)
        require(bool(kms.check_shares(wrapped, context)), "a share is gone, and check_shares told nothing")
        require(kms.unwrap(wrapped, context) == secret, "another secret came back from the shares that are left")
