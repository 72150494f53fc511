# SPDX-License-Identifier: Apache-2.0
"""Spans by OpenTelemetry, sent to a collector by OTLP over HTTP. What is not said here, the variables ``OTEL_*`` say."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from e4c2.telemetry.watches import Watch, outcome

SERVICE = "e4-c2"
CLOSE_S = 3.0
"""How long the collector has to take what is left when the C2 is stopped."""
_TRACEPARENT = TraceContextTextMapPropagator()
_SERVER_ERROR = 500


class Otel:
    """Of one C2 (`e4c2.telemetry.tracing.Tracer`)."""

    def __init__(self, to: str, release: str) -> None:
        """Args: to: URL at which a collector takes traces."""
        name = {} if os.environ.get(OTEL_SERVICE_NAME) else {SERVICE_NAME: SERVICE}
        resource = Resource.create({**name, SERVICE_VERSION: release})
        self._exporter = _Exporter(to)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("e4c2", release)

    @contextmanager
    def request(self, method: str, traceparent: str | None, request_id: str) -> Iterator[_Span]:
        # of what the sender says, that which has a form and no text
        around = _TRACEPARENT.extract({"traceparent": traceparent} if traceparent else {}, Context())
        told = {"http.request.method": method, "e4.request_id": request_id}
        with self._span(method, SpanKind.SERVER, told, around) as span:
            yield span

    @contextmanager
    def work(self, name: str) -> Iterator[_Span]:
        with self._span(name, SpanKind.INTERNAL, {}) as span:
            yield span

    def watch(self, name: str, is_part: bool) -> Watch:
        @contextmanager
        def watch(operation: str) -> Iterator[None]:
            if is_part and not trace.get_current_span().is_recording():
                yield
            else:
                with self._span(f"{name} {operation}", SpanKind.CLIENT, {}):
                    yield

        return watch

    def close(self) -> None:
        """Send what is left. No thread of it is waited for longer than `CLOSE_S`."""
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)
        if closing.is_alive():
            self._exporter.stop()

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind, told: Mapping[str, str], around: Context | None = None
    ) -> Iterator[_Span]:
        span = self._tracer.start_span(name, around, kind, dict(told))
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield _Span(span, name)
        except BaseException as error:
            ended = outcome(error)
            span.set_attribute("e4.outcome", ended)
            if ended != "refused":
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            if span.is_recording():
                span.end()


class _Span:
    def __init__(self, span: trace.Span, name: str) -> None:
        self._span = span
        self._name = name

    def tell(self, attributes: Mapping[str, str | int]) -> None:
        self._span.set_attributes(dict(attributes))

    def answered(self, route: str, status: int) -> None:
        if not self._span.is_recording():
            return
        self._span.update_name(f"{self._name} {route}")
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= _SERVER_ERROR:
            self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()


class _Exporter(trace_exporter.OTLPSpanExporter):
    """A collector that is away is told once in the log, until it takes something again."""

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self._is_away = False
        logging.getLogger(trace_exporter.__name__).filters[:] = [self._is_news]

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self._is_away = result is not SpanExportResult.SUCCESS
        return result

    def stop(self) -> None:
        """End the tries that are under way."""
        self.shutdown()  # type: ignore[no-untyped-call]

    def _is_news(self, record: logging.LogRecord) -> bool:
        """What is logged of each try is none."""
        return record.levelno >= logging.ERROR and not self._is_away
