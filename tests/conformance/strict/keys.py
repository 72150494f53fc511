# SPDX-License-Identifier: Apache-2.0
"""Keys that are refused wherever they enter."""

from __future__ import annotations

from tests.conformance.strict.fleet import ALICE, MALLORY, NOW, Fleet, Json, b64, declined, number

P = 2**255 - 19

LOW_ORDER_U = {
    "u = 0": number(0),
    "u = 1": number(1),
    "u = -1": number(P - 1),
    "order 8, first": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order 8, second": bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    "u = p": number(P),
    "u = p + 1": number(P + 1),
}
NON_CANONICAL_U = {"u = p + 9": number(P + 9), "top bit set": number(9 | 1 << 255)}
BAD_ED25519 = {
    "order 4, y = 0": number(0),
    "y = 1": number(1),
    "y = 1, sign bit": number(1 | 1 << 255),
    "y = -1": number(P - 1),
    "order 8, first": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "order 8, second": bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    "y = p": number(P),
    "y = p + 1": number(P + 1),
    "y = p + 3": number(P + 3),
    "no point, y = 2": number(2),
}


def refused_commands(f: Fleet) -> list[Json]:
    """Key -> the command that would bring it in."""
    plains = {"SetTopicKey, all zero": f.set_topic(bytes(32)), "SetIDKey, all zero": b"\x02" + bytes(len(f.private))}
    if not f.symmetric:
        foreign = ALICE.private[:32] + MALLORY.public
        plains["SetIDKey, public half of another seed"] = b"\x02" + foreign
        for name, u in (LOW_ORDER_U | NON_CANONICAL_U).items():
            plains[f"SetC2Key, {name}"] = b"\x07" + u
        for name, public in BAD_ED25519.items():
            plains[f"SetPubKey, {name}"] = b"\x06" + public + ALICE.client
    state = f.state()
    same = {name: state[name] for name in ("topics", "peers", "private", "c2_public", "command_second")}
    return [
        f.story(name, [declined(f.command(plain, NOW), NOW, "bad_key", "refused", after=same)])
        for name, plain in plains.items()
    ]


def refused_states(f: Fleet) -> list[Json]:
    states = {
        "an all-zero topic key": f.state(topics=f.topics(bytes(32))),
        "an all-zero device key": f.state(private=b64(bytes(len(f.private)))),
        "a device key cut short": f.state(private=b64(f.private[:-1])),
    }
    if not f.symmetric:
        states["a device key with the public half of another seed"] = f.state(
            private=b64(ALICE.private[:32] + MALLORY.public)
        )
        for name, u in (LOW_ORDER_U | NON_CANONICAL_U).items():
            states[f"C2 key, {name}"] = f.state(c2_public=b64(u))
        for name, public in BAD_ED25519.items():
            states[f"public key of a sender, {name}"] = f.state(peers={ALICE.client.hex(): b64(public)})
    start = {"op": "start", "result": "error", "kind": "bad_key"}
    return [f.story(name, [start], state) for name, state in states.items()]
