# SPDX-License-Identifier: Apache-2.0
"""Nobody who has the files of a C2 finds a key in them, whatever was rotated, rewrapped and resealed."""

from __future__ import annotations

import base64

import sqlalchemy as sa

from e4c2 import clients, deks, resealing, tokens, topics
from e4c2.model import Reason
from e4kms.deks import Purpose, unwrap
from tests.c2.shop import SPARE, Shop
from tests.c2.world import World


def spellings(secret: bytes) -> list[bytes]:
    """As raw bytes, hexadecimal and base64; the latter at all three alignments."""
    middles = [base64.b64encode(bytes(pad) + secret)[4 * (pad > 0) :].rstrip(b"=")[2:-2] for pad in range(3)]
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), *middles]


def roots_and_keys(shop: Shop) -> list[bytes]:
    """Those that are in use."""
    roots = [unwrap(dek, shop.database_id, shop.kmses) for dek in shop.stored() if dek.wraps]
    return [*map(bytes, roots), *(bytes(key._raw) for key in shop.world.realm.keyring._keys())]


def test_no_key_is_in_any_file_after_rotation_and_rewrap(pk: World) -> None:
    for name in "ab":
        pk.add(name)
    pk.topic("t", "a", "b")
    shop = Shop(pk)
    shop.add_spare()
    _, token = pk.do(tokens.create, "operator")
    secrets = [pk.topic_key("t"), bytes(token), *(bytes(pk.privates[name][0]) for name in "ab")]
    secrets += roots_and_keys(shop)
    for purpose in Purpose:
        shop.do(lambda smith, purpose=purpose: smith.rotate(purpose, 1))  # type: ignore[misc]
    shop.work_until(lambda: all(shop.states(purpose) == ["retired", "active"] for purpose in resealing.RESEALED))
    pk.do(topics.rotate, "t")
    pk.do(clients.new_key, "a", Reason.ROUTINE)
    for dek in filter(lambda dek: dek.wraps, shop.stored()):
        shop.do(lambda smith, dek=dek: smith.rewrap(dek.purpose, dek.version, SPARE))  # type: ignore[misc]
    secrets += roots_and_keys(shop)
    secrets += [pk.topic_key("t"), shop.spare.kek]
    files = {file: file.read_bytes() for file in pk.database.parent.iterdir() if file.name.startswith(pk.database.name)}
    assert any(file.name.endswith("-wal") and data for file, data in files.items())
    assert len(set(secrets)) > 16
    assert pk.store.run(lambda db: db.scalar(sa.text("SELECT count(*) FROM dek"))) == 8
    assert sum(pk.do(resealing.behind).values()) == 1  # the token
    assert pk.store.run(deks.load) == shop.stored()
    found = [
        (file.name, n) for file, data in files.items() for n, s in enumerate(secrets) for x in spellings(s) if x in data
    ]
    assert found == []
    sample = bytes(pk.store.run(lambda db: db.scalar(sa.text("SELECT database_id FROM realm"))))
    assert any(sample in data for data in files.values()), "this search would find nothing"
