"""One subscription attached to its queue, or, when ordered, to each of its shard queues."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aio_pika.abc import AbstractConnection
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from kit.bus.dispatch import BatchingDispatcher, Dispatcher, Item
from kit.bus.failure import Retry, Unroutable
from kit.bus.handling import BusMetrics, DeadLetterCause, Runner, jittered, policy_of, reason_of
from kit.bus.interface import dead_letter_queue
from kit.bus.outage import OutageWaits
from kit.bus.rabbitmq_crashes import CrashCounter
from kit.bus.rabbitmq_link import FAULTS, answered, channel_on
from kit.bus.rabbitmq_wire import (
    Outgoing,
    dead_letter_outgoing,
    event_of,
    failures_of,
    redeliveries_of,
    retry_outgoing,
)
from kit.bus.subscription import Delivery, Handler, Subscription
from kit.bus.topology import members_queue, retry_queue
from kit.clock import Clock
from kit.errors import Unavailable
from kit.logging import Logger
from kit.settings import BusSettings

_REMEMBERED_IDS = 10_000
_PAUSE_AFTER_FAULT_S = 1.0

Publish = Callable[[Outgoing], Awaitable[None]]


class DeliveryHistory:
    """Which messages this process handled or failed to handle: the broker may deliver any of them again."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._returned: OrderedDict[str, int] = OrderedDict()
        self._handled: OrderedDict[str, None] = OrderedDict()

    def note_failed(self, message_id: str, failures: int, first_failed_at: float) -> None:
        """It failed and waits for its retry. The count is kept if its channel closes meanwhile."""
        self._failures[message_id] = (failures, first_failed_at)
        if len(self._failures) > _REMEMBERED_IDS:
            self._failures.popitem(last=False)

    def failures(self, message_id: str) -> tuple[int, float] | None:
        """How often it failed in this process, and when first; None when it did not."""
        return self._failures.get(message_id)

    def note_returned(self, message_id: str) -> None:
        """Its channel closed before it was acknowledged: the broker counts that, but the process did not crash."""
        self._returned[message_id] = self._returned.get(message_id, 0) + 1
        if len(self._returned) > _REMEMBERED_IDS:
            self._returned.popitem(last=False)

    def returned(self, message_id: str) -> int:
        """How often this process returned it to its queue."""
        return self._returned.get(message_id, 0)

    def note_handled(self, message_id: str) -> None:
        """It was handled; the acknowledgement may still get lost."""
        self._forget(message_id)
        self._handled[message_id] = None
        if len(self._handled) > _REMEMBERED_IDS:
            self._handled.popitem(last=False)

    def note_dead_lettered(self, message_id: str) -> None:
        """It is a dead letter now; a replay starts counting anew."""
        self._forget(message_id)

    def was_handled(self, message_id: str) -> bool:
        """Whether this process handled it recently."""
        return message_id in self._handled

    def _forget(self, message_id: str) -> None:
        self._failures.pop(message_id, None)
        self._returned.pop(message_id, None)


class RabbitConsumer:
    """A subscription's handler and its queues, through every reconnect.

    `suspect_lock` is that of the process: held while a message is handled that may crash it.
    """

    def __init__(
        self,
        subscription: Subscription,
        handler: Handler,
        publish: Publish,
        settings: BusSettings,
        logger: Logger,
        metrics: BusMetrics,
        clock: Clock,
        suspect_lock: asyncio.Lock,
    ) -> None:
        self.subscription = subscription
        self.settings = settings
        self.logger = logger
        self.clock = clock
        self.publish = publish
        self.history = DeliveryHistory()
        self.slots = asyncio.Semaphore(settings.concurrency)
        self.outage_waits = OutageWaits(settings.outage_probe_interval_s)
        self.batch_lock = asyncio.Lock()
        self.runner = Runner(
            subscription.queue,
            handler,
            policy_of(subscription, settings),
            logger,
            metrics,
            max_crashes=settings.max_crashes,
        )
        self.suspect_lock = suspect_lock
        self.crash_counter = CrashCounter(subscription.queue, logger)
        self.unacknowledged = metrics.unacknowledged.labels(subscription.queue)
        self._sessions: list[QueueSession] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ended: asyncio.Task[None] | None = None
        self._membership: asyncio.Task[None] | None = None

    @property
    def is_attached(self) -> bool:
        """Whether all of its queues are being consumed."""
        return bool(self._sessions) and all(session.is_attached for session in self._sessions)

    def attach(self, connection: AbstractConnection, queues: tuple[str, ...]) -> None:
        """Consume these queues on a new connection, once what ran on the old one has ended."""
        before = self._ended
        self._sessions = [QueueSession(self, queue, connection) for queue in queues]
        self._tasks = [asyncio.create_task(session.run(before)) for session in self._sessions]
        if self.subscription.is_ordered:
            self._membership = asyncio.create_task(self._join_members(connection))

    def release_excess_shards(self, replicas: int) -> None:
        """Give up shards beyond an equal share among so many attached replicas.

        The first replica to attach becomes the active consumer of every shard, and would stay so for ever: the
        broker changes it only when it leaves.
        """
        fair = -(-len(self._sessions) // max(1, replicas))
        active = [session for session in self._sessions if session.is_active]
        for session in active[fair:]:
            self.logger.info("releasing a shard to another replica", queue=session.queue, replicas=replicas)
            session.restart()

    async def _join_members(self, connection: AbstractConnection) -> None:
        """Consume the members' queue, whose consumers are the replicas."""

        async def ignore(_: DeliveredMessage) -> None:
            return None

        try:
            async with channel_on(connection) as channel:
                await answered(channel.basic_consume(members_queue(self.subscription.queue), ignore))
                await asyncio.Event().wait()
        except FAULTS as error:
            self.logger.info("no longer counted among the replicas", error=reason_of(error))

    def detach(self) -> None:
        """The connection was lost: begin nothing more. Handlers that run may finish; their keys wait."""
        if self._membership is not None:
            self._membership.cancel()
        sessions, tasks = self._sessions, self._tasks
        self._sessions, self._tasks = [], []
        if tasks:
            self._ended = asyncio.create_task(_end(sessions, tasks, self._ended))

    async def stop(self) -> None:
        """Let handlers finish within `shutdown_grace_s`, acknowledge what they did, and detach."""
        self.detach()
        if self._ended is not None:
            await self._ended


async def _end(
    sessions: list["QueueSession"], tasks: list[asyncio.Task[None]], before: asyncio.Task[None] | None
) -> None:
    for session in sessions:
        session.end()
    await asyncio.gather(*tasks, return_exceptions=True)
    if before is not None:
        await before


class QueueSession:
    """One queue on one connection.

    The channel is closed and opened again when it fails, and when a message was unacknowledged for too long (before the
    broker's consumer timeout closes it).

    A message that was lost with a process before may be what crashed it. It is handled while no other such message is,
    and what is counted against it is how often the process crashed then. The prefetch stays as it is: the broker puts a
    message that was returned alone behind those that were returned with it before, so that fetching one at a time
    would change the order of a key.
    """

    def __init__(self, consumer: RabbitConsumer, queue: str, connection: AbstractConnection) -> None:
        self.is_attached = False
        self.is_active = False
        self.queue = queue
        self._consumer = consumer
        self._connection = connection
        self._ending = asyncio.Event()
        self._renewal = asyncio.Event()
        self._channel: Channel | None = None
        self._dispatcher = self._new_dispatcher()
        self._received_at: dict[int, float] = {}
        self._message_ids: dict[int, str] = {}

    def end(self) -> None:
        """Begin nothing more, and close when what runs has finished."""
        self._ending.set()
        self._dispatcher.stopping.set()
        self._renewal.set()

    def restart(self) -> None:
        """Finish what runs, close the channel and consume again, behind the other replicas."""
        self._dispatcher.stopping.set()
        self._renewal.set()

    async def run(self, before: asyncio.Task[None] | None) -> None:
        """Consume until `end`."""
        if before is not None:
            # Two runs of one key must not overlap, even across a lost connection.
            await asyncio.wait((before,))
        while not self._ending.is_set():
            try:
                await answered(self._consume())
            except FAULTS as error:
                if self._ending.is_set():
                    return
                self._consumer.logger.warning("cannot consume", queue=self.queue, error=reason_of(error))
            except Exception:  # without this the queue would never be consumed again
                self._consumer.logger.exception("consuming failed", queue=self.queue)
            else:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_AFTER_FAULT_S):
                    await self._ending.wait()

    async def _consume(self) -> None:
        """Consume on one channel until it closes."""
        self._renewal = asyncio.Event()
        self._dispatcher = self._new_dispatcher()
        async with channel_on(self._connection) as channel:
            self._channel = channel
            renewal = self._renewal
            channel.closing.add_done_callback(lambda _: renewal.set())
            channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
            try:
                await answered(channel.basic_qos(prefetch_count=self._consumer.settings.prefetch))
                await answered(channel.basic_consume(self.queue, self._on_message))
                self.is_attached = True
                await self._renewal.wait()
            finally:
                self.is_attached = self.is_active = False
                await self._dispatcher.drain(self._consumer.settings.shutdown_grace_s)
                self._consumer.unacknowledged.dec(len(self._received_at))
                for tag in self._received_at:
                    self._consumer.history.note_returned(self._message_ids[tag])
                self._received_at.clear()
                self._message_ids.clear()

    def _new_dispatcher(self) -> Dispatcher:
        is_ordered = self._consumer.subscription.is_ordered
        if self._consumer.runner.takes_batches:
            batch = self._consumer.settings.batch_size
            batch_lock = self._consumer.batch_lock
            return BatchingDispatcher(
                self._process, self._process_batch, batch, batch_lock, is_ordered=is_ordered
            )
        return Dispatcher(self._process, is_ordered=is_ordered)

    async def _on_cancelled(self, _: Basic.Cancel) -> None:
        self._renewal.set()

    async def _on_message(self, message: DeliveredMessage) -> None:
        tag = message.delivery_tag
        assert tag is not None
        dispatcher, history = self._dispatcher, self._consumer.history
        event = event_of(message)
        message_id = str(event.message_id)
        if dispatcher.stopping.is_set() or message.channel is not self._channel:
            history.note_returned(message_id)  # the broker delivers it again when the channel closes
            return
        self.is_active = True
        redeliveries = redeliveries_of(message)
        if redeliveries and history.was_handled(message_id):
            await self._ack(tag)  # only its acknowledgement got lost
            return
        failures, first_failed_at = failures_of(message)
        if known := history.failures(message_id):
            failures, first_failed_at = known
        self._received_at[tag] = time.monotonic()
        self._message_ids[tag] = message_id
        self._consumer.unacknowledged.inc()
        is_suspect = redeliveries > history.returned(message_id)
        dispatcher.submit(Item(event, tag, redeliveries, failures, first_failed_at, is_suspect=is_suspect))

    async def _process(self, item: Item) -> None:
        try:
            await self._attempt(item)
        except FAULTS as error:
            self._log_unacknowledged(item, error)
        finally:
            self._consumer.outage_waits.forget(item)

    def _log_unacknowledged(self, item: Item, error: Exception) -> None:
        self._consumer.logger.info(
            "the connection ended before messages were acknowledged; they are delivered again",
            queue=self.queue,
            message_id=str(item.event.message_id),
            error=reason_of(error),
        )

    async def _process_batch(self, items: list[Item]) -> bool:
        consumer = self._consumer
        deliveries = [_delivery_of(item, consumer.subscription.queue) for item in items]
        async with consumer.slots:
            if not await consumer.runner.run_batch(deliveries):
                return False
        for item in items:
            consumer.history.note_handled(str(item.event.message_id))
        try:
            await self._ack_many([item.handle for item in items])
        except FAULTS as error:
            self._log_unacknowledged(items[0], error)
        return True

    async def _attempt(self, item: Item) -> None:
        consumer, event = self._consumer, item.event
        queue, history, message_id = consumer.subscription.queue, consumer.history, str(event.message_id)
        while True:
            delivery = _delivery_of(item, queue)
            async with self._turn(item):
                if self._dispatcher.stopping.is_set():
                    return
                step = await consumer.runner.run(
                    delivery,
                    item.failures,
                    item.first_failed_at,
                    outages=item.outages,
                    crashes=item.crashes,
                )
            match step:
                case None:
                    history.note_handled(message_id)
                    consumer.outage_waits.note_handled(item)
                    break
                case DeadLetterCause():
                    dead_letter = dead_letter_outgoing(
                        event, dead_letter_queue(queue), step, consumer.clock.now()
                    )
                    if not await self._publish_until_confirmed(dead_letter):
                        return
                    history.note_dead_lettered(message_id)
                    break
                case Retry():
                    item.failures += 1
                    item.first_failed_at = item.first_failed_at or time.time()
                    if consumer.subscription.is_ordered:
                        history.note_failed(message_id, item.failures, item.first_failed_at)
                        if not await self._wait_in_place(item, step):
                            return
                        continue
                    step_queue = retry_queue(queue, step.delay_s)
                    waiting = retry_outgoing(event, step_queue, item.failures, item.first_failed_at)
                    if not await self._publish_until_confirmed(waiting):
                        return
                    break
        await self._ack(item.handle)

    @asynccontextmanager
    async def _turn(self, item: Item) -> AsyncIterator[None]:
        """Wait until the item may be handled: a suspect while no other is, and its crashes are counted."""
        consumer = self._consumer
        async with AsyncExitStack() as held:
            if item.is_suspect:
                await held.enter_async_context(consumer.suspect_lock)
            await held.enter_async_context(consumer.slots)
            if item.is_suspect and not self._dispatcher.stopping.is_set():
                attempt = consumer.crash_counter.attempt(self._connection, str(item.event.message_id))
                # And the first crash, when it was one of all that were unacknowledged.
                item.crashes = 1 + await held.enter_async_context(attempt)
            yield

    async def _wait_in_place(self, item: Item, step: Retry) -> bool:
        delay_s, ended_by = jittered(step.delay_s), None
        if step.is_outage:
            delay_s, ended_by = self._consumer.outage_waits.begin(item, delay_s)
        oldest = next(iter(self._received_at.values()), time.monotonic())
        if time.monotonic() - oldest + delay_s > self._consumer.settings.processing_limit_s:
            self.restart()
            return False
        return await self._dispatcher.pause(delay_s, ended_by=ended_by)

    async def _publish_until_confirmed(self, message: Outgoing) -> bool:
        """Publish before the original is acknowledged, however long it takes; False when the session ends."""
        while not self._dispatcher.stopping.is_set():
            try:
                await self._consumer.publish(message)
            except (Unavailable, Unroutable) as error:
                self._consumer.logger.warning(
                    "cannot publish a retry or dead letter, trying again",
                    to=message.routing_key,
                    error=reason_of(error),
                )
                await self._dispatcher.pause(_PAUSE_AFTER_FAULT_S)
            else:
                return True
        return False

    async def _ack_many(self, tags: list[int]) -> None:
        for tag in tags:
            self._forget(tag)
        assert self._channel is not None
        last = max(tags)
        oldest_left = next(iter(self._received_at), last + 1)
        if oldest_left > last:
            # Everything up to that tag is settled: one frame acknowledges it.
            await answered(self._channel.basic_ack(last, multiple=True, wait=False))
            return
        for tag in tags:
            await answered(self._channel.basic_ack(tag, wait=False))

    def _forget(self, tag: int) -> None:
        self._message_ids.pop(tag, None)
        if self._received_at.pop(tag, None) is not None:
            self._consumer.unacknowledged.dec()

    async def _ack(self, tag: int) -> None:
        self._forget(tag)
        assert self._channel is not None
        await answered(self._channel.basic_ack(tag, wait=False))


def _delivery_of(item: Item, queue: str) -> Delivery:
    attempt = item.redeliveries + item.failures + 1
    return Delivery(item.event, queue, attempt, item.redeliveries > 0)
