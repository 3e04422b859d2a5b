"""Who wants which events, and one event on its way to a handler."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

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


Handler = Callable[[Delivery], Awaitable[None]]
"""Returns: the event is settled. Raises `Rejected`: parked. `Transient`, or a dependency away: repeated, then
parked. Anything else is a bug: parked with the traceback."""
