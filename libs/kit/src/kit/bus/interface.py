"""What both back ends of the bus provide."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kit.bus.event import Event
from kit.bus.subscription import Handler, Subscription
from kit.health import CheckResult


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be handled and waits for a person. `dead_letter_id` is its message id."""

    dead_letter_id: str
    queue: str
    event: Event
    reason: str
    traceback: str
    attempts: int
    dead_lettered_at: datetime


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A subscription that the bus knows, with the numbers of messages that wait and of dead letters."""

    queue: str
    binding: str
    is_ordered: bool
    depth: int
    dead_letters: int


class Bus(Protocol):
    """At least once, in order per partition key if the subscription is ordered; nothing is lost or dropped."""

    async def start(self) -> None:
        """Begin to connect. If the broker is not reachable, `ready` reports it and connecting is repeated."""
        ...

    async def stop(self) -> None:
        """Stop taking messages, let handlers finish within `shutdown_grace_s`, acknowledge what they did, and close."""
        ...

    async def publish(self, event: Event) -> None:
        """Publish and wait for the confirmation.

        Raises:
            Unroutable: no queue is bound for it, and `must_route` is set.
            kit.errors.Unavailable: not confirmed in `publish_timeout_s`. It may have arrived all the same.
        """
        ...

    async def publish_many(self, events: Sequence[Event]) -> list[Exception | None]:
        """As `publish`, many at once: None for each that is confirmed, else why not.

        The order per partition key is kept: after a failure the later events of that key are not sent, and have
        the result `HeldBack`.
        """
        ...

    async def declare(self, subscription: Subscription) -> None:
        """Declare the subscription's queues, so that its events wait from now on. Waits for the broker.

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
        """Messages waiting in a subscription's queue or its dead-letter queue; unacknowledged ones are not counted.

        Raises:
            kit.errors.NotFound: there is no such queue.
            kit.errors.Unavailable: the broker cannot be reached.
        """
        ...

    async def queues(self) -> list[QueueInfo]:
        """Every subscription ever declared, by name."""
        ...

    async def dead_letters(self, queue: str, limit: int | None = None) -> list[DeadLetter]:
        """The dead letters of a queue, oldest first. They stay there.

        Raises:
            kit.errors.NotFound: there is no such queue.
            kit.errors.Unavailable: the broker cannot be reached.
        """
        ...

    async def replay(self, queue: str, ids: Iterable[str] | None = None) -> int:
        """Deliver dead letters (None: all) to the handler of their queue again; returns how many.

        A crash on the way repeats a message rather than losing it.
        """
        ...

    async def discard(self, queue: str, ids: Iterable[str] | None = None) -> int:
        """Delete dead letters (None: all); returns how many."""
        ...


def dead_letter_queue(queue: str) -> str:
    """The name of the queue with the dead letters of `queue`.

    The suffix stays what it was in earlier versions: a queue's dead-letter routing key cannot be changed once it is
    declared, so queues that exist would go on sending their dead letters to the old name.
    """
    return f"{queue}.parked"
