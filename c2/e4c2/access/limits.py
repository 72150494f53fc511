# SPDX-License-Identifier: Apache-2.0
"""How often somebody may ask, and how often somebody whom nobody knows may try. In memory, of this process alone, and bounded.

A source that shows wrong credentials too often is locked out: what it shows is not looked at for a while. But who was known from
there lately still is, so a stranger behind the same address keeps out nobody who is at work. And so is who shows what nobody
can guess, a certificate or the token of an issuer (`e4c2.api.gate`), which may be another one every few minutes.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Network, ip_address
from math import ceil

from e4core.errors import RateExceeded

TOO_MANY = "too_many_requests"
LOCKED_OUT = "locked_out"
MOST = 10_000
"""Principals, sources, and pairs of a source and credentials that are remembered; beyond, whoever was not heard of for longest is
forgotten."""
BURST_S = 10.0
"""What is not used of a rate is kept for so long."""
_MINUTE_S = 60.0

REFUSALS_PER_S = 1.0
"""Of those who are known by what many hold, as devices an enrolment token."""

Clock = Callable[[], float]


class Rate:
    """So many a second for each of many, and what they did not use of the last ``kept_s``; one at least."""

    def __init__(self, per_s: float, kept_s: float, clock: Clock) -> None:
        self._per_s, self._most, self._clock = per_s, max(per_s * kept_s, 1), clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Key -> what was left, and when."""

    def wait_s(self, key: str) -> float:
        """Seconds until there is one; 0: now."""
        return max(1 - self._now(key), 0) / self._per_s

    def use(self, key: str) -> None:
        self._left[key] = (max(self._now(key) - 1, 0), self._clock())
        self._left.move_to_end(key)
        if len(self._left) > MOST:
            self._left.popitem(last=False)

    def _now(self, key: str) -> float:
        left, at = self._left.get(key, (self._most, 0.0))
        return min(left + (self._clock() - at) * self._per_s, self._most)


class Limits:
    """Of one process."""

    def __init__(self, requests_per_s: float, failures_per_min: float, clock: Clock = time.monotonic) -> None:
        self._requests = Rate(requests_per_s, BURST_S, clock)
        self._failures = Rate(failures_per_min / _MINUTE_S, _MINUTE_S, clock)
        self._refusals = Rate(REFUSALS_PER_S, BURST_S, clock)
        self._known: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def lockout(self, address: str, shown: str) -> RateExceeded | None:
        """Before credentials are looked at: why not now; None: go on."""
        source = network_of(address)
        wait_s = self._failures.wait_s(source)
        if not wait_s or (source, _digest(shown)) in self._known:
            return None
        text = f"too many wrong credentials came from this address; try again in {ceil(wait_s)} s"
        return RateExceeded(text, kind=LOCKED_OUT, wait_s=ceil(wait_s))

    def failed(self, address: str, shown: str) -> None:
        """They were wrong."""
        source = network_of(address)
        self._known.pop((source, _digest(shown)), None)
        self._failures.use(source)

    def check_principal(self, address: str, shown: str, principal: str) -> None:
        """They were right. Raises: RateExceeded: whose they are asks for too much."""
        key = (network_of(address), _digest(shown))
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        if wait_s := self._requests.wait_s(principal) or self._refusals.wait_s(_of(principal, address)):
            text = f"you ask too often; try again in {ceil(wait_s)} s"
            raise RateExceeded(text, kind=TOO_MANY, wait_s=ceil(wait_s))
        self._requests.use(principal)

    def refused(self, address: str, principal: str) -> None:
        """What they asked for, once they were let in. Who is refused too often, from there, waits as who asks too often."""
        self._refusals.use(_of(principal, address))


def _of(principal: str, address: str) -> str:
    return f"{principal} {network_of(address)}"


def network_of(address: str) -> str:
    """What counts as one source: an address; of IPv6 the network of one customer, who has as many addresses as they like, unless it
    is one of IPv4."""
    try:
        known = ip_address(address)
    except ValueError:  # no address: a socket of this machine, or nothing
        return address
    if isinstance(known, IPv4Address):
        return str(known)
    return str(known.ipv4_mapped or IPv6Network((int(known), 64), strict=False))


def _digest(shown: str) -> bytes:
    return hashlib.sha256(shown.encode(errors="surrogatepass")).digest()
