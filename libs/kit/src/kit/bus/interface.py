"""What every bus can do, whichever back end carries it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kit.bus.event import Event
from kit.bus.subscription import Handler, Subscription
from kit.health import CheckResult


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """An event that was set aside for a person. `parked_id` is its message id."""

    parked_id: str
    queue: str
    event: Event
    reason: str
    traceback: str
    attempts: int
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A subscription that the bus knows, with the messages ready in its queue(s) and those parked."""

    queue: str
    binding: str
    is_ordered: bool
    depth: int
    parked: int


class Bus(Protocol):
    """At least once, in order per partition key where asked for, nothing lost, nothing dropped in silence."""

    async def start(self) -> None:
        """Begin to connect. Never fails because the broker is away: `ready` tells, and it is tried again."""
        ...

    async def stop(self) -> None:
        """Take no more, let handlers finish within the grace, settle what they did, and close."""
        ...

    async def publish(self, event: Event) -> None:
        """Publish and wait until it is safe.

        Raises:
            Unroutable: no queue wants it, and `must_route` is set.
            kit.errors.Unavailable: not confirmed in `publish_timeout_s`. It may have arrived all the same.
        """
        ...

    async def publish_many(self, events: Sequence[Event]) -> list[Exception | None]:
        """As `publish`, many at once: None for each that is safe, else why not.

        The order per partition key holds even here: after a failure the later events of that key are not
        sent, and come back with `HeldBack`.
        """
        ...

    async def declare(self, subscription: Subscription) -> None:
        """Make the subscription known, so that its events wait from now on. Waits for the broker.

        Raises:
            kit.errors.Unavailable: the broker did not answer within `publish_timeout_s`.
        """
        ...

    async def consume(self, subscription: Subscription, handler: Handler) -> None:
        """Attach `handler` until `stop`, through every reconnect. Returns at once, also before `start`."""
        ...

    async def ready(self) -> CheckResult:
        """Whether the bus can publish and every consumer is attached."""
        ...

    async def depth(self, queue: str) -> int:
        """Messages waiting in a subscription's queue or in `<queue>.parked`; those in hand are not counted.

        Raises:
            kit.errors.NotFound: the bus knows no such queue.
            kit.errors.Unavailable: the broker is away.
        """
        ...

    async def queues(self) -> list[QueueInfo]:
        """Every subscription ever declared, by name."""
        ...

    async def parked(self, queue: str, limit: int | None = None) -> list[ParkedMessage]:
        """What is parked for a queue, oldest first. They stay where they are.

        Raises:
            kit.errors.NotFound: the bus knows no such queue.
            kit.errors.Unavailable: the broker is away.
        """
        ...

    async def replay(self, queue: str, ids: Iterable[str] | None = None) -> int:
        """Give parked messages (None: all) to their queue's handler again; returns how many.

        A crash on the way repeats a message rather than losing it.
        """
        ...

    async def discard(self, queue: str, ids: Iterable[str] | None = None) -> int:
        """Delete parked messages (None: all) for good; returns how many."""
        ...


def parked_queue(queue: str) -> str:
    """Where the messages of `queue` are parked."""
    return f"{queue}.parked"
