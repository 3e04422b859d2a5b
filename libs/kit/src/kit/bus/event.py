"""An event as the bus carries it: an envelope around a serialized protobuf message."""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError, Message

from kit.bus.event_type import event_type
from kit.bus.failure import Rejected
from kit.ids import derived_id, uuid7
from kit.tracing import SpanKind, current_trace, span

if TYPE_CHECKING:
    from kit.bus.consumer import Metadata

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Event:
    """An envelope and the serialized protobuf message in it. `type` is the message's full name.

    Events with the same `partition_key` reach an ordered subscription in the order in which they were published.
    `must_route`: publishing fails with `Unroutable` while no queue is bound for the event.
    """

    message_id: UUID
    type: str
    routing_key: str
    partition_key: str
    body: bytes
    occurred_at: datetime
    app_id: str
    correlation_id: str
    traceparent: str | None = None
    must_route: bool = True

    @classmethod
    def of(
        cls,
        message: Message,
        *,
        scope: Sequence[str],
        partition_key: str,
        app_id: str,
        occurred_at: datetime,
        correlation_id: str,
        message_id: UUID | None = None,
    ) -> Self:
        """Wrap `message`, in the trace of the running task. `message_id` is a new one unless given.

        `scope` are the words of the routing key behind the event's name and version; see `EventType`.

        Raises:
            ValueError: the message declares no event, the scope has not the words that it declares, or
                `occurred_at` has no time zone.
        """
        if occurred_at.tzinfo is None:
            raise ValueError("occurred_at has no time zone")
        declared = event_type(message.__class__)
        with span(f"create {message.DESCRIPTOR.full_name}", SpanKind.PRODUCER):
            trace = current_trace()
        return cls(
            message_id=message_id or uuid7(),
            type=message.DESCRIPTOR.full_name,
            routing_key=declared.routing_key(scope),
            partition_key=partition_key,
            body=message.SerializeToString(),
            occurred_at=occurred_at.astimezone(UTC),
            app_id=app_id,
            correlation_id=correlation_id,
            traceparent=trace.traceparent if trace is not None else None,
            must_route=declared.is_subscriber_required,
        )

    def parse(self, cls: builtins.type[M]) -> M:
        """The message in the body.

        Raises:
            Rejected: the event is of another type, or its body is not valid protobuf.
        """
        wanted = cls.DESCRIPTOR.full_name
        if self.type != wanted:
            raise Rejected(f"expected {wanted}, got {self.type or 'an event without a type'}")
        try:
            return cls.FromString(self.body)
        except DecodeError as error:
            raise Rejected(f"the body is not a valid {wanted}: {error}") from error


class EventSource:
    """A service as a source of events: its name, and all that it publishes.

    Raises:
        ValueError: a message class declares no event.
    """

    def __init__(self, app_id: str, *published: builtins.type[Message]) -> None:
        self.app_id = app_id
        self.event_types = tuple(event_type(cls) for cls in published)
        self._published = frozenset(published)

    def event(
        self,
        message: Message,
        *,
        scope: Sequence[str],
        partition_key: str,
        occurred_at: datetime,
        correlation_id: str,
        message_id: UUID | None = None,
    ) -> Event:
        """See `Event.of`.

        Raises:
            ValueError: also when this source does not declare that it publishes such messages.
        """
        if message.__class__ not in self._published:
            raise ValueError(
                f"{self.app_id} does not declare that it publishes {message.DESCRIPTOR.full_name}"
            )
        return Event.of(
            message,
            scope=scope,
            partition_key=partition_key,
            app_id=self.app_id,
            occurred_at=occurred_at,
            correlation_id=correlation_id,
            message_id=message_id,
        )

    def event_after(self, cause: "Metadata", message: Message, *, scope: Sequence[str]) -> Event:
        """The event that follows from handling the message with the metadata `cause`.

        It has the partition key, time and correlation id of the cause, and an id derived from the cause's: handling the
        cause again gives the same event. One handler publishes at most one event of each type this way.

        Raises:
            ValueError: as `event`.
        """
        return self.event(
            message,
            scope=scope,
            partition_key=cause.partition_key,
            occurred_at=cause.occurred_at,
            correlation_id=cause.correlation_id,
            message_id=derived_id(cause.message_id, message.DESCRIPTOR.full_name),
        )


def matches(binding: str, key: str) -> bool:
    """Whether a topic binding takes a routing key: `*` is one word, `#` any number (AMQP 0-9-1, 3.1.3.3)."""
    return _matches(binding.split("."), key.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    # Row by row over the pattern: reached[i] says whether it can have consumed words[:i]. Linear in
    # pattern times words, where trying every split of several `#` would be exponential.
    reached = [True] + [False] * len(words)
    for token in pattern:
        if token == "#":  # noqa: S105 - a wildcard, no password
            first = reached.index(True) if True in reached else len(reached)
            reached = [i >= first for i in range(len(words) + 1)]
        else:
            reached = [False] + [reached[i] and (token in ("*", word)) for i, word in enumerate(words)]
    return reached[-1]
