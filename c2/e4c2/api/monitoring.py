# SPDX-License-Identifier: Apache-2.0
"""``/metrics``: what is counted as it happens, and what is looked up when it is asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from fastapi import APIRouter, FastAPI, Request
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from e4c2 import figures
from e4c2.access.grants import Permission
from e4c2.api.caller import Asking
from e4c2.api.health import Check, Health, PartState, health, ready
from e4c2.api.objects import WHOLE
from e4c2.api.parts import C2
from e4c2.api.status import of_error
from e4c2.figures import Figures, Told
from e4c2.telemetry.metrics import CONTENT_TYPE
from e4core.errors import E4Error

router = APIRouter(tags=["c2"], include_in_schema=False)

KEPT_S = 15.0
"""For how long figures are good: nobody who asks more often makes the database count more often."""

_Values = Mapping[str, int] | Mapping[str, float] | Mapping[tuple[str, str], int] | Mapping[tuple[str, str], float]
_LIVE: tuple[tuple[str, str, Callable[[C2], float]], ...] = (
    ("e4_broker_connected", "1: the broker is connected.", lambda c2: c2.transport.connected),
    ("e4_keys_held_seconds", "For how long the database's keys are held.", lambda c2: c2.realm.keyring.seconds_left),
    (
        "e4_keys_failing",
        "1: the database's keys could not be opened anew lately.",
        lambda c2: c2.locksmith.failure is not None,
    ),
    (
        "e4_c2_key_failing",
        "1: commands or reports wait for the token of the C2's own key.",
        lambda c2: c2.courier.failure is not None,
    ),
    ("e4_event_followers", "Who follows the events at this C2.", lambda c2: c2.feed.followers),
    ("e4_event_followers_behind", "Events that the slowest of them has not taken.", lambda c2: c2.feed.behind),
    ("e4_rows_passed_over", "Rows that were tampered with and keep a former key.", lambda c2: c2.locksmith.passed_over),
)


class Monitoring:
    """Answers of one C2 to who collects its metrics."""

    def __init__(self, c2: C2, health: Health) -> None:
        self._c2 = c2
        self._health = health
        self._counting = asyncio.Lock()
        self._figures: Figures | None = None
        self._good_until = 0.0

    async def metrics(self) -> Response:
        """All that there is; when the database does not answer, all but what is in it: that is when it is looked at."""
        async with self._counting:
            if time.monotonic() >= self._good_until:
                self._figures = await self._count()
                self._good_until = time.monotonic() + KEPT_S
        return Response(
            self._c2.metrics.text(_Now(self._c2, await self._health.checks(), self._figures)), media_type=CONTENT_TYPE
        )

    async def _count(self) -> Figures | None:
        try:
            return await self._c2.store.read(figures.count, self._c2.realm)
        except E4Error:  # the log and the readiness tell
            return None


@router.get("/metrics")
async def metrics(asking: Asking, request: Request) -> Response:
    await asking.admit(Permission.METRICS_READ, WHOLE)
    return await _metrics(request)


async def _metrics(request: Request) -> Response:
    return await cast(Monitoring, request.app.state.monitoring).metrics()


def for_this_machine(api: FastAPI) -> ASGIApp:
    """The application for a port of the loopback interface, which asks for no token: so it is there when nobody can be known."""

    async def alive(_request: Request) -> Response:
        return JSONResponse((await health()).model_dump())

    async def is_ready(request: Request) -> Response:
        return JSONResponse((await ready(request)).model_dump())

    routes = [Route("/metrics", _metrics), Route("/livez", alive), Route("/readyz", is_ready)]
    app = Starlette(routes=routes, exception_handlers={E4Error: _problem})
    app.state = api.state
    return app


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, E4Error)
    return of_error(error, is_known=True)


class _Now:
    """What is looked up (`e4c2.telemetry.metrics.Source`)."""

    def __init__(self, c2: C2, checks: Iterable[Check], counted: Figures | None) -> None:
        self._c2 = c2
        self._checks = checks
        self._figures = counted

    def collect(self) -> Iterator[Metric]:
        for name, text, value in _LIVE:
            yield GaugeMetricFamily(name, text, value(self._c2))
        states = {
            (check.name, state.value): float(check.state is state) for check in self._checks for state in PartState
        }
        yield _gauges("e4_health", "1: the part is in this state.", states, "part", "state")
        if (certificates := self._c2.certificates) is not None:
            expires = certificates.expires.timestamp()
            yield GaugeMetricFamily(
                "e4_certificate_expires_seconds", "When the certificate expires, Unix time.", expires
            )
        yield CounterMetricFamily(
            "e4_broker_connections", "Connections that the broker accepted.", self._c2.transport.connections
        )
        yield _counters("e4_reports_refused", "Reports refused.", self._c2.courier.refused, "kind")
        yield _counters("e4_publications", "Handed to the broker.", self._c2.courier.published, "outcome")
        if self._figures is not None:
            yield from _counted(self._figures, self._c2.realm.clock())


def _counted(of: Figures, now: float) -> Iterator[Metric]:
    ages = {state: max(now - created, 0) for state, created in of.oldest.items()}
    counted = f"Commands on record, {figures.COUNTED} of a state at most."
    yield _gauges("e4_commands", counted, of.deliveries, "state")
    yield _gauges("e4_commands_oldest_seconds", "Age of the oldest that is still to be sent.", ages, "state")
    yield GaugeMetricFamily("e4_operations_running", "Operations with commands to be sent.", of.operations)
    yield _gauges("e4_clients", "Clients, by when they were heard of last.", of.clients, "status", "seen")
    yield GaugeMetricFamily("e4_topics", "Topics.", of.topics)
    yield GaugeMetricFamily("e4_topics_behind", "Topics with members that lack their newest key.", of.topics_behind)
    yield GaugeMetricFamily("e4_members_behind", "Pairs of a member and a topic that lack its key.", of.members_behind)
    waited = _age(of.behind_since, now)
    yield GaugeMetricFamily("e4_members_behind_oldest_seconds", "For how long the first of these has waited.", waited)
    yield _gauges("e4_database_keys", "Versions of the database's keys.", of.deks, "purpose", "state")
    yield from _told(of.told, now)


def _told(of: Told, now: float) -> Iterator[Metric]:
    yield GaugeMetricFamily("e4_events", "Events that are kept.", of.kept)
    yield GaugeMetricFamily("e4_events_oldest_seconds", "Age of the oldest of them.", _age(of.since, now))
    states = {state: of.webhooks.get(state, 0) for state in figures.WEBHOOK_STATES}
    yield _gauges("e4_webhooks", "Webhooks; of failing ones what was sent last was not taken.", states, "state")
    yield GaugeMetricFamily(
        "e4_webhook_events_waiting", "Events that the slowest webhook has not taken; paused ones left out.", of.waiting
    )
    yield GaugeMetricFamily(
        "e4_webhook_events_oldest_seconds", "For how long the first of these has waited.", _age(of.waiting_since, now)
    )


def _age(since: float | None, now: float) -> float:
    return 0.0 if since is None else max(now - since, 0.0)


def _gauges(name: str, text: str, values: _Values, *labels: str) -> Metric:
    return _family(GaugeMetricFamily(name, text, labels=labels), values)


def _counters(name: str, text: str, values: _Values, *labels: str) -> Metric:
    return _family(CounterMetricFamily(name, text, labels=labels), values)


def _family(of: GaugeMetricFamily | CounterMetricFamily, values: _Values) -> Metric:
    for labels, n in values.items():
        of.add_metric([labels] if isinstance(labels, str) else labels, n)
    return of
