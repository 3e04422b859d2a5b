"""Buses for tests: a backend that several buses share, events to send, and a handler that records."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kit.bus import Bus, Delivery, Event, Subscription, event_type, open_bus
from kit.clock import SystemClock
from kit.ids import uuid7
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.settings import BusSettings, LogSettings
from testkit.messages import ThingHappened

THING = Subscription.to(event_type(ThingHappened), "reader")
UNORDERED = Subscription.to(event_type(ThingHappened), "unordered", is_ordered=False)

SHORT_DELAYS: dict[str, Any] = {
    "ordered_retry_delays_s": (0.05, 0.1, 0.2),
    "retry_delays_s": (0.1, 0.3),
    "publish_timeout_s": 5.0,
    "reconnect_max_s": 0.5,
    "shutdown_grace_s": 5.0,
    "heartbeat_s": 5,
}


def make_event(number: int = 0, key: str = "camera:1", **overrides: Any) -> Event:
    """An event whose body is the number, in decimal."""
    values: dict[str, Any] = {
        "message_id": uuid7(),
        "type": ThingHappened.DESCRIPTOR.full_name,
        "routing_key": "things.thing_happened.v1.NAD.95",
        "partition_key": key,
        "body": str(number).encode(),
        "occurred_at": datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC),
        "app_id": "writer",
        "correlation_id": "c-1",
        "traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
    }
    return Event(**{**values, **overrides})


def number_of(event: Event) -> int:
    """The number in the body of an event from `make_event`."""
    return int(event.body)


class BusBackend:
    """What several buses share: one RabbitMQ vhost, or one SQLite file."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self._open: list[Bus] = []
        self.metrics: list[Metrics] = []

    def settings(self, **overrides: Any) -> BusSettings:
        """Settings with short delays, so that retries and reconnects cost a test little time."""
        return BusSettings(url=self.url, **{**SHORT_DELAYS, **overrides})

    def make(self, app_id: str = "test", **overrides: Any) -> Bus:
        """A bus that is not started; its metrics are appended to `metrics`."""
        metrics = Metrics("test")
        self.metrics.append(metrics)
        return open_bus(
            self.settings(**overrides),
            logger=make_logger("test", LogSettings(level="WARNING", format="console")),
            metrics=metrics,
            clock=SystemClock(),
            app_id=app_id,
        )

    async def open(self, app_id: str = "test", **overrides: Any) -> Bus:
        """A started bus, stopped by `close_all`."""
        bus = self.make(app_id, **overrides)
        await bus.start()
        self._open.append(bus)
        return bus

    async def close_all(self) -> None:
        """Stop every bus that `open` started."""
        await asyncio.gather(*(bus.stop() for bus in self._open))


class RecordingHandler:
    """A handler that records its deliveries in the order in which they were completed."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    async def __call__(self, delivery: Delivery) -> None:
        """Record the delivery."""
        self.deliveries.append(delivery)

    @property
    def numbers(self) -> list[int]:
        """The numbers of all recorded events, in order."""
        return [number_of(delivery.event) for delivery in self.deliveries]

    @property
    def ids(self) -> list[UUID]:
        """The message ids of all recorded events, in order."""
        return [delivery.event.message_id for delivery in self.deliveries]

    def numbers_of(self, key: str) -> list[int]:
        """The numbers of one partition key's events, in order."""
        return [number_of(d.event) for d in self.deliveries if d.event.partition_key == key]
