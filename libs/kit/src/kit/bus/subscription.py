"""Who wants which events, and one event on its way to a handler."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from kit.bus.event import Event
from kit.bus.failure import RetryPolicy

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A service's standing wish for the events whose routing key matches `binding`.

    It is durable: from the first declaration on, events wait in its queue while nobody is attached. An
    `ordered` one handles the events of one partition key in turn. `retry` overrides the settings'.
    """

    service: str
    event: str
    binding: str
    version: int = 1
    ordered: bool = True
    retry: RetryPolicy | None = None

    def __post_init__(self) -> None:
        for name in (self.service, self.event):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot stand in a queue name: use a-z, 0-9, _ and -")

    @property
    def queue(self) -> str:
        """The queue's name, `<service>.<event>.v<version>`."""
        return f"{self.service}.{self.event}.v{self.version}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event handed to a handler. `attempt` counts from 1, over failures and lost consumers alike."""

    event: Event
    queue: str
    attempt: int = 1
    redelivered: bool = False


@runtime_checkable
class ManyHandler(Protocol):
    """A handler that can also take several deliveries at once, all or none: `kit.inbox.Once` is one.

    `many` is given those that wait, of one key in order. When it raises, each of them is handled alone.
    """

    async def __call__(self, delivery: Delivery) -> None:
        """Handle one."""
        ...

    async def many(self, deliveries: Sequence[Delivery]) -> None:
        """Handle all of them, or raise and have handled none."""
        ...


Handler = Callable[[Delivery], Awaitable[None]]
"""Returns: the event is settled. Raises `Rejected`: parked. `Transient`, or a dependency away: repeated, then
parked. Anything else is a bug: parked with the traceback."""
