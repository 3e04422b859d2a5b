"""The embedded bus: queues in one SQLite file, for one process that is killed now and then.

A queue is consumed by one attached consumer at a time, guarded by a file lock that ends with its process: a
second one waits until the first has ended, as with a single active consumer on RabbitMQ.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from kit.bus import sqlite_store as store
from kit.bus.event import Event
from kit.bus.handling import BusMetrics
from kit.bus.interface import DeadLetter, QueueInfo
from kit.bus.spans import record_sent
from kit.bus.sqlite_consumer import SqliteConsumer
from kit.bus.sqlite_file import SqliteFile
from kit.bus.subscription import Handler, Subscription
from kit.clock import Clock
from kit.errors import LookoutError, Unavailable
from kit.health import CheckResult
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import BusSettings


class SqliteBus:
    """See `Bus`. Several objects may open one file, also from other processes (the `kit` command does)."""

    def __init__(self, settings: BusSettings, *, logger: Logger, metrics: Metrics, clock: Clock) -> None:
        self._settings = settings
        self._logger = logger
        self._clock = clock
        self._metrics = BusMetrics(metrics)
        path = Path(settings.url.removeprefix("sqlite:///"))
        self._file = SqliteFile(path, store.SCHEMA, settings.busy_timeout_s)
        self._consumers: list[SqliteConsumer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._is_started = False

    async def start(self) -> None:
        """Open the file.

        Raises:
            kit.errors.Unavailable: it cannot be opened.
        """
        await self._file.start()
        self._is_started = True
        self._metrics.connected.set(1)
        for consumer in self._consumers:
            consumer.start()
        self._tasks = [asyncio.create_task(self._watch_others()), asyncio.create_task(self._watch_depths())]

    async def stop(self) -> None:
        """Let handlers finish within the grace, settle, and close."""
        if not self._is_started:
            return
        self._is_started = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        self._consumers.clear()
        await self._file.stop()
        self._metrics.connected.set(0)

    async def publish(self, event: Event) -> None:
        """See `Bus.publish`."""
        [failure] = await self.publish_many([event])
        if failure is not None:
            raise failure

    async def publish_many(self, events: Sequence[Event]) -> list[Exception | None]:
        """See `Bus.publish_many`. One commit for all of them."""
        if not events:
            return []
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._settings.publish_timeout_s):
                results, queues = await self._file.submit(store.publish(events))
        except TimeoutError:
            results, queues = (
                [Unavailable("the bus did not confirm in time", code="bus_timeout")] * len(events),
                set(),
            )
        except LookoutError as error:
            results, queues = [error] * len(events), set()
        for consumer in self._consumers:
            if consumer.subscription.queue in queues:
                consumer.wake()
        record_sent(events, results, "sqlite", started)
        failed = sum(result is not None for result in results)
        self._metrics.published.labels("confirmed").inc(len(events) - failed)
        self._metrics.published.labels("failed").inc(failed)
        return results

    async def declare(self, subscription: Subscription) -> None:
        """See `Bus.declare`."""
        await self._file.submit(store.declare(subscription))

    async def consume(self, subscription: Subscription, handler: Handler) -> None:
        """See `Bus.consume`."""
        logger = self._logger.bind(service=subscription.service)
        consumer = SqliteConsumer(
            self._file, subscription, handler, self._settings, logger, self._metrics, self._clock
        )
        self._consumers.append(consumer)
        if self._is_started:
            consumer.start()

    async def ready(self) -> CheckResult:
        """See `Bus.ready`."""
        try:
            await self._file.submit(store.data_version)
        except LookoutError as error:
            return CheckResult(ok=False, detail=str(error))
        ended = [c.subscription.queue for c in self._consumers if c.has_ended]
        if ended:
            return CheckResult(ok=False, detail=f"nothing is taken any more from {', '.join(ended)}")
        waiting = [c.subscription.queue for c in self._consumers if not c.is_attached]
        if waiting:
            return CheckResult(ok=False, detail=f"another process consumes {', '.join(waiting)}")
        return CheckResult(ok=True, detail="sqlite")

    async def depth(self, queue: str) -> int:
        """See `Bus.depth`."""
        unacknowledged = {
            seq for c in self._consumers if c.subscription.queue == queue for seq in c.unacknowledged
        }
        return await self._file.submit(store.depth(queue, unacknowledged))

    async def queues(self) -> list[QueueInfo]:
        """See `Bus.queues`."""
        return await self._file.submit(store.queues)

    async def dead_letters(self, queue: str, limit: int | None = None) -> list[DeadLetter]:
        """See `Bus.dead_letters`."""
        return await self._file.submit(store.dead_letters(queue, limit))

    async def replay(self, queue: str, ids: Iterable[str] | None = None) -> int:
        """See `Bus.replay`. One transaction, so a crash changes nothing or all."""
        count = await self._file.submit(store.replay(queue, None if ids is None else list(ids)))
        for consumer in self._consumers:
            if consumer.subscription.queue == queue:
                consumer.wake()
        return count

    async def discard(self, queue: str, ids: Iterable[str] | None = None) -> int:
        """See `Bus.discard`."""
        return await self._file.submit(store.discard(queue, None if ids is None else list(ids)))

    async def _watch_others(self) -> None:
        """Wake the consumers when another process (the `kit` command, say) has put something there."""
        seen = -1
        while True:
            await asyncio.sleep(self._settings.poll_interval_s)
            if not self._consumers:
                continue
            try:
                version = await self._file.submit(store.data_version)
            except Exception:  # noqa: BLE001, S112 - readiness reports it; the next attempt may succeed
                continue
            if version != seen:
                seen = version
                for consumer in self._consumers:
                    consumer.wake()

    async def _watch_depths(self) -> None:
        while True:
            own = {consumer.subscription.queue for consumer in self._consumers}
            try:
                for info in await self.queues():
                    if info.queue in own:
                        self._metrics.note_depth(info.queue, info.depth, info.dead_letters)
            except Exception as error:  # noqa: BLE001 - the next look may succeed
                self._logger.warning("cannot read the queues' depths", error=str(error))
            await asyncio.sleep(self._settings.queue_depth_interval_s)
