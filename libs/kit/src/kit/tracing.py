"""One trace id from the camera's POST to the ticket, in the shape of W3C Trace Context (level 1).

https://www.w3.org/TR/trace-context/#traceparent-header
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"\A([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z", re.ASCII)
_HEX_TRACE_ID = re.compile(r"\A[0-9a-f]{32}\Z", re.ASCII)
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where we stand in a trace: `trace_id` is 32 and `span_id` 16 lower-case hex digits."""

    trace_id: str
    span_id: str
    is_sampled: bool = True

    @property
    def traceparent(self) -> str:
        """The header that carries this on to the next service."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"

    def next_span(self) -> "TraceContext":
        """The same trace, one hop further."""
        return TraceContext(self.trace_id, secrets.token_hex(8), self.is_sampled)


_trace: ContextVar[TraceContext | None] = ContextVar("lookout_trace", default=None)
_correlation_id: ContextVar[str | None] = ContextVar("lookout_correlation_id", default=None)


def new_trace() -> TraceContext:
    """The beginning of a trace."""
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8))


def parse_traceparent(header: str | None) -> TraceContext | None:
    """What a `traceparent` header says, or None where it is absent or breaks the grammar.

    A version other than 00 may carry more fields, which are ignored; version ff is invalid.
    """
    match = _TRACEPARENT.match(header.strip()) if header else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or trace_id == _NO_TRACE or span_id == _NO_SPAN or (version == "00" and more):
        return None
    return TraceContext(trace_id, span_id, is_sampled=bool(int(flags, 16) & 1))


def trace_from_request_id(request_id: str | None) -> TraceContext | None:
    """A trace that carries on a caller's `X-Request-Id` when that is a UUID or 32 hex digits, else None."""
    plain = request_id.strip().replace("-", "").lower() if request_id else ""
    if not _HEX_TRACE_ID.match(plain) or plain == _NO_TRACE:
        return None
    return TraceContext(plain, secrets.token_hex(8))


def current_trace() -> TraceContext | None:
    """The trace that the running task belongs to."""
    return _trace.get()


def current_correlation_id() -> str | None:
    """The camera event that the running task works for, kept from the first service to the last."""
    return _correlation_id.get()


@contextmanager
def use_trace(
    traceparent: str | TraceContext | None = None, correlation_id: str | None = None
) -> Iterator[TraceContext]:
    """Work inside a trace: the next span of the given one, or a new trace where none (or nonsense) is given.

    The correlation id stays that of the surrounding block when none is given.
    """
    parent = traceparent if isinstance(traceparent, TraceContext) else parse_traceparent(traceparent)
    context = parent.next_span() if parent is not None else new_trace()
    trace_token = _trace.set(context)
    correlation_token = _correlation_id.set(correlation_id or _correlation_id.get())
    try:
        yield context
    finally:
        _correlation_id.reset(correlation_token)
        _trace.reset(trace_token)


def set_correlation_id(correlation_id: str) -> None:
    """Name the camera event once its id is known; holds until the surrounding `use_trace` ends."""
    _correlation_id.set(correlation_id)
