# SPDX-License-Identifier: Apache-2.0
"""Where time goes, as spans of traces: of requests, transactions, calls to KMSes, publications and reports.

What a span says is as that of metrics: routes, never paths; kinds of errors, never their texts; numbers; and nothing from outside
but the id of a request. Without a collector there are none, and nothing is loaded for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol
from urllib.parse import urlsplit

from e4c2.telemetry.watches import Watch, unwatched
from e4core.errors import InvalidInput, PluginError


class Span(Protocol):
    """Something that takes time."""

    def tell(self, attributes: Mapping[str, str | int], /) -> None:
        """Args: attributes: by their names in OpenTelemetry."""

    def answered(self, route: str, status: int, /) -> None:
        """Of a request. Args: status: 0: not answered."""

    def end(self) -> None:
        """Sooner than what it is around; what is done inside from now on is no part of it."""


class Tracer(Protocol):
    """Makes spans, each inside of the one around it."""

    def request(self, method: str, traceparent: str | None, request_id: str, /) -> AbstractContextManager[Span]:
        """Around a request. Args: traceparent: of who sent it (W3C Trace Context)."""

    def work(self, name: str, /) -> AbstractContextManager[Span]:
        """Around what the C2 does by itself."""

    def watch(self, name: str, is_part: bool, /) -> Watch:
        """Around each use of something. Args: is_part: a use that no span is around has none."""


class _Nothing:
    def tell(self, _attributes: Mapping[str, str | int]) -> None: ...
    def answered(self, _route: str, _status: int) -> None: ...
    def end(self) -> None: ...


class _Untraced:
    def request(self, _method: str, _traceparent: str | None, _request_id: str) -> AbstractContextManager[Span]:
        return nullcontext(_NOTHING)

    def work(self, _name: str) -> AbstractContextManager[Span]:
        return nullcontext(_NOTHING)

    def watch(self, _name: str, _is_part: bool) -> Watch:
        return unwatched


_NOTHING: Span = _Nothing()
UNTRACED: Tracer = _Untraced()


def check_collector(url: str) -> None:
    """Raises: InvalidInput (``bad_url``)."""
    try:
        parts = urlsplit(url)
        fits = bool(parts.hostname) and parts.port != 0 and parts.scheme in ("http", "https")
    except ValueError:
        fits = False
    if not (fits and url.isascii() and url.isprintable()):
        raise InvalidInput("a collector is named as http://127.0.0.1:4318/v1/traces", kind="bad_url")
    if parts.username is not None or parts.query:
        raise InvalidInput(
            "the URL of a collector holds no secret; what lets in goes into OTEL_EXPORTER_OTLP_HEADERS", kind="bad_url"
        )


@contextmanager
def traced(to: str | None, release: str) -> Iterator[Tracer]:
    """A tracer whose spans are sent to a collector; at the end those that are not yet, within a few seconds.

    Args: to: URL of the collector; None: there is none.
    Raises: PluginError: the extra is not installed.
    """
    if to is None:
        yield UNTRACED
        return
    try:
        from e4c2.telemetry.otel import Otel
    except ModuleNotFoundError as error:
        raise PluginError("traces_to needs the extra otel: pip install 'e4core[otel]'") from error
    tracer = Otel(to, release)
    try:
        yield tracer
    finally:
        tracer.close()
