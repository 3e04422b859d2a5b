"""Events as AMQP 0-9-1 messages, and back."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from kit.bus.event import Event
from kit.bus.handling import DeadLetterCause
from kit.bus.interface import DeadLetter
from kit.bus.topology import PARTITION_HEADER, slot_key, slot_of

CONTENT_TYPE = "application/x-protobuf"
PERSISTENT = 2

# Headers of ours. `routing_key` is one of them because a retry or dead letter is published under another one. The
# names of a dead letter's headers are those of earlier versions, whose dead letters are still read.
ROUTING_KEY = "routing_key"
OCCURRED_AT = "occurred_at"
TRACEPARENT = "traceparent"
MUST_ROUTE = "must_route"
FAILURES = "failures"
FIRST_FAILED_AT = "first_failed_at"
DEAD_LETTER_REASON = "parked_reason"
DEAD_LETTER_TRACEBACK = "parked_traceback"
DEAD_LETTER_ATTEMPTS = "parked_attempts"
DEAD_LETTER_AT = "parked_at"

# Headers of the broker's.
DELIVERY_COUNT = "x-delivery-count"
DEATHS = "x-death"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What to publish where; see `basic.publish`."""

    exchange: str
    routing_key: str
    properties: Basic.Properties
    body: bytes
    is_mandatory: bool = True


def outgoing(event: Event, exchange: str, routing_key: str | None = None, **headers: Any) -> Outgoing:
    """An event for an exchange, by its own routing key and slot unless a key is given."""
    own: dict[str, Any] = {
        PARTITION_HEADER: event.partition_key,
        ROUTING_KEY: event.routing_key,
        OCCURRED_AT: event.occurred_at.isoformat(),
        **headers,
    }
    if routing_key is None:
        own["BCC"] = [slot_key(slot_of(event.partition_key))]
    if event.traceparent is not None:
        own[TRACEPARENT] = event.traceparent
    if not event.must_route:
        own[MUST_ROUTE] = False
    properties = Basic.Properties(
        content_type=CONTENT_TYPE,
        delivery_mode=PERSISTENT,
        message_id=str(event.message_id),
        message_type=event.type,
        timestamp=event.occurred_at,
        app_id=event.app_id,
        correlation_id=event.correlation_id,
        headers=own,
    )
    is_mandatory = event.must_route or routing_key is not None
    return Outgoing(exchange, routing_key or event.routing_key, properties, event.body, is_mandatory)


def dead_letter_outgoing(event: Event, queue: str, cause: DeadLetterCause, now: datetime) -> Outgoing:
    """An event as a dead letter, with the cause."""
    headers = {
        DEAD_LETTER_REASON: cause.reason,
        DEAD_LETTER_TRACEBACK: cause.traceback,
        DEAD_LETTER_ATTEMPTS: cause.attempts,
        DEAD_LETTER_AT: now.isoformat(),
    }
    return outgoing(event, "", queue, **headers)


def retry_outgoing(event: Event, queue: str, failures: int, first_failed_at: float) -> Outgoing:
    """An event for a delay queue. It contains the number of failures, which the broker does not keep."""
    return outgoing(event, "", queue, **{FAILURES: failures, FIRST_FAILED_AT: repr(first_failed_at)})


def event_of(message: DeliveredMessage) -> Event:
    """The event in a message. What a foreign publisher left out gets a default, so that it can become a dead letter."""
    properties, headers = message.header.properties, headers_of(message)
    return Event(
        message_id=_message_id(message),
        type=properties.message_type or "",
        routing_key=_text(headers, ROUTING_KEY) or message.routing_key or "",
        partition_key=_text(headers, PARTITION_HEADER),
        body=message.body,
        occurred_at=_instant(_text(headers, OCCURRED_AT)) or _aware(properties.timestamp) or _EPOCH,
        app_id=properties.app_id or "",
        correlation_id=properties.correlation_id or "",
        traceparent=_text(headers, TRACEPARENT) or None,
        must_route=headers.get(MUST_ROUTE) is not False,
    )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def headers_of(message: DeliveredMessage) -> Mapping[str, Any]:
    """The headers, none for a message without."""
    return message.header.properties.headers or {}


def redeliveries_of(message: DeliveredMessage) -> int:
    """How often a consumer lost it before. Quorum queues count; a connection that breaks counts as well."""
    count = headers_of(message).get(DELIVERY_COUNT)
    return count if isinstance(count, int) else 0


def failures_of(message: DeliveredMessage) -> tuple[int, float | None]:
    """How often its handler failed before, and when first, in seconds since the epoch."""
    headers = headers_of(message)
    failures = headers.get(FAILURES)
    if not isinstance(failures, int) or failures <= 0:
        return 0, None
    try:
        return failures, float(_text(headers, FIRST_FAILED_AT))
    except ValueError:
        return failures, None


def dead_letter_of(message: DeliveredMessage, queue: str) -> DeadLetter:
    """A message of a dead-letter queue, whether a consumer or the broker published it."""
    headers = headers_of(message)
    event = event_of(message)
    reason = _text(headers, DEAD_LETTER_REASON)
    if reason:
        attempts = headers.get(DEAD_LETTER_ATTEMPTS)
        dead_lettered_at = _instant(_text(headers, DEAD_LETTER_AT))
        count = attempts if isinstance(attempts, int) else 0
    else:
        death = _last_death(headers)
        count = redeliveries_of(message)
        why = str(death.get("reason", "dead-lettered by the broker")).replace("_", " ")
        reason = (
            f"{why}: taken from {death.get('queue', queue)} and never acknowledged; it may end its process"
        )
        dead_lettered_at = _aware(death.get("time"))
    return DeadLetter(
        dead_letter_id=str(event.message_id),
        queue=queue,
        event=event,
        reason=reason,
        traceback=_text(headers, DEAD_LETTER_TRACEBACK),
        attempts=count,
        dead_lettered_at=dead_lettered_at or _EPOCH,
    )


def _last_death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    deaths = headers.get(DEATHS)
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return deaths[0]
    return {}


def _message_id(message: DeliveredMessage) -> UUID:
    with suppress(ValueError):
        return UUID(message.header.properties.message_id or "")
    return uuid5(NAMESPACE_OID, f"{message.routing_key} {message.body.hex()}")


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else ""


def _instant(text: str) -> datetime | None:
    try:
        return _aware(datetime.fromisoformat(text))
    except ValueError:
        return None


def _aware(value: object) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
