# SPDX-License-Identifier: Apache-2.0
"""From opening to closing, across a restart of the back end, and when it never answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing

from e4conformance.kms.refused import refused
from e4conformance.kms.subject import KMS, PROTOCOL, KmsSubject
from e4conformance.requirement import Unmet, require
from e4core.errors import KmsError, KmsUnavailable
from e4core.kms import HasShares, Kms, Rewraps, Wrapped

_CHECK, _CLOSE = f"{PROTOCOL}Kms.check", f"{PROTOCOL}Kms.close"
_PATIENCE_S = 15.0
"""What opening and check may take at a deadline of two seconds for each call: they are several calls, and may try again."""


@KMS.must(
    "E4-KLIF-001",
    "check proves that the key can be used, and leaves the handle as it was",
    source=_CHECK,
    advice="wrap and unwrap a probe in check",
)
def check_passes(subject: KmsSubject) -> None:
    use = _use_of(subject)
    subject.kms.check()
    use(subject.kms)
    subject.kms.check()


@KMS.must(
    "E4-KLIF-002", "Closing again does no harm", source=_CLOSE, advice="let close return when there is nothing to close"
)
def closing_again_is_harmless(subject: KmsSubject) -> None:
    kms = subject.load(subject.uri)
    for _ in range(3):
        kms.close()


@KMS.must(
    "E4-KLIF-003",
    "A closed handle does nothing any more: KmsError",
    source=_CLOSE,
    advice="forget keys and credentials in close, and refuse each later call with KmsError; do not connect again",
)
def closed_handles_are_of_no_use(subject: KmsSubject) -> None:
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    kms = subject.load(subject.uri)
    wrapped = kms.wrap(secret, context)
    for _ in range(3):
        kms.close()
    for name, use in _uses(kms, wrapped, context, lambda: kms.wrap(secret, context)).items():
        refused(f"{name} of a closed handle", use, KmsError)


def _uses(kms: Kms, wrapped: Wrapped, context: bytes, wrap: Callable[[], object]) -> dict[str, Callable[[], object]]:
    uses = {"wrap": wrap, "unwrap": lambda: kms.unwrap(wrapped, context), "check": kms.check}
    if isinstance(kms, Rewraps):
        uses["rewrap"] = lambda: kms.rewrap(wrapped, context)
    if isinstance(kms, HasShares):
        uses["check_shares"] = lambda: kms.check_shares(wrapped, context)
    return uses


@KMS.must(
    "E4-KLIF-004",
    "Closing one handle leaves the others as they were",
    source=_CLOSE,
    advice="count the users of what handles share: the last one that closes logs out",
)
def closing_one_leaves_the_others(subject: KmsSubject) -> None:
    use = _use_of(subject)
    with subject.opened() as short:
        use(short)
    use(subject.kms)


@KMS.must(
    "E4-KLIF-005",
    "After the last handle was closed the next one opens its wraps",
    source=_CLOSE,
    advice="let nothing that is shared by handles stay closed for the next one",
)
def it_opens_again_and_again(subject: KmsSubject) -> None:
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    with subject.opened() as kms:
        wrapped = kms.wrap(secret, context)
    with subject.alone(), subject.opened() as kms:
        require(kms.unwrap(wrapped, context) == secret, "another secret came back from an earlier wrap")


@KMS.must(
    "E4-KLIF-006",
    "After a restart of the back end the same handle and a new one work",
    source=f"{PROTOCOL}Kms.unwrap",
    advice="when a session or a connection is gone, open another one and log in again before the call is given up",
    needs="restart",
)
def a_restart_is_survived(subject: KmsSubject) -> None:
    restart = subject.hook(subject.hooks.restart, "restart")
    use = _use_of(subject)
    restart()
    use(subject.kms)
    with subject.opened() as kms:
        use(kms)


@KMS.must(
    "E4-KLIF-007",
    "A back end that accepts a connection and never answers is KmsUnavailable; with a deadline of 2 s that is seen within 15 s",
    source="e4core.errors: KmsUnavailable",
    advice="give each call a deadline that covers connecting, sending and the whole answer",
    needs="deadline",
)
def a_black_hole_is_left_in_time(subject: KmsSubject) -> None:
    uri_at = subject.hook(subject.hooks.black_hole_uri, "black_hole_uri")
    with socket.create_server(("127.0.0.1", 0)) as hole:
        uri = uri_at(f"127.0.0.1:{hole.getsockname()[1]}")
        ends: list[Exception | None] = []

        def visit() -> None:
            try:
                with closing(subject.load(uri)) as kms:
                    kms.check()
            except Exception as error:
                ends.append(error)
            else:
                ends.append(None)

        visitor = threading.Thread(target=visit, daemon=True)
        visitor.start()
        visitor.join(_PATIENCE_S)
    if not ends:
        raise Unmet(f"it still waits after {_PATIENCE_S:g} s")
    require(isinstance(ends[0], KmsUnavailable), f"it ended with {ends[0]!r}, not with KmsUnavailable")


def _use_of(subject: KmsSubject) -> Callable[[Kms], None]:
    """Opens what was wrapped now, and something new."""
    sample = subject.sample()
    secret, context = sample.secret(), sample.context()
    wrapped = subject.kms.wrap(secret, context)

    def use(kms: Kms) -> None:
        require(kms.unwrap(wrapped, context) == secret, "another secret came back from an earlier wrap")
        require(kms.unwrap(kms.wrap(secret, context), context) == secret, "another secret came back from a new wrap")

    return use
