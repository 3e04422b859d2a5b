"""One consumer of the embedded bus: takes messages from the file, has them handled, and deletes them."""

import asyncio
import fcntl
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO

from kit.bus import sqlite_store as store
from kit.bus.dispatch import BatchingDispatcher, Dispatcher, Item
from kit.bus.failure import Retry
from kit.bus.handling import BusMetrics, DeadLetterCause, Runner, jittered, policy_of
from kit.bus.outage import OutageWaits
from kit.bus.poison_messages import ExclusiveSlot, exclusive_slot
from kit.bus.sqlite_file import SqliteFile
from kit.bus.subscription import Delivery, Handler, Subscription
from kit.clock import Clock
from kit.errors import LookoutError
from kit.logging import Logger, lines_of
from kit.settings import BusSettings

_PAUSE_AFTER_FAULT_S = 1.0


class SqliteConsumer:
    """Owns a queue while it holds the queue's lock file.

    A key that waits for its next attempt returns its messages, so that the other keys can use the whole prefetch
    however long its backlog is.

    A message that was unacknowledged when a process crashed is handled while no other of the process is, so that the
    poison message is found: it is given up after `max_crashes`, and no other with it.
    """

    def __init__(
        self,
        file: SqliteFile,
        subscription: Subscription,
        handler: Handler,
        settings: BusSettings,
        logger: Logger,
        metrics: BusMetrics,
        clock: Clock,
    ) -> None:
        self.subscription = subscription
        self.unacknowledged: dict[int, Item] = {}
        self.is_attached = False
        self._file = file
        self._settings = settings
        self._logger = logger
        self._clock = clock
        policy = policy_of(subscription, settings)
        self._runner = Runner(
            subscription.queue, handler, policy, logger, metrics, max_crashes=settings.max_crashes
        )
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._outage_waits = OutageWaits(settings.outage_probe_interval_s)
        self._dispatcher = (
            BatchingDispatcher(
                self._process,
                self._process_batch,
                settings.batch_size,
                asyncio.Lock(),
                is_ordered=subscription.is_ordered,
            )
            if self._runner.takes_batches
            else Dispatcher(self._process, is_ordered=subscription.is_ordered)
        )
        self._unacknowledged_gauge = metrics.unacknowledged.labels(subscription.queue)
        self._active: set[int] = set()  # those of `unacknowledged` that do not wait for a retry
        self._cancelled: list[Item] = []
        self._not_counted: Counter[int] = Counter()
        self._blocked: set[str] = set()
        self._blocked_since_fetch: set[str] = set()
        self._wake = asyncio.Event()
        self._has_more = True
        self._exclusive_slot: ExclusiveSlot | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock: IO[bytes] | None = None

    def start(self) -> None:
        """Attach, in the background."""
        self._exclusive_slot = exclusive_slot()
        with lines_of(self.subscription.service):  # in the tasks of its handlers too
            self._task = asyncio.create_task(self._run())

    @property
    def has_ended(self) -> bool:
        """Takes nothing any more, as after `stop`."""
        return self._task is not None and self._task.done()

    async def stop(self) -> None:
        """Finish the messages in progress, return the others, and release the queue for another process."""
        self._dispatcher.stopping.set()
        if self._task is not None:
            # Not cancelled in the middle of a fetch: what it took would stay counted as delivered.
            self._wake.set()
            self._slot.notify()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._dispatcher.drain(self._settings.shutdown_grace_s)
        if self._timer is not None:
            self._timer.cancel()
        await self._return_to_queue([*self.unacknowledged.values(), *self._cancelled])
        for seq in tuple(self.unacknowledged):
            self._forget(seq)
        if self._exclusive_slot is not None:
            self._exclusive_slot.release(self)
        self._unacknowledged_gauge.set(0)
        if self._lock is not None:
            self._lock.close()

    def wake(self) -> None:
        """There may be something to take."""
        self._has_more = True
        self._wake.set()

    async def _run(self) -> None:
        while not self._dispatcher.stopping.is_set():
            try:
                if self._lock is None:
                    await self._file.submit(store.declare(self.subscription))
                    self._lock = await self._acquire()
                    self.is_attached = self._lock is not None
                    continue
                await self._slot.wait_until_open(self, self._dispatcher.stopping.is_set)
                await self._fetch()
            except Exception as error:  # noqa: BLE001 - without this the queue would not be consumed any more
                self._note_fault("cannot take messages", error)
                await self._dispatcher.pause(_PAUSE_AFTER_FAULT_S)
                continue
            if not self._wants_more():
                await self._wake.wait()

    async def _acquire(self) -> IO[bytes] | None:
        """The queue's lock; None when stopped while another process had it."""
        path = Path(f"{self._file.path}.{self.subscription.queue}.lock")
        lock = await asyncio.to_thread(path.open, "wb")
        while not self._dispatcher.stopping.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await self._dispatcher.pause(self._settings.poll_interval_s)
            else:
                return lock
        lock.close()
        return None

    def _wants_more(self) -> bool:
        if self._slot.is_held_by(self):
            return self._has_more and not self._active
        # Half a window at a time: taking single messages would cost a commit for each.
        return self._has_more and len(self.unacknowledged) <= self._settings.prefetch // 2

    @property
    def _slot(self) -> ExclusiveSlot:
        assert self._exclusive_slot is not None, "it is not started"
        return self._exclusive_slot

    async def _fetch(self) -> None:
        self._wake.clear()
        self._has_more = False
        self._slot.add()
        try:
            is_held_back = await self._take()
        finally:
            self._slot.add(-1)
        if is_held_back:
            self._has_more = True
            await self._slot.acquire(self, self._dispatcher.stopping.is_set)

    async def _take(self) -> bool:
        """Fetch and begin to handle; whether the next message is a suspect for which this consumer needs the slot."""
        self._blocked_since_fetch = set(self._blocked)
        is_alone = self._slot.is_held_by(self)
        batch = await self._file.submit(
            store.fetch(
                self.subscription.queue,
                unacknowledged=self.unacknowledged,
                blocked=self._blocked,
                limit=self._settings.prefetch - len(self.unacknowledged),
                delivery_limit=self._settings.delivery_limit,
                is_alone=is_alone,
                not_counted=self._not_counted,
                now=self._clock.now(),
            )
        )
        if is_alone and not any(item.is_suspect for item in batch.items):
            self._slot.release(self)
        self._has_more = self._has_more or batch.has_more
        if batch.dead_letters:
            self._logger.error(
                "messages dead-lettered at the delivery limit",
                queue=self.subscription.queue,
                count=batch.dead_letters,
            )
        # Of a key that was blocked during the fetch, earlier messages were returned to the queue: these must wait too.
        late = [item for item in batch.items if item.event.partition_key in self._blocked_since_fetch]
        if self.subscription.is_ordered and late:
            await self._return_to_queue(late)
        for item in batch.items:
            if not self.subscription.is_ordered or item.event.partition_key not in self._blocked_since_fetch:
                self.unacknowledged[item.handle] = item
                self._note_active(item.handle)
                self._dispatcher.submit(item)
        self._unacknowledged_gauge.set(len(self.unacknowledged))
        self._wake_at(batch.next_due_at)
        return batch.is_held_back

    def _note_active(self, seq: int) -> None:
        self._active.add(seq)
        self._slot.add()

    def _note_inactive(self, seq: int) -> None:
        if seq in self._active:
            self._active.discard(seq)
            self._slot.add(-1)
            if not self._active:
                self._slot.release(self)

    def _forget(self, seq: int) -> None:
        self.unacknowledged.pop(seq, None)
        self._note_inactive(seq)

    def _wake_at(self, due_at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_at is not None:
            delay_s = max(0.0, due_at - self._clock.now().timestamp())
            self._timer = asyncio.get_running_loop().call_later(delay_s + 0.001, self.wake)

    async def _process(self, item: Item) -> None:
        seq = item.handle
        try:
            await self._attempt(item)
        except asyncio.CancelledError:
            self._cancelled.append(item)
            raise
        except Exception as error:  # noqa: BLE001 - the messages of its key behind it are not lost with it
            self._note_unsettled(error, seq)
        finally:
            self._outage_waits.forget(item)
            self._forget(seq)
            if self._wants_more():
                self._wake.set()

    async def _process_batch(self, items: list[Item]) -> bool:
        seqs = [item.handle for item in items]
        is_over = True
        try:
            async with self._slots:
                is_over = await self._runner.run_batch([self._delivery_of(item) for item in items])
            if is_over:
                await self._file.submit(store.settle(*seqs))
        except asyncio.CancelledError:
            self._cancelled.extend(items)
            raise
        except Exception as error:  # noqa: BLE001 - as in `_process`
            self._note_unsettled(error, *seqs)
        finally:
            if is_over:  # only after their rows are deleted, because they would be fetched again
                for seq in seqs:
                    self._forget(seq)
            if self._wants_more():
                self._wake.set()
        return is_over

    def _delivery_of(self, item: Item) -> Delivery:
        attempt = item.redeliveries + item.failures + 1
        return Delivery(item.event, self.subscription.queue, attempt, item.redeliveries > 0)

    def _note_unsettled(self, error: Exception, *seqs: int) -> None:
        # They are delivered again; the inbox detects repeats. The process did not crash with them.
        self._not_counted.update(seqs)
        self._note_fault("cannot acknowledge messages", error)
        asyncio.get_running_loop().call_later(_PAUSE_AFTER_FAULT_S, self.wake)

    def _note_fault(self, what: str, error: Exception) -> None:
        if isinstance(error, LookoutError):  # the file refused, as a full disk does
            self._logger.warning(what, queue=self.subscription.queue, error=str(error))
        else:
            self._logger.error(what, queue=self.subscription.queue, exc_info=error)

    async def _attempt(self, item: Item) -> None:
        seq = item.handle
        while True:
            delivery = self._delivery_of(item)
            async with self._slots:
                step = await self._runner.run(
                    delivery,
                    item.failures,
                    item.first_failed_at,
                    outages=item.outages,
                    crashes=item.crashes,
                )
            match step:
                case None:
                    self._outage_waits.note_handled(item)
                    await self._file.submit(store.settle(seq))
                    self._not_counted.pop(seq, None)
                    return
                case DeadLetterCause():
                    await self._file.submit(store.dead_letter(seq, step, self._clock.now()))
                    self._not_counted.pop(seq, None)
                    return
                case Retry():
                    item.failures += 1
                    item.first_failed_at = item.first_failed_at or time.time()
                    if item.crashes < self._settings.max_crashes:
                        item.crashes = 0  # the process did not crash with it
                    if not self.subscription.is_ordered:
                        await self._postpone(item, jittered(step.delay_s))
                        return
                    if not await self._wait_in_place(item, step):
                        return

    async def _postpone(self, item: Item, delay_s: float) -> None:
        due_at = self._clock.now().timestamp() + delay_s
        assert item.first_failed_at is not None
        await self._file.submit(
            store.postpone(
                item.handle,
                deliveries=item.crashes,
                failures=item.failures,
                first_failed_at=item.first_failed_at,
                not_before=due_at,
            )
        )
        asyncio.get_running_loop().call_later(delay_s + 0.001, self.wake)

    async def _wait_in_place(self, item: Item, step: Retry) -> bool:
        delay_s, ended_by = jittered(step.delay_s), None
        if step.is_outage:
            delay_s, ended_by = self._outage_waits.begin(item, delay_s)
        key = item.event.partition_key
        self._blocked.add(key)
        self._blocked_since_fetch.add(key)
        try:
            followers = self._dispatcher.remove_waiting(key)
            for follower in followers:
                self._forget(follower.handle)
            await self._return_to_queue(followers)
            await self._file.submit(store.set_deliveries(item.handle, item.crashes))
            self._note_inactive(item.handle)  # a suspect may be handled meanwhile
            self.wake()
            if not await self._dispatcher.pause(delay_s, ended_by=ended_by):
                return False
            await self._slot.wait_until_open(item, self._dispatcher.stopping.is_set)
            if self._dispatcher.stopping.is_set():
                return False
            self._note_active(item.handle)
            await self._file.submit(store.set_deliveries(item.handle, item.crashes + 1))
            return True
        finally:
            self._blocked.discard(key)
            self.wake()

    async def _return_to_queue(self, items: list[Item]) -> None:
        if items:
            await self._file.submit(store.return_to_queue([item.handle for item in items]))
