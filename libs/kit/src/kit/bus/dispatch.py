"""When each message is handled: one key in order, different keys concurrently, some handlers in batches."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from kit.bus.event import Event


class Item:
    """An unacknowledged message, as the dispatcher sees it. `handle` is the back end's own.

    `crashes` is how often the process seems to have crashed while it handled this message. `is_suspect`: it may be a
    poison message, so no other suspect is handled beside it. `outages`: how many of the `failures`, in this process,
    were for a dependency that did not answer.
    """

    __slots__ = (
        "crashes",
        "event",
        "failures",
        "first_failed_at",
        "handle",
        "is_suspect",
        "outages",
        "redeliveries",
    )

    def __init__(
        self,
        event: Event,
        handle: int,
        redeliveries: int = 0,
        failures: int = 0,
        first_failed_at: float | None = None,
        *,
        crashes: int = 0,
        is_suspect: bool = False,
    ) -> None:
        self.event = event
        self.handle = handle
        self.redeliveries = redeliveries
        self.failures = failures
        self.outages = 0
        self.first_failed_at = first_failed_at
        self.crashes = crashes
        self.is_suspect = is_suspect


Process = Callable[[Item], Awaitable[None]]
ProcessBatch = Callable[[list[Item]], Awaitable[bool]]
"""Acknowledges all of them and returns True, or none and returns False."""


class Dispatcher:
    """Runs `process` on items: those of one key one after the other, different keys concurrently.

    Unordered, every item is its own key.
    """

    def __init__(self, process: Process, *, is_ordered: bool) -> None:
        self.stopping = asyncio.Event()
        self._process = process
        self._is_ordered = is_ordered
        self._waiting: dict[str, deque[Item]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, item: Item) -> None:
        """Take an item, to be processed after those of its key before it."""
        if self._is_ordered:
            key = item.event.partition_key
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.append(item)
                return
            self._waiting[key] = deque()
            work = self._run_key(key, item)
        else:
            work = self._run_one(item)
        self._spawn(work)

    def remove_waiting(self, key: str) -> list[Item]:
        """Remove and return the items of a key whose processing has not begun."""
        waiting = self._waiting.get(key)
        if not waiting:
            return []
        taken = list(waiting)
        waiting.clear()
        return taken

    async def pause(self, delay_s: float, *, ended_by: asyncio.Event | None = None) -> bool:
        """Wait for `delay_s`, or until `ended_by` is set; False as soon as the dispatcher stops."""
        events = [self.stopping] if ended_by is None else [self.stopping, ended_by]
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not self.stopping.is_set()

    async def drain(self, grace_s: float) -> None:
        """Begin nothing more and wait for what runs; cancel what runs longer than the grace."""
        self.stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _is_busy(self, key: str) -> bool:
        return self._is_ordered and key in self._waiting

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run_one(self, item: Item) -> None:
        if not self.stopping.is_set():
            await self._process(item)

    async def _run_key(self, key: str, item: Item) -> None:
        waiting = self._waiting[key]
        try:
            while not self.stopping.is_set():
                await self._process(item)
                if not waiting:
                    return
                item = waiting.popleft()
        finally:
            del self._waiting[key]


class BatchingDispatcher(Dispatcher):
    """Collects waiting items into batches for a handler that takes many at once.

    `batch_lock` is held during a batch, and shared by the dispatchers of a consumer's shards: so what arrives on any
    of them meanwhile makes the next batch larger, which costs less than several small batches at the same time.
    The items of a failed batch are processed one by one, as by the plain dispatcher, and so are new items of the
    same keys until that is done.
    """

    def __init__(
        self,
        process: Process,
        process_batch: ProcessBatch,
        limit: int,
        batch_lock: asyncio.Lock,
        *,
        is_ordered: bool,
    ) -> None:
        super().__init__(process, is_ordered=is_ordered)
        self._batch_lock = batch_lock
        self._process_batch = process_batch
        self._limit = limit
        self._pending: deque[Item] = deque()
        self._batches: asyncio.Task[None] | None = None

    def submit(self, item: Item) -> None:
        """Take an item, to be processed after those of its key before it."""
        self._pending.append(item)
        if self._batches is None or self._batches.done():
            self._batches = self._spawn(self._run_batches())

    def remove_waiting(self, key: str) -> list[Item]:
        """Remove and return the items of a key whose processing has not begun."""
        taken = super().remove_waiting(key)
        taken += [item for item in self._pending if item.event.partition_key == key]
        self._pending = deque(item for item in self._pending if item.event.partition_key != key)
        return taken

    async def _run_batches(self) -> None:
        while self._pending and not self.stopping.is_set():
            async with self._batch_lock:
                # Composed only now, so that what arrived during the batch before is in it.
                batch = [] if self.stopping.is_set() else self._next_batch()
                is_done = not batch or await self._process_batch(batch)
            if not is_done:
                for item in batch:
                    super().submit(item)

    def _next_batch(self) -> list[Item]:
        batch: list[Item] = []
        keys: set[str] = set()
        while self._pending and len(batch) < self._limit:
            key = self._pending[0].event.partition_key
            # What failed before may fail again, and the whole batch with it.
            if self._pending[0].failures or self._pending[0].is_suspect or self._is_busy(key):
                if self._is_ordered and key in keys:
                    break  # processed alone, but only after the batch, which has earlier items of its key
                super().submit(self._pending.popleft())
            else:
                batch.append(self._pending.popleft())
                keys.add(key)
        return batch
