"""Running a handler on a delivery, and what its end means. The same for every back end."""

import asyncio
import random
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kit.bus.event import Event
from kit.bus.failure import Again, Failure, RetryPolicy, classify, next_step
from kit.bus.interface import parked_queue
from kit.bus.subscription import Delivery, Handler, Subscription
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import BusSettings
from kit.tracing import use_trace

MAX_REASON_CHARS = 500
MAX_TRACEBACK_CHARS = 16_000
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Parking:
    """Why a delivery is to be parked."""

    reason: str
    traceback: str
    attempts: int


Step = Again | Parking | None
"""What follows a handler's run: again later, parked, or (None) settled."""


def policy_of(subscription: Subscription, settings: BusSettings) -> RetryPolicy:
    """The subscription's own retry policy, or the one that the settings give its kind."""
    if subscription.retry is not None:
        return subscription.retry
    delays_s = settings.ordered_retry_delays_s if subscription.ordered else settings.retry_delays_s
    return RetryPolicy(delays_s, settings.outage_s)


def jittered(delay_s: float) -> float:
    """The delay, a little longer or shorter: what failed together shall not come again together."""
    return delay_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreading load


class BusMetrics:
    """What a bus tells Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        self.deliveries = metrics.counter(
            "bus_deliveries_total", "Handler runs by how they ended", ("queue", "outcome")
        )
        self.seconds = metrics.histogram("bus_handler_seconds", "Time a handler took", ("queue",))
        self.published = metrics.counter("bus_published_total", "Events published by outcome", ("outcome",))
        self.in_hand = metrics.gauge("bus_in_hand", "Messages taken and not settled yet", ("queue",))
        self.depth = metrics.gauge(
            "bus_queue_depth", "Messages waiting, parked ones under .parked", ("queue",)
        )
        self.connected = metrics.gauge("bus_connected", "1 while the bus can be used")
        self.lost = metrics.counter("bus_disconnects_total", "Times that the broker went away")

    def note_depth(self, queue: str, depth: int, parked: int) -> None:
        """Show how much waits for a subscription, and how much for a person."""
        self.depth.labels(queue).set(depth)
        self.depth.labels(parked_queue(queue)).set(parked)


class Runner:
    """Calls one subscription's handler and judges how it ended."""

    def __init__(
        self, queue: str, handler: Handler, policy: RetryPolicy, logger: Logger, metrics: BusMetrics
    ) -> None:
        self._handler = handler
        self._policy = policy
        self._queue = queue
        self._logger = logger
        self._outcomes = {
            name: metrics.deliveries.labels(queue, name)
            for name in ("handled", "retried", *(failure.value for failure in Failure))
        }
        self._seconds = metrics.seconds.labels(queue)

    async def run(self, delivery: Delivery, failures: int, first_failed_at: float | None) -> Step:
        """Handle once. `failures` earlier ones happened since `first_failed_at` (seconds of `time.time`)."""
        event = delivery.event
        started = time.perf_counter()
        with use_trace(event.traceparent, event.correlation_id):
            try:
                await self._handler(delivery)
            except Exception as error:  # noqa: BLE001 - judging whatever a handler raises is the point
                elapsed_s = time.time() - first_failed_at if first_failed_at is not None else 0.0
                return self._judge(delivery, error, failures + 1, elapsed_s)
            finally:
                self._seconds.observe(time.perf_counter() - started)
            self._outcomes["handled"].inc()
            return None

    def _judge(self, delivery: Delivery, error: Exception, failures: int, elapsed_s: float) -> Step:
        failure = classify(error)
        step = next_step(self._policy, failure, failures, elapsed_s)
        facts = {
            "queue": self._queue,
            "message_id": str(delivery.event.message_id),
            "type": delivery.event.type,
            "attempt": delivery.attempt,
            "failure": failure.value,
            "error": reason_of(error),
        }
        if isinstance(step, Again):
            self._outcomes["retried"].inc()
            self._logger.warning("delivery failed, trying again", delay_s=step.delay_s, **facts)
            return step
        self._outcomes[failure.value].inc()
        trace = "".join(traceback.format_exception(error))
        if failure is Failure.BUG:
            self._logger.error("delivery parked: the handler has a bug", exc_info=error, **facts)
        else:
            self._logger.warning("delivery parked", because=step.because, **facts)
        return Parking(
            reason=f"{step.because}: {reason_of(error)}"[:MAX_REASON_CHARS],
            traceback=trace[-MAX_TRACEBACK_CHARS:],
            attempts=delivery.attempt,
        )


def reason_of(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Item:
    """A message in hand: what the dispatcher needs to know of it. Back ends add their own handle."""

    __slots__ = ("event", "failures", "first_failed_at", "handle", "redeliveries")

    def __init__(
        self,
        event: Event,
        handle: int,
        redeliveries: int = 0,
        failures: int = 0,
        first_failed_at: float | None = None,
    ) -> None:
        self.event = event
        self.handle = handle
        self.redeliveries = redeliveries
        self.failures = failures
        self.first_failed_at = first_failed_at


Process = Callable[[Item], Awaitable[None]]


class Dispatcher:
    """Runs `process` on items: those of one key one after the other, different keys side by side.

    Unordered, every item is its own key.
    """

    def __init__(self, process: Process, *, ordered: bool) -> None:
        self.stopping = asyncio.Event()
        self._process = process
        self._ordered = ordered
        self._waiting: dict[str, deque[Item]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, item: Item) -> None:
        """Take an item, to be processed after those of its key before it."""
        if self._ordered:
            key = item.event.partition_key
            lane = self._waiting.get(key)
            if lane is not None:
                lane.append(item)
                return
            self._waiting[key] = deque()
            work = self._run_lane(key, item)
        else:
            work = self._run_one(item)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def take_back(self, key: str) -> list[Item]:
        """Give up the items of a key that have not begun, and return them."""
        lane = self._waiting.get(key)
        if not lane:
            return []
        taken = list(lane)
        lane.clear()
        return taken

    async def pause(self, delay_s: float) -> bool:
        """Wait, or not to the end: False when stopping."""
        try:
            async with asyncio.timeout(delay_s):
                await self.stopping.wait()
        except TimeoutError:
            return True
        return False

    async def drain(self, grace_s: float) -> None:
        """Begin nothing more and wait for what runs; cancel what runs longer than the grace."""
        self.stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def abandon(self) -> None:
        """Forget everything at once: the broker went away and will hand out all of it again."""
        self.stopping.set()
        for task in self._tasks:
            task.cancel()

    async def _run_one(self, item: Item) -> None:
        if not self.stopping.is_set():
            await self._process(item)

    async def _run_lane(self, key: str, item: Item) -> None:
        lane = self._waiting[key]
        try:
            while not self.stopping.is_set():
                await self._process(item)
                if not lane:
                    return
                item = lane.popleft()
        finally:
            del self._waiting[key]
