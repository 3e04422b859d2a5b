"""What a service consumes: an event type, and the handler of its messages."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Self, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from kit.bus.event_type import event_type
from kit.bus.failure import RetryPolicy
from kit.bus.subscription import Delivery, Handler, Subscription

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The envelope of a message. `attempt` counts the deliveries to this handler from 1."""

    message_id: UUID
    partition_key: str
    occurred_at: datetime
    app_id: str
    correlation_id: str
    attempt: int

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """The envelope of a delivery."""
        event = delivery.event
        return cls(
            event.message_id,
            event.partition_key,
            event.occurred_at,
            event.app_id,
            event.correlation_id,
            delivery.attempt,
        )


class EventConsumer(ABC, Generic[M]):
    """One event type that a service consumes, with a queue of its own.

    Parsing, retries, dead letters, metrics and the trace are done around the service's handler; see `Handler` for
    what its exceptions mean. A message that cannot be parsed is rejected.

    Raises:
        ValueError: `message_class` declares no event.
    """

    def __init__(
        self, message_class: type[M], *, is_ordered: bool = True, retry: RetryPolicy | None = None
    ) -> None:
        self.event_type = event_type(message_class)
        self._is_ordered = is_ordered
        self._retry = retry

    def subscription(self, service: str) -> Subscription:
        """The queue of this consumer in a service: `<service>.<event>.v<version>`."""
        return Subscription.to(self.event_type, service, is_ordered=self._is_ordered, retry=self._retry)

    def message_of(self, delivery: Delivery) -> M:
        """The delivered message.

        Raises:
            Rejected: the body is not a valid message of this type.
        """
        message: M = delivery.event.parse(self.event_type.message_class)
        return message

    @abstractmethod
    def handler(self, service: str) -> Handler:
        """What the bus calls for each delivery."""


class Consumer(EventConsumer[M]):
    """Calls `handle` with message and metadata; again when a message is delivered again.

    `give_up` is called with message, metadata and the reason instead of `handle` when the process crashed
    `BusSettings.max_crashes` times while it handled the message, before that becomes a dead letter.

    For effects that must happen once there is `kit.inbox.TransactionalConsumer`.
    """

    def __init__(
        self,
        message_class: type[M],
        handle: Callable[[M, Metadata], Awaitable[None]],
        *,
        is_ordered: bool = True,
        retry: RetryPolicy | None = None,
        give_up: Callable[[M, Metadata, str], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(message_class, is_ordered=is_ordered, retry=retry)
        self._handle = handle
        self._give_up = give_up

    def handler(self, service: str) -> Handler:
        """What the bus calls for each delivery."""

        async def handle(delivery: Delivery) -> None:
            await self._handle(self.message_of(delivery), Metadata.of(delivery))

        return handle if self._give_up is None else _GivingUp(self, handle, self._give_up)


class _GivingUp(Generic[M]):
    """The handler of a `Consumer` with `give_up`."""

    def __init__(
        self,
        consumer: Consumer[M],
        handle: Handler,
        give_up: Callable[[M, Metadata, str], Awaitable[None]],
    ) -> None:
        self._consumer = consumer
        self._handle = handle
        self._give_up = give_up

    async def __call__(self, delivery: Delivery) -> None:
        """Handle one."""
        await self._handle(delivery)

    async def give_up(self, delivery: Delivery, reason: str) -> None:
        """See `GivingUpHandler`."""
        await self._give_up(self._consumer.message_of(delivery), Metadata.of(delivery), reason)
