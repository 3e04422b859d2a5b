"""The event bus: at least once, in order per partition key, nothing lost. One interface, two back ends."""

from kit.bus.consumer import Consumer, EventConsumer, Metadata
from kit.bus.event import Event, EventSource
from kit.bus.event_type import EventType, event_type
from kit.bus.failure import Failure, HeldBack, Rejected, RetryPolicy, Transient, Unroutable, classify
from kit.bus.interface import Bus, DeadLetter, QueueInfo, dead_letter_queue
from kit.bus.sqlite import SqliteBus
from kit.bus.subscription import BatchHandler, Delivery, GivingUpHandler, Handler, Subscription
from kit.clock import Clock
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import BusSettings

__all__ = [
    "BatchHandler",
    "Bus",
    "Consumer",
    "DeadLetter",
    "Delivery",
    "Event",
    "EventConsumer",
    "EventSource",
    "EventType",
    "Failure",
    "GivingUpHandler",
    "Handler",
    "HeldBack",
    "Metadata",
    "QueueInfo",
    "Rejected",
    "RetryPolicy",
    "Subscription",
    "Transient",
    "Unroutable",
    "classify",
    "dead_letter_queue",
    "event_type",
    "open_bus",
]


def open_bus(settings: BusSettings, *, logger: Logger, metrics: Metrics, clock: Clock, app_id: str) -> Bus:
    """The bus that the URL names: RabbitMQ for `amqp://` and `amqps://`, one file for `sqlite:///`."""
    if settings.url.startswith("sqlite:///"):
        return SqliteBus(settings, logger=logger, metrics=metrics, clock=clock)
    # Imported here: embedded mode does without the RabbitMQ client.
    from kit.bus.rabbitmq import RabbitMqBus  # noqa: PLC0415

    return RabbitMqBus(settings, logger=logger, metrics=metrics, clock=clock, app_id=app_id)
