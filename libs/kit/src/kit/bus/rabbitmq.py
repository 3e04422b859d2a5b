"""The distributed bus, on RabbitMQ 3.10 and later.

Two connections, one to publish and one to consume: a broker that is short of memory stops reading from publishing
connections, but must still receive the acknowledgements, which free memory.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

from aio_pika.abc import AbstractConnection

from kit.bus.event import Event
from kit.bus.handling import BusMetrics, jittered, policy_of, reason_of
from kit.bus.interface import DeadLetter, QueueInfo, dead_letter_queue
from kit.bus.rabbitmq_admin import Admin, declare_all
from kit.bus.rabbitmq_browse import Entry, enter_in_catalogue
from kit.bus.rabbitmq_consumer import RabbitConsumer
from kit.bus.rabbitmq_link import FAULTS, Link, Publisher, answered, channel_on
from kit.bus.rabbitmq_wire import Outgoing, outgoing
from kit.bus.spans import record_sent
from kit.bus.subscription import Handler, Subscription
from kit.bus.topology import (
    Topology,
    catalogue_queue,
    events_exchange,
    members_queue,
    subscription_topology,
)
from kit.clock import Clock
from kit.errors import LookoutError, Unavailable
from kit.health import CheckResult
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import BusSettings

_PAUSE_AFTER_FAULT_S = 1.0


class RabbitMqBus:
    """See `Bus`."""

    def __init__(
        self, settings: BusSettings, *, logger: Logger, metrics: Metrics, clock: Clock, app_id: str
    ) -> None:
        self._settings = settings
        self._logger = logger
        self._clock = clock
        self._metrics = BusMetrics(metrics)
        self._consumers: list[RabbitConsumer] = []
        self._topologies: dict[str, Topology] = {}
        self._declaring = asyncio.Lock()
        self._suspect_lock = asyncio.Lock()
        self._publisher: Publisher | None = None
        self._publisher_channel: AsyncExitStack | None = None
        self._outbound = Link(
            f"{app_id} publishing", settings, logger, self._publishing_up, self._publishing_down
        )
        self._inbound = Link(f"{app_id} consuming", settings, logger)
        self._admin = Admin(self._outbound, self._take_publisher, settings)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """See `Bus.start`."""
        self._outbound.start()
        self._inbound.start()
        self._tasks.append(asyncio.create_task(self._watch_depths()))

    async def stop(self) -> None:
        """See `Bus.stop`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        # The consumers first: what they are handling may still publish, also a dead letter.
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        self._consumers.clear()
        await self._inbound.stop()
        await self._outbound.stop()

    async def publish(self, event: Event) -> None:
        """See `Bus.publish`."""
        [failure] = await self.publish_many([event])
        if failure is not None:
            raise failure

    async def publish_many(self, events: Sequence[Event]) -> list[Exception | None]:
        """See `Bus.publish_many`."""
        if not events:
            return []
        messages = [outgoing(event, self._settings.exchange) for event in events]
        results: list[Exception | None]
        started = time.perf_counter()
        deadline = time.monotonic() + self._settings.publish_timeout_s
        try:
            publisher = await self._take_publisher()
        except Unavailable as error:
            results = [error] * len(events)
        else:
            keys = [event.partition_key for event in events]
            results = await publisher.publish_in_order(messages, keys, deadline - time.monotonic())
        record_sent(events, results, "rabbitmq", started)
        failed = sum(result is not None for result in results)
        self._metrics.published.labels("confirmed").inc(len(events) - failed)
        self._metrics.published.labels("failed").inc(failed)
        return results

    async def declare(self, subscription: Subscription) -> None:
        """See `Bus.declare`."""
        connection = await self._outbound.connection()
        try:
            async with asyncio.timeout(self._settings.publish_timeout_s):
                await self._declare_subscription(connection, subscription)
        except FAULTS as error:
            raise Unavailable(f"not declared: {error!r}", code="bus_unavailable") from error

    async def consume(self, subscription: Subscription, handler: Handler) -> None:
        """See `Bus.consume`."""
        consumer = RabbitConsumer(
            subscription,
            handler,
            self._move,
            self._settings,
            self._logger,
            self._metrics,
            self._clock,
            self._suspect_lock,
        )
        self._consumers.append(consumer)
        self._tasks.append(asyncio.create_task(self._keep_attached(consumer)))

    async def ready(self) -> CheckResult:
        """See `Bus.ready`."""
        for link in (self._outbound, self._inbound):
            if not link.is_up:
                return CheckResult(ok=False, detail=f"rabbitmq: {link.failure}")
        waiting = [c.subscription.queue for c in self._consumers if not c.is_attached]
        if waiting:
            return CheckResult(ok=False, detail=f"rabbitmq: not consuming {', '.join(waiting)} yet")
        return CheckResult(ok=True, detail="rabbitmq")

    async def depth(self, queue: str) -> int:
        """See `Bus.depth`."""
        return await self._admin.depth(queue)

    async def queues(self) -> list[QueueInfo]:
        """See `Bus.queues`."""
        return await self._admin.queues()

    async def dead_letters(self, queue: str, limit: int | None = None) -> list[DeadLetter]:
        """See `Bus.dead_letters`."""
        return await self._admin.dead_letters(queue, limit)

    async def replay(self, queue: str, ids: Iterable[str] | None = None) -> int:
        """See `Bus.replay`. Each is published, confirmed, and only then removed."""
        return await self._admin.replay(queue, None if ids is None else set(ids))

    async def discard(self, queue: str, ids: Iterable[str] | None = None) -> int:
        """See `Bus.discard`."""
        return await self._admin.discard(queue, None if ids is None else set(ids))

    async def _take_publisher(self) -> Publisher:
        await self._outbound.connection()
        assert self._publisher is not None
        return self._publisher

    async def _move(self, message: Outgoing) -> None:
        """For the consumers: publish past the events' exchange: a dead letter, or a message that is retried later."""
        publisher = await self._take_publisher()
        try:
            async with asyncio.timeout(self._settings.publish_timeout_s):
                await publisher.publish(message)
        except TimeoutError:
            raise Unavailable("not confirmed in time", code="bus_timeout") from None

    async def _publishing_up(self, connection: AbstractConnection) -> None:
        self._publisher_channel = AsyncExitStack()
        opening = channel_on(connection, is_confirming=True)
        channel = await self._publisher_channel.enter_async_context(opening)
        channel.closing.add_done_callback(lambda _: self._outbound.renew())
        empty = Topology((events_exchange(self._settings),), (catalogue_queue(self._settings),), (), ())
        await declare_all(connection, empty, self._logger)
        self._publisher = Publisher(channel)
        self._metrics.connected.set(1)

    def _publishing_down(self) -> None:
        if self._publisher is not None:
            self._metrics.lost.inc()
        self._publisher = None
        self._publisher_channel = None
        self._metrics.connected.set(0)

    async def _keep_attached(self, consumer: RabbitConsumer) -> None:
        while True:
            connection = await self._inbound.next_connection()
            try:
                topology = await answered(self._declare_subscription(connection, consumer.subscription))
            except (LookoutError, *FAULTS) as error:
                self._logger.warning(
                    "cannot declare the queues of a subscription",
                    queue=consumer.subscription.queue,
                    error=reason_of(error),
                )
                await asyncio.sleep(jittered(_PAUSE_AFTER_FAULT_S))
                continue
            except Exception:  # without this the subscription would never be consumed again
                self._logger.exception(
                    "declaring the queues of a subscription failed", queue=consumer.subscription.queue
                )
                await asyncio.sleep(jittered(_PAUSE_AFTER_FAULT_S))
                continue
            if self._inbound.is_current(connection):
                consumer.attach(connection, topology.consumed)
                await self._inbound.until_lost()
                consumer.detach()

    async def _declare_subscription(
        self, connection: AbstractConnection, subscription: Subscription
    ) -> Topology:
        publisher = await self._take_publisher()
        shards = self._settings.shards if subscription.is_ordered else 0
        wanted = Entry(subscription.queue, subscription.binding, shards)
        catalogue = catalogue_queue(self._settings).name
        async with self._declaring:
            entry, before = await enter_in_catalogue(connection, publisher, catalogue, wanted)
            if entry.shards != shards:
                self._logger.warning(
                    "the number of shards stays that of the first declaration",
                    queue=entry.queue,
                    shards=entry.shards,
                    wanted=shards,
                )
            policy = policy_of(subscription, self._settings)
            topology = subscription_topology(subscription, policy, self._settings, shards=entry.shards)
            await declare_all(connection, topology, self._logger)
            self._topologies[subscription.queue] = topology
            if before is not None and before.binding != entry.binding:
                await self._admin.unbind(connection, before)
        return topology

    async def _watch_depths(self) -> None:
        while True:
            for consumer in self._consumers:
                topology = self._topologies.get(consumer.subscription.queue)
                if topology is not None and self._outbound.is_up:
                    try:
                        await self._measure(consumer, topology)
                    except (LookoutError, *FAULTS) as error:
                        self._logger.warning("cannot read the queues' depths", error=reason_of(error))
            await asyncio.sleep(self._settings.queue_depth_interval_s)

    async def _measure(self, consumer: RabbitConsumer, topology: Topology) -> None:
        queue, is_ordered = consumer.subscription.queue, consumer.subscription.is_ordered
        dead_letters, members = dead_letter_queue(queue), members_queue(queue)
        others = [dead_letters, members] if is_ordered else [dead_letters]
        states = await self._admin.states([*topology.consumed, *others])
        depth = sum(states[name].ready for name in topology.consumed)
        self._metrics.note_depth(queue, depth, states[dead_letters].ready)
        if is_ordered:
            consumer.release_excess_shards(states[members].consumers)
