# SPDX-License-Identifier: Apache-2.0
"""The database's own keys as rows: what `e4kms.deks` makes, stored, changed and read again, and what may become of each.

That a version was put back, forged or given another state is found like that of any row that grants something; a wrap needs no MAC,
for what it opens to is checked, and whoever deletes one only takes a way in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import sha256

import sqlalchemy as sa

from e4c2 import events, ledger, resealing
from e4c2.model import dek, dek_wrap
from e4c2.roll import roll_of
from e4c2.rows import Realm, Row, find_all, insert, strange, typed, update
from e4core.errors import Conflict, KmsError, NotFound
from e4core.kms import Wrapped
from e4kms.deks import CHECK_VALUE_LEN, Dek, Purpose, State, Wrap

_VERSIONS = range(1, 2**32)


def load(db: sa.Connection) -> list[Dek]:
    """All DEKs as they are stored, oldest first. Unverified: the key that could is in one of them. Raises: Tampered."""
    wraps: dict[tuple[str, int], list[Wrap]] = {}
    for stored in db.execute(sa.select(dek_wrap).order_by(dek_wrap.c.slot)).mappings():
        row = typed(dek_wrap, stored)
        wrap = Wrap(row["slot"], row["uri"], Wrapped(row["key_id"], row["mechanism"], row["blob"]))
        wraps.setdefault((row["purpose"], row["version"]), []).append(wrap)
    rows = db.execute(sa.select(dek).order_by(dek.c.version, dek.c.purpose)).mappings()
    return [_dek(row, wraps.get((row["purpose"], row["version"]), [])) for row in rows]


def fingerprint(stored: Iterable[Dek]) -> bytes:
    """Of all that are not retired, and their states; 32 bytes."""
    of = [f"{each.purpose} {each.version} {each.state}" for each in stored if each.state is not State.RETIRED]
    return sha256("\n".join(sorted(of)).encode()).digest()


def verify(db: sa.Connection, realm: Realm) -> None:
    """Raises: Tampered: what `load` told was forged."""
    find_all(db, realm, dek)


def verify_as_read(db: sa.Connection, realm: Realm, stored: list[Dek]) -> None:
    """Raises: Tampered: a version was forged or put back. Conflict: they are not as they were read."""
    ledger.verify(db, realm.keyring)
    verify(db, realm)
    if load(db) != stored:
        raise Conflict("the DEKs were changed meanwhile; try again")


def require(db: sa.Connection, purpose: Purpose, version: int) -> Dek:
    """Raises: NotFound."""
    for each in load(db):
        if (each.purpose, each.version) == (purpose, version):
            return each
    raise NotFound(f"there is no version {version} of the {purpose} DEK")


def following(
    db: sa.Connection, realm: Realm, kmses: Collection[str], purpose: Purpose, version: int
) -> tuple[bool, int]:
    """Whether a version is prepared to follow this one, and which; else which is to be made.

    Args: kmses: URIs of those that would wrap it.
    Raises: Conflict: this one is not active; rows are behind it; another KMS opens it that could not open the next.
    """
    versions = {dek.version: dek for dek in load(db) if dek.purpose is purpose}
    active = versions.get(version)
    if active is None or active.state is not State.ACTIVE:
        raise Conflict(f"version {version} of the {purpose} DEK is not the active one; was it rotated already?")
    for made in versions.values():
        if made.state is State.PREPARED:
            return True, made.version
    if purpose in resealing.RESEALED and resealing.behind(db, realm)[purpose]:
        raise Conflict(
            f"rows are still being put under the present version of the {purpose} DEK; wait for them, or restore those that were"
            " passed over: e4 kms status"
        )
    if spares := _spares(active, kmses):
        raise Conflict(
            f"{active} is opened by KMSes too that could not open the next one, as the settings do not name them; name them and"
            f" start the C2 anew, or give them up with e4 kms remove-wrap: {', '.join(spares)}"
        )
    return False, max(versions) + 1


def add(db: sa.Connection, realm: Realm, made: Dek) -> None:
    """Store a new version. Raises: Conflict: there is one already."""
    insert(
        db,
        realm,
        dek,
        purpose=made.purpose.value,
        version=made.version,
        state=made.state.value,
        check_value=made.check_value,
    )
    _store_wraps(db, made)


def activate(db: sa.Connection, realm: Realm, purpose: Purpose, version: int) -> None:
    """From now on this prepared version is used for all that is new, those before only for what is old.

    The keyring of ``realm`` follows in this very transaction, so that nobody who writes after it uses another.
    Raises: NotFound. Tampered. KmsError: it is not held.
    """
    row = _row(db, realm, purpose, version)
    for former in find_all(db, realm, dek, dek.c.purpose == purpose.value, dek.c.state == State.ACTIVE.value):
        update(db, realm, dek, former, state=State.DECRYPT_ONLY.value)
        roll_of(db).if_undone(lambda active=former["version"]: _activate_again(realm, purpose, active))  # type: ignore[misc]
    update(db, realm, dek, row, state=State.ACTIVE.value)

    def activate_here() -> None:
        realm.keyring.activate(purpose, version)

    told = ledger.renew if purpose is Purpose.RECORDS else ledger.restate
    told(db, realm.keyring, activate_here)
    _tell(db, realm, purpose, version, State.ACTIVE)


def retire_former(db: sa.Connection, realm: Realm) -> list[Dek]:
    """Destroy all former versions that rows were put under newer ones from, and that none is under any more; which those are."""
    former = [each for each in load(db) if each.purpose in resealing.RESEALED and each.state is State.DECRYPT_ONLY]
    behind = resealing.behind(db, realm) if former else {}
    gone = [each for each in former if not behind[each.purpose]]
    for each in gone:
        _destroy(db, realm, each.purpose, each.version)
    return gone


def retirable(db: sa.Connection, realm: Realm, purpose: Purpose, version: int) -> Dek:
    """A former version that nothing is under, or one that is retired. Raises: NotFound. Conflict. Tampered."""
    _row(db, realm, purpose, version)  # which is checked
    found = require(db, purpose, version)
    if found.state is State.RETIRED:
        return found
    if found.state is not State.DECRYPT_ONLY:
        raise Conflict(f"{found} is {found.state}; only a former version is retired")
    # what was damaged names no version, and may be restored as it was under this one
    damaged = purpose in resealing.RESEALED and resealing.behind(db, realm)[purpose]
    if damaged or resealing.is_named(db, purpose, version):
        raise Conflict(
            f"something is still under version {version} of the {purpose} DEK; see how much with: e4 kms status"
        )
    return found


def retire(db: sa.Connection, realm: Realm, purpose: Purpose, version: int) -> None:
    """Destroy a `retirable` version: without wraps nothing opens it in this database. Raises: NotFound. Conflict."""
    if retirable(db, realm, purpose, version).state is not State.RETIRED:
        _destroy(db, realm, purpose, version)


def put_wraps(db: sa.Connection, before: Dek, after: Dek) -> None:
    """Store the wraps of ``after`` in place of those of ``before``. Raises: NotFound. Conflict: changed meanwhile."""
    if require(db, before.purpose, before.version) != before:
        raise Conflict(f"{before} was changed by somebody else meanwhile; try again")
    db.execute(
        sa.delete(dek_wrap).where(dek_wrap.c.purpose == after.purpose.value, dek_wrap.c.version == after.version)
    )
    _store_wraps(db, after)


def _tell(db: sa.Connection, realm: Realm, purpose: Purpose, version: int, state: State) -> None:
    events.tell(db, realm, events.Kind.DEK_CHANGED, purpose=purpose.value, version=version, state=state.value)


def _destroy(db: sa.Connection, realm: Realm, purpose: Purpose, version: int) -> None:
    if purpose is Purpose.LOOKUP:
        resealing.forget_answers(db, version)
    update(db, realm, dek, _row(db, realm, purpose, version), state=State.RETIRED.value)
    _tell(db, realm, purpose, version, State.RETIRED)
    db.execute(sa.delete(dek_wrap).where(dek_wrap.c.purpose == purpose.value, dek_wrap.c.version == version))


def _activate_again(realm: Realm, purpose: Purpose, version: int) -> None:
    with suppress(KmsError):  # the keys are gone: what is renewed is as the database says
        realm.keyring.activate(purpose, version)


def _spares(dek: Dek, kmses: Collection[str]) -> list[str]:
    """KMSes of wraps that are not among these; none where there is one wrap: its KMS, which answers, has another URI now."""
    uris = [wrap.uri for wrap in dek.wraps]
    return [uri for uri in uris if uri not in kmses] if len(uris) > 1 else []


def _row(db: sa.Connection, realm: Realm, purpose: Purpose, version: int) -> Row:
    rows = find_all(db, realm, dek, dek.c.purpose == purpose.value, dek.c.version == version)
    if not rows:
        raise NotFound(f"there is no version {version} of the {purpose} DEK")
    return rows[0]


def _dek(stored: Row, wraps: list[Wrap]) -> Dek:
    row = typed(dek, stored)
    if row["version"] not in _VERSIONS or len(row["check_value"]) != CHECK_VALUE_LEN:
        raise strange(dek)
    return Dek(Purpose(row["purpose"]), row["version"], State(row["state"]), row["check_value"], tuple(wraps))


def _store_wraps(db: sa.Connection, made: Dek) -> None:
    rows = [
        {
            "purpose": made.purpose.value,
            "version": made.version,
            "slot": wrap.slot,
            "uri": wrap.uri,
            "key_id": wrap.wrapped.key_id,
            "mechanism": wrap.wrapped.mechanism,
            "blob": wrap.wrapped.blob,
        }
        for wrap in made.wraps
    ]
    if rows:
        db.execute(sa.insert(dek_wrap), rows)
