# SPDX-License-Identifier: Apache-2.0
"""Live checks of what a small device has little of, and at the edge of it: the window of a session, and sessions."""

from __future__ import annotations

from e4conformance.ports.book import must
from e4conformance.ports.fleet import TOPIC, Fleet, in_format_2, told
from e4conformance.requirement import NotExercised, require
from e4core.keys import Secret
from e4core.sending2 import VERSION, message_key_info, nonces, signature_label

_SESSION_LEN = 8
_SESSIONS_MOST = 32


class Session:
    """One of alice's, whose messages are made here, so that any sequence can be sent."""

    def __init__(self, fleet: Fleet, topic: str = TOPIC) -> None:
        self._suite, self._epoch = fleet.suite, fleet.epoch
        self._topic = fleet.suite.derive_topic(topic)
        self._who = bytes(fleet.alice.client_id) + fleet.random.randbytes(_SESSION_LEN)
        info = message_key_info(self._suite, self._topic, self._epoch, self._who)
        key = self._suite.kdf(Secret(fleet.keys[topic]), info, self._suite.aead.key_len)
        self._key, self._private = self._suite.aead.key(key), fleet.alice.private

    def message(self, sequence: int, now: float) -> bytes:
        """Its payload is its sequence, in 4 bytes (`format2.md` sections 2.1 and 2.2)."""
        number = sequence.to_bytes(4, "little")
        numbers = self._epoch.to_bytes(4, "little") + int(now).to_bytes(8, "little")
        header = bytes([VERSION]) + numbers + self._who + number
        data = header + self._key.seal(nonces(self._suite.aead)(sequence), number, header)
        if self._suite.signature is None:
            return data
        signer = self._suite.signature.signer(self._suite.device.load(Secret(self._private)))
        return data + signer.sign(signature_label(self._suite, self._topic) + data)


@must(
    "E4-PMSG-010",
    "of a session what is as far behind as the declared window is accepted once, and what is further not twice",
    source="format2.md sections 2.6 and 8",
    advice="refuse q where q < h - W, h being the highest, W limits.window: q = h - W is good, and must be remembered",
    needs="format-2",
)
@in_format_2
def window(fleet: Fleet) -> None:
    fleet.meet()
    session, width = Session(fleet), fleet.subject.limits.window
    highest = width + 1
    for sequence in (highest, 2, 1):
        data, where = session.message(sequence, fleet.now), f"a message {highest - sequence} below the highest"
        seen = told(lambda data=data: fleet.bob.device.unprotect(data, TOPIC, fleet.now))  # type: ignore[misc]
        require(not isinstance(seen, str), f"{where} is refused, with a window of {width}: {seen}")
        fleet.refuses(f"{where}, for the second time,", data)
    behind = session.message(0, fleet.now)
    # a window that is wider than it says does no harm, where what it lets pass is remembered
    taken = [told(lambda: fleet.bob.device.unprotect(behind, TOPIC, fleet.now)) for _ in range(2)]
    require(
        isinstance(taken[1], str), f"a message {highest} below the highest is accepted twice, with a window of {width}"
    )
    fleet.opens(session.message(3 * width, fleet.now), (3 * width).to_bytes(4, "little"))
    for sequence in (1, 2, highest):
        fleet.refuses(f"a message {3 * width - sequence} below the highest", session.message(sequence, fleet.now))


@must(
    "E4-PMSG-011",
    "where there is no room for another session, one is forgotten, and what was accepted of it stays refused",
    source="format2.md section 2.6",
    advice="forget the session with the earliest newest timestamp, and raise the floor to that before the new one is taken in",
    needs="format-2",
)
@in_format_2
def many_sessions(fleet: Fleet) -> None:
    if "clock" not in fleet.subject.capabilities:
        raise NotExercised("the capability 'clock' is not declared: each session must begin later than those before it")
    fleet.meet()
    sent: list[bytes] = []
    for _ in range(2 * min(fleet.subject.limits.sessions, _SESSIONS_MOST) + 1):
        session = Session(fleet)
        for sequence in (0, 1):
            sent.append(session.message(sequence, fleet.now))
            fleet.opens(sent[-1], sequence.to_bytes(4, "little"))
        fleet.wait(1)
    for number, data in enumerate(sent):
        fleet.refuses(f"a message of session {number // 2 + 1} of {len(sent) // 2}, for the second time,", data)
