"""The spans of an event: created by the work that publishes it, sent to the bus, processed by each consumer.

All are in one trace: `send` and `process` are children of `create`, whose position the event carries.
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from kit.bus.event import Event
from kit.tracing import Attributes, SpanKind, TraceContext, Tracing, current_tracing, record_span, use_trace


def record_sent(
    events: Sequence[Event], failures: Sequence[Exception | None], system: str, started: float
) -> None:
    """Record the events without a failure as sent between `started` (`time.perf_counter`) and now."""
    if not current_tracing().is_on:
        return
    duration_s = time.perf_counter() - started
    for event, failure in zip(events, failures, strict=True):
        if failure is None and event.traceparent is not None:
            record_span(
                f"send {event.type}",
                duration_s,
                parent=event.traceparent,
                kind=SpanKind.PRODUCER,
                attributes={"messaging.system": system, **_attributes(event, "send")},
            )


def processing(
    event: Event, queue: str, tracing: Tracing | None = None
) -> AbstractContextManager[TraceContext]:
    """Work in the event's trace, as the consumer that owns the queue."""
    return use_trace(
        event.traceparent,
        event.correlation_id,
        name=f"process {queue}",
        kind=SpanKind.CONSUMER,
        attributes={"messaging.destination.subscription.name": queue, **_attributes(event, "process")},
        tracing=tracing,
    )


def _attributes(event: Event, operation: str) -> Attributes:
    return {
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": event.type,
        "messaging.message.id": str(event.message_id),
        "messaging.message.conversation_id": event.correlation_id,
    }
