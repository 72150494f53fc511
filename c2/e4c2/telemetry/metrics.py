# SPDX-License-Identifier: Apache-2.0
"""What one C2 counts and times, in the form that Prometheus reads.

A label never holds what comes from outside: routes are templates, outcomes kinds of errors; so there are only so many series.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

from e4c2.telemetry.watches import OK, Watch, outcome

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_REFUSED = {401: "unauthenticated", 403: "forbidden", 429: "rate_limited"}
_CONFIRMED_WITHIN_S = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)


class Source(Protocol):
    """Of what is not counted but looked up when it is asked for."""

    def collect(self) -> Iterable[Metric]: ...


class Metrics:
    """Of one C2."""

    def __init__(self, release: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge("e4_build_info", "Release of the C2; always 1.", ["version", "python"], registry=registry)
        build.labels(release, platform.python_version()).set(1)
        self._requests = Counter(
            "e4_http_requests", "Requests answered; 0: not answered.", ["method", "route", "status"], registry=registry
        )
        self._request_s = Histogram(
            "e4_http_request_seconds", "Time to the end of the answer.", ["method", "route"], registry=registry
        )
        self._refused = Counter(
            "e4_http_refused", "Requests of who may not, or too often.", ["kind"], registry=registry
        )
        self._transaction_s = Histogram(
            "e4_transaction_seconds",
            "Time of a transaction of the database, with the wait for its turn.",
            ["operation", "outcome"],
            registry=registry,
        )
        self._kms_s = Histogram(
            "e4_kms_seconds",
            "Time of a call to a KMS, which is named by its place in the settings and its scheme.",
            ["kms", "operation", "outcome"],
            registry=registry,
        )
        self._confirmed_s = Histogram(
            "e4_command_confirmed_seconds",
            "From the change that a command follows from to the report of the device.",
            buckets=_CONFIRMED_WITHIN_S,
            registry=registry,
        )
        for kind in _REFUSED.values():
            self._refused.labels(kind)
        self.transaction = _watch(self._transaction_s)

    def kms(self, name: str) -> Watch:
        """Of the KMS with this name."""
        return _watch(self._kms_s, name)

    def answered(self, method: str, route: str, status: int, seconds: float, is_stream: bool) -> None:
        """Args: is_stream: it ends when whoever listens goes, and so took no time."""
        self._requests.labels(method, route, str(status)).inc()
        if not is_stream:
            self._request_s.labels(method, route).observe(seconds)
        if kind := _REFUSED.get(status):
            self._refused.labels(kind).inc()

    def confirmed(self, seconds: float) -> None:
        """A device reported what a command was to bring about."""
        self._confirmed_s.observe(seconds)

    def text(self, source: Source) -> bytes:
        """All there is, that of ``source`` too."""
        return generate_latest(self._registry) + generate_latest(_Alone(source))


class _Alone(CollectorRegistry):
    """So that what looks things up stays with nobody."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def collect(self) -> Iterable[Metric]:
        return self._source.collect()


def _watch(histogram: Histogram, *labels: str) -> Watch:
    """Of one whose last labels are operation and outcome."""

    @contextmanager
    def watch(operation: str) -> Iterator[None]:
        begun, ended = time.perf_counter(), OK
        try:
            yield
        except BaseException as error:
            ended = outcome(error)
            raise
        finally:
            histogram.labels(*labels, operation, ended).observe(time.perf_counter() - begun)

    return watch
