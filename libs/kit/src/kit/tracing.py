"""Traces: one trace id from the first call to the last effect, with OpenTelemetry spans where they are recorded.

Every call, event and background job runs in a trace (W3C Trace Context), so that logs and problem documents carry
a trace id. Spans are recorded only where the service's `Tracing` exports them; otherwise `span` does nothing.

https://www.w3.org/TR/trace-context/#traceparent-header
"""

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kit.settings.blocks import TracingSettings

if TYPE_CHECKING:
    from kit.logging import Logger  # it imports this module, for the trace id of its lines

__all__ = [
    "NO_TRACING",
    "Attributes",
    "SpanKind",
    "TraceContext",
    "Tracing",
    "current_correlation_id",
    "current_span",
    "current_trace",
    "current_tracing",
    "mark_failed",
    "open_tracing",
    "parse_traceparent",
    "record_span",
    "set_correlation_id",
    "span",
    "trace_from_request_id",
    "use_trace",
]

Attributes = Mapping[str, str | int | float | bool]

# A longer one is invalid. OpenTelemetry would log a warning for it, which any caller could repeat at will.
MAX_TRACEPARENT_CHARS = 512

_HEX_TRACE_ID = re.compile(r"\A[0-9a-f]{32}\Z", re.ASCII)
_PROPAGATOR = TraceContextTextMapPropagator()
_EMPTY = otel_context.Context()
_NO_SPAN = nullcontext(INVALID_SPAN)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A position in a trace: the trace and the span that further work belongs to."""

    span_context: SpanContext

    @property
    def trace_id(self) -> str:
        """32 lower-case hexadecimal digits."""
        return format_trace_id(self.span_context.trace_id)

    @property
    def span_id(self) -> str:
        """16 lower-case hexadecimal digits."""
        return format_span_id(self.span_context.span_id)

    @property
    def is_sampled(self) -> bool:
        """Whether the caller records this trace."""
        return self.span_context.trace_flags.sampled

    @property
    def traceparent(self) -> str:
        """The header that carries this position to the next service."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"


class Tracing:
    """What one service instance records of its traces: nothing without a `tracer`.

    `open_tracing` makes one from the settings. `close` is called in a thread by `stop`.
    """

    def __init__(self, tracer: Tracer | None = None, close: Callable[[], None] | None = None) -> None:
        self._tracer = tracer
        self._close = close

    @property
    def is_on(self) -> bool:
        """Whether spans are recorded."""
        return self._tracer is not None

    def start_span(
        self,
        name: str,
        kind: SpanKind,
        parent: SpanContext | None,
        attributes: Attributes | None = None,
        start_time_ns: int | None = None,
    ) -> Span:
        """A span that the caller ends. `parent` None begins a trace."""
        if self._tracer is None:
            return NonRecordingSpan(_child_of(parent))
        context = set_span_in_context(NonRecordingSpan(parent), _EMPTY) if parent is not None else _EMPTY
        return self._tracer.start_span(
            name,
            context,
            kind,
            attributes,
            start_time=start_time_ns,
            record_exception=False,  # its text may hold what a trace must not show
            set_status_on_exception=False,
        )

    async def stop(self) -> None:
        """Export what is left, and end."""
        if self._close is not None:
            await asyncio.to_thread(self._close)


NO_TRACING = Tracing()
"""Records nothing."""


def open_tracing(service: str, version: str, settings: TracingSettings, logger: "Logger") -> Tracing:
    """The tracing of one service instance, which its owner stops."""
    if not settings.otlp_endpoint:
        return NO_TRACING
    from kit.tracing_export import open_exporting  # noqa: PLC0415 - memory and start time only where it is on

    return open_exporting(service, version, settings, logger)


_tracing: ContextVar[Tracing] = ContextVar("kit_tracing", default=NO_TRACING)
_correlation_id: ContextVar[str | None] = ContextVar("kit_correlation_id", default=None)


def parse_traceparent(header: str | None) -> TraceContext | None:
    """The content of a `traceparent` header, or None if it is absent or malformed."""
    text = header.strip() if header else ""
    if not text or len(text) > MAX_TRACEPARENT_CHARS:
        return None
    found = get_current_span(_PROPAGATOR.extract({"traceparent": text}, _EMPTY)).get_span_context()
    return TraceContext(found) if found.is_valid else None


def trace_from_request_id(request_id: str | None) -> TraceContext | None:
    """A trace that continues a caller's `X-Request-Id` when that is a UUID or 32 hex digits, else None."""
    digits = request_id.strip().replace("-", "").lower() if request_id else ""
    if not _HEX_TRACE_ID.match(digits) or not int(digits, 16):
        return None
    return TraceContext(SpanContext(int(digits, 16), _new_id(64), is_remote=True))


def current_trace() -> TraceContext | None:
    """The position in a trace of the running task; None outside of any."""
    span_context = get_current_span().get_span_context()
    return TraceContext(span_context) if span_context.is_valid else None


def current_span() -> Span:
    """The span of the running task, to set attributes on; one that ignores them where nothing is recorded."""
    return get_current_span()


def current_tracing() -> Tracing:
    """The tracing of the service instance that the running task works for."""
    return _tracing.get()


def current_correlation_id() -> str | None:
    """The id of what started the work, kept from the first service to the last."""
    return _correlation_id.get()


def set_correlation_id(correlation_id: str) -> None:
    """Set the id of what started the work once it is known; holds until the surrounding `use_trace` ends."""
    _correlation_id.set(correlation_id)


@contextmanager
def use_trace(
    parent: str | TraceContext | None = None,
    correlation_id: str | None = None,
    *,
    name: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    tracing: Tracing | None = None,
) -> Iterator[TraceContext]:
    """Work inside the trace of `parent` (a traceparent or a position), or a new one if that is absent or invalid.

    With a `name` the block is recorded as a span. `tracing` is the service instance's and holds for all inside;
    default: that of the surrounding block. So does the correlation id.
    """
    position = parent if isinstance(parent, TraceContext) else parse_traceparent(parent)
    span_context = position.span_context if position is not None else None
    active = tracing or _tracing.get()
    recorder = active if name is not None else NO_TRACING
    tracing_token = _tracing.set(active)
    correlation_token = _correlation_id.set(correlation_id or _correlation_id.get())
    opened = recorder.start_span(name or "", kind, span_context, attributes)
    try:
        with _as_current(opened):
            yield TraceContext(opened.get_span_context())
    finally:
        _correlation_id.reset(correlation_token)
        _tracing.reset(tracing_token)


def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
) -> AbstractContextManager[Span]:
    """A step of the running work as a child span, for a `with` block.

    Does nothing where the running work is not recorded. A name is one of few (no ids in it), and an attribute
    carries no secret and nothing about a person.
    """
    current = get_current_span()
    if not current.is_recording():
        return _NO_SPAN
    return _as_current(_tracing.get().start_span(name, kind, current.get_span_context(), attributes))


def record_span(
    name: str,
    duration_s: float,
    *,
    ended_ago_s: float = 0.0,
    parent: str | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
) -> None:
    """Record a step that has ended already, `ended_ago_s` ago: a child of `parent`, or of the running work."""
    position = parse_traceparent(parent) if parent is not None else None
    if position is None and not get_current_span().is_recording():
        return
    span_context = position.span_context if position is not None else get_current_span().get_span_context()
    end_ns = time.time_ns() - round(ended_ago_s * 1e9)
    begin_ns = end_ns - round(duration_s * 1e9)
    _tracing.get().start_span(name, kind, span_context, attributes, begin_ns).end(end_ns)


def mark_failed(failed: Span, error: BaseException) -> None:
    """Note the error's type. Not its text, which may hold what a trace must not show."""
    failed.set_attribute("error.type", type(error).__qualname__)
    if not isinstance(error, asyncio.CancelledError):
        failed.set_status(StatusCode.ERROR)


@contextmanager
def _as_current(opened: Span) -> Iterator[Span]:
    token = otel_context.attach(set_span_in_context(opened))
    try:
        yield opened
    except BaseException as error:
        if opened.is_recording():
            mark_failed(opened, error)
        raise
    finally:
        otel_context.detach(token)
        opened.end()


def _child_of(parent: SpanContext | None) -> SpanContext:
    if parent is None:
        return SpanContext(_new_id(128), _new_id(64), is_remote=False)
    return SpanContext(parent.trace_id, _new_id(64), is_remote=False, trace_flags=parent.trace_flags)


def _new_id(bits: int) -> int:
    return random.getrandbits(bits) or 1  # zero is invalid
