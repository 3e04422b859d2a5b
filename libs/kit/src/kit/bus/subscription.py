"""Which events a service subscribes to, and an event that is delivered to a handler."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from kit.bus.event import Event
from kit.bus.event_type import EventType
from kit.bus.failure import RetryPolicy

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A service's durable queue for the events whose routing key matches `binding`.

    From the first declaration on, events wait in the queue while no consumer is attached. An ordered one handles
    the events of one partition key one after the other. `retry` overrides the settings.
    """

    service: str
    event: str
    binding: str
    version: int = 1
    is_ordered: bool = True
    retry: RetryPolicy | None = None

    def __post_init__(self) -> None:
        for name in (self.service, self.event):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot be part of a queue name: use a-z, 0-9, _ and -")

    @classmethod
    def to(
        cls,
        event_type: EventType[Any],
        service: str,
        *,
        is_ordered: bool = True,
        retry: RetryPolicy | None = None,
    ) -> Self:
        """The subscription of a service to one event type, whatever the scope in its routing keys."""
        return cls(
            service,
            event_type.event,
            event_type.binding,
            event_type.version,
            is_ordered=is_ordered,
            retry=retry,
        )

    @property
    def queue(self) -> str:
        """The queue's name, `<service>.<event>.v<version>`."""
        return f"{self.service}.{self.event}.v{self.version}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that is delivered to a handler. `attempt` counts from 1, failures and lost consumers included."""

    event: Event
    queue: str
    attempt: int = 1
    redelivered: bool = False


@runtime_checkable
class BatchHandler(Protocol):
    """A handler that can also take several deliveries at once, all or none: that of
    `kit.inbox.TransactionalConsumer` is one.

    `many` is given those that wait, of one key in order. When it raises, each of them is handled alone.
    """

    async def __call__(self, delivery: Delivery) -> None:
        """Handle one."""
        ...

    async def handle_batch(self, deliveries: Sequence[Delivery]) -> None:
        """Handle all of them, or raise and have handled none."""
        ...


@runtime_checkable
class GivingUpHandler(Protocol):
    """A handler that is told when a message becomes a dead letter because the process crashed while handling it.

    A handler that fails can clean up after itself, but not one whose process crashed: `give_up` is called instead of
    it, before the message becomes a dead letter. It may raise what a handler may; it is then retried as such.
    """

    async def __call__(self, delivery: Delivery) -> None:
        """Handle one."""
        ...

    async def give_up(self, delivery: Delivery, reason: str) -> None:
        """Do what must happen for a message that is not handled, such as telling others so."""
        ...


Handler = Callable[[Delivery], Awaitable[None]]
"""Returns: the event is acknowledged. Raises `Rejected`: a dead letter. `Transient`, or an outage of a dependency:
retried, then a dead letter. Any other exception is a bug: a dead letter with the traceback."""
