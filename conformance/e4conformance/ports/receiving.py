# SPDX-License-Identifier: Apache-2.0
"""Live checks of what a port receives, from members of this implementation."""

from __future__ import annotations

from e4conformance.ports.book import must
from e4conformance.ports.fleet import OTHER, TOPIC, Fleet, in_each_suite, in_format_2, in_public_key_suites, refusal
from e4conformance.requirement import require
from e4core.keys import TOPIC_NAME_MAX

_BOTH = "wire.md sections 5 and 6; format2.md section 2"
_CHANGED = frozenset({"not_authentic", "bad_signature"})
_SHORT = 9
"""Bytes of a payload of which every bit is tried."""
_LETTERS = "abcXYZ019 _-./$äπ漢🔑"


@must(
    "E4-PMSG-001",
    "messages of this implementation open at the port, of every length up to its limit",
    source=_BOTH,
    advice="look at the first length that fails: 0, a block's edge, or near the limit; compare with the worked example",
)
@in_each_suite
def opens_every_length(fleet: Fleet) -> None:
    fleet.meet()
    for size in fleet.sizes():
        payload = fleet.random.randbytes(size)
        fleet.opens(fleet.from_alice(payload), payload)


@must(
    "E4-PMSG-002",
    "a topic may have any name",
    source="wire.md section 2; format2.md section 1.2",
    advice="hash the UTF-8 bytes of the name as they come, with no folding, no normalising, and no bound below 512 bytes",
)
@in_each_suite
def any_topic_name(fleet: Fleet) -> None:
    longest = min(TOPIC_NAME_MAX, fleet.subject.limits.topic_name)
    drawn = ["".join(fleet.random.choices(_LETTERS, k=fleet.random.randint(1, 40))) for _ in range(6)]
    names = [
        "x",
        "X",
        "e\u0301",
        "\u00e9",
        "a" * longest,
        *(name.encode()[:longest].decode(errors="ignore") for name in drawn),
    ]
    held = min(len(names), fleet.subject.limits.topics)
    fleet.meet(*names[:held])
    for name in names[:held]:
        payload = fleet.random.randbytes(20)
        fleet.opens(fleet.from_alice(payload, name), payload, name)


@must(
    "E4-PMSG-003",
    "a message in which any bit is changed is refused, however long it is, and suppresses nothing",
    source=_BOTH,
    advice="authenticate all bytes: the header is associated data, the whole tag is compared; remember only what was authentic",
)
@in_each_suite
def every_bit(fleet: Fleet) -> None:
    fleet.meet()
    for size in _SHORT, fleet.sizes()[-1]:
        payload = fleet.random.randbytes(size)
        data = fleet.from_alice(payload)
        for what, changed in fleet.flipped(data):
            fleet.refuses(f"a message of {size} bytes {what}", changed)
        fleet.opens(data, payload)


@must(
    "E4-PMSG-004",
    "a message that is cut short or longer is refused",
    source=_BOTH,
    advice="check the length before anything is read, and compare a tag or a signature in its full length",
)
@in_each_suite
def every_length(fleet: Fleet) -> None:
    fleet.meet()
    for size in _SHORT, fleet.sizes()[-1]:
        payload = fleet.random.randbytes(size)
        data = fleet.from_alice(payload)
        for what, changed in fleet.other_lengths(data):
            fleet.refuses(f"a message {what}", changed)
        fleet.opens(data, payload)


@must(
    "E4-PMSG-005",
    "a message opens under the key of its topic alone",
    source=_BOTH,
    advice="look the key up by the hash of the topic that the message came on, and let nothing pass that does not authenticate",
)
@in_each_suite
def wrong_key_and_topic(fleet: Fleet) -> None:
    fleet.meet(TOPIC, OTHER)
    data = fleet.from_alice(b"light")
    fleet.refuses("a message that came on another topic", data, OTHER)
    fleet.refuses("a message on a topic that is not held", data, "home/unheard", {"topic_key_missing"})
    mallory = fleet.random.randbytes(32)
    order = fleet.alice.c2.set_topic("home/forged", mallory, fleet.epoch + 1)
    fleet.order(fleet.alice, order)
    fleet.refuses("a message under a key that is not the topic's", fleet.from_alice(b"forged", "home/forged"))
    fleet.opens(data, b"light")


@must(
    "E4-PMSG-006",
    "the topic is authenticated: with one key for two topics a message still opens on its own alone",
    source="format2.md section 2.2",
    advice="put the topic hash T, all 32 bytes, into the key derivation, and under the signature",
    needs="format-2",
)
@in_format_2
def one_key_for_two_topics(fleet: Fleet) -> None:
    fleet.meet()
    for member in (fleet.bob, fleet.alice):
        fleet.order(member, member.c2.set_topic(OTHER, fleet.keys[TOPIC], fleet.epoch))
    data = fleet.from_alice(b"light")
    fleet.refuses("a message moved to a topic with the same key and epoch", data, OTHER, _CHANGED)
    fleet.opens(data, b"light")


@must(
    "E4-PMSG-007",
    "in public-key suites a message is its signer's: nobody unknown is heard, and none speaks as another",
    source="wire.md section 6; format2.md section 2.5",
    advice="verify with the key of the sender id that stands in the message, over everything before the signature",
    needs="public-key",
)
@in_public_key_suites
def senders(fleet: Fleet) -> None:
    fleet.meet()
    data = fleet.from_alice(b"I am alice")
    fleet.order(fleet.bob, fleet.bob.c2.set_peer(fleet.alice.client_id, fleet.bob.public))
    fleet.refuses("a message signed by another than its sender", data, kinds={"bad_signature"})
    fleet.wait(1)
    fleet.order(fleet.bob, fleet.bob.c2.remove_peer(fleet.alice.client_id))
    fleet.refuses("a message of a sender who was removed", data, kinds={"unknown_sender"})
    fleet.wait(1)
    fleet.order(fleet.bob, fleet.bob.c2.set_peer(fleet.alice.client_id, fleet.alice.public))
    fleet.opens(data, b"I am alice")


@must(
    "E4-PMSG-008",
    "no message is accepted twice, and those that come in another order are all accepted once",
    source="wire.md section 12, no. 1; format2.md section 2.6",
    advice="remember what was accepted by its sequence (Format 2) or its timestamp and tag (Format 1), after it was authentic",
)
@in_each_suite
def once_in_any_order(fleet: Fleet) -> None:
    fleet.meet()
    sent = [
        (fleet.from_alice(number.to_bytes(2, "little")), number)
        for number in range(min(40, fleet.subject.limits.window))
    ]
    fleet.random.shuffle(sent)
    for data, number in sent:
        fleet.opens(data, number.to_bytes(2, "little"))
        fleet.refuses("a message that was just accepted", data)
    for data, _ in fleet.random.sample(sent, len(sent)):
        fleet.refuses("a message that was accepted before", data)


@must(
    "E4-PSTA-001",
    "what was accepted is refused after a crash and after a stop in order, and what is sent later is accepted",
    source="wire.md section 12, no. 1; format2.md section 2.7",
    advice="save the mark before a message above it is accepted; a start that finds no clean stop raises every floor to the mark",
    needs="clock",
)
@in_each_suite
def once_over_restarts(fleet: Fleet) -> None:
    fleet.meet()
    old: list[bytes] = []
    for way in ("crash", "stop", "crash", "crash"):
        fleet.wait(10)
        for payload in (b"one", b"two"):
            old.append(fleet.from_alice(payload + way.encode() + bytes([len(old)])))
            fleet.opens(old[-1], payload + way.encode() + bytes([len(old) - 1]))
        if way == "stop":
            fleet.bob.device.close()
        fleet.bob.device.restart()
        for data in old:
            fleet.refuses(f"a message that was accepted before a {way}", data)
    fleet.wait(10)
    fleet.opens(fleet.from_alice(b"later"), b"later")


@must(
    "E4-PEPO-001",
    "after a rotation the key before opens as long as it was granted, and no longer",
    source="wire.md section 8; format2.md section 3.4",
    advice="Format 1: 3600 s from the rotation on the receiver's clock; Format 2: while now < older until, and 0 ends it at once",
    needs="clock",
)
@in_each_suite
def grace(fleet: Fleet) -> None:
    fleet.meet()
    before = [fleet.from_alice(bytes([number, 1])) for number in range(2)]
    fleet.rotate(older_until=int(fleet.now) + 20)
    current = fleet.from_alice(b"new key")
    fleet.wait(10)
    fleet.opens(before[0], bytes([0, 1]))
    fleet.opens(current, b"new key")
    fleet.wait(3600)
    fleet.refuses("a message under a key whose grace is over", before[1])


@must(
    "E4-PEPO-002",
    "an eviction ends older epochs at once, and an epoch that has not come is told from one that is over",
    source="format2.md sections 2.5 and 3.4",
    advice="compare the epoch of a message with the newest of its topic: above it epoch_unknown, else epoch_retired",
    needs="format-2",
)
@in_format_2
def evicted(fleet: Fleet) -> None:
    fleet.meet()
    old = fleet.from_alice(b"old")
    key, epoch = fleet.random.randbytes(32), fleet.epoch + 1
    fleet.order(fleet.alice, fleet.alice.c2.set_topic(TOPIC, key, epoch))
    ahead = fleet.from_alice(b"new")
    fleet.refuses("a message of an epoch that has not come", ahead, kinds={"epoch_unknown"})
    fleet.order(fleet.bob, fleet.bob.c2.set_topic(TOPIC, key, epoch))
    fleet.refuses("a message of an epoch that has ended", old, kinds={"epoch_retired"})
    fleet.opens(ahead, b"new")
    refused = fleet.bob.c2.seal([fleet.bob.c2.set_topic(TOPIC, fleet.random.randbytes(32), epoch - 1)], fleet.now)[0]
    seen = fleet.bob.device.command(refused, fleet.now)
    require(seen.kind == "epoch_conflict", f"an epoch below the newest is {seen.outcome} {seen.kind}, not refused")


@must(
    "E4-PMSG-009",
    "what is too long is refused with an error, and so is what is no topic",
    source="port-protocol.md section 3; format2.md section 8",
    advice="answer bad_length to a payload above limits.payload, and topic_key_missing or bad_topic to what is not held",
)
@in_each_suite
def too_long(fleet: Fleet) -> None:
    fleet.meet()
    longest = fleet.subject.limits.payload
    if 2 * longest + 1024 < fleet.subject.limits.line:
        refusal(
            "a payload above the limit",
            lambda: fleet.bob.device.protect(bytes(longest + 1), TOPIC, fleet.now),
            {"bad_length"},
        )
    none = {"topic_key_missing", "bad_topic"}
    for topic in ("", "home/unheard", TOPIC + "/", "#", TOPIC.upper()):
        refusal(f"protecting on {topic!r}", lambda topic=topic: fleet.bob.device.protect(b"x", topic, fleet.now), none)  # type: ignore[misc]
    fleet.opens(fleet.from_alice(b"goes on"), b"goes on")
