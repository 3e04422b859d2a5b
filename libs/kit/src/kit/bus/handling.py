"""Running a handler on a delivery, and deciding what follows. The same for both back ends."""

import random
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from kit.bus.failure import Failure, Retry, RetryPolicy, classify, next_step
from kit.bus.spans import processing
from kit.bus.subscription import BatchHandler, Delivery, GivingUpHandler, Handler, Subscription
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import BusSettings
from kit.tracing import current_span, current_tracing, mark_failed, use_trace

MAX_REASON_CHARS = 500
MAX_TRACEBACK_CHARS = 16_000
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class DeadLetterCause:
    """Why a delivery becomes a dead letter."""

    reason: str
    traceback: str
    attempts: int


Step = Retry | DeadLetterCause | None
"""What follows a run of the handler: a retry, a dead letter, or (None) an acknowledgement."""


def policy_of(subscription: Subscription, settings: BusSettings) -> RetryPolicy:
    """The subscription's own retry policy, or the one that the settings give its kind."""
    if subscription.retry is not None:
        return subscription.retry
    delays_s = settings.ordered_retry_delays_s if subscription.is_ordered else settings.retry_delays_s
    return RetryPolicy(delays_s, settings.outage_retry_limit_s)


def jittered(delay_s: float) -> float:
    """The delay, a little longer or shorter, so that what failed together is not retried together."""
    return delay_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreading load


class BusMetrics:
    """The metrics of a bus."""

    def __init__(self, metrics: Metrics) -> None:
        self.deliveries = metrics.counter(
            "bus_deliveries_total", "Handler runs by outcome", ("queue", "outcome")
        )
        self.seconds = metrics.histogram("bus_handler_seconds", "Time that a handler took", ("queue",))
        self.published = metrics.counter("bus_published_total", "Events published by outcome", ("outcome",))
        self.unacknowledged = metrics.gauge(
            "bus_unacknowledged", "Messages delivered and not acknowledged yet", ("queue",)
        )
        self.depth = metrics.gauge(
            "bus_queue_depth",
            "Messages waiting in a subscription; each replica reports the same: max by (queue), never sum",
            ("queue",),
        )
        self.dead_letters = metrics.gauge(
            "bus_dead_letters",
            "Dead letters of a subscription; each replica reports the same: max by (queue), never sum",
            ("queue",),
        )
        self.connected = metrics.gauge("bus_connected", "1 while connected to the broker, else 0")
        self.lost = metrics.counter(
            "bus_disconnects_total", "Times that the connection to the broker was lost"
        )

    def note_depth(self, queue: str, depth: int, dead_letters: int) -> None:
        """Set the depth and the number of dead letters of a subscription."""
        self.depth.labels(queue).set(depth)
        self.dead_letters.labels(queue).set(dead_letters)


GIVEN_UP = "given_up"
"""The outcome, in `bus_deliveries_total`, of a poison message."""


class Runner:
    """Calls the handler of a subscription and decides what follows when it fails."""

    def __init__(
        self,
        queue: str,
        handler: Handler,
        policy: RetryPolicy,
        logger: Logger,
        metrics: BusMetrics,
        *,
        max_crashes: int,
    ) -> None:
        self._handler = handler
        self._policy = policy
        self._max_crashes = max_crashes
        self._queue = queue
        self._tracing = current_tracing()  # of the service that is attaching the handler
        self._logger = logger
        self._outcomes = {
            name: metrics.deliveries.labels(queue, name)
            for name in ("handled", "retried", GIVEN_UP, *(failure.value for failure in Failure))
        }
        self._seconds = metrics.seconds.labels(queue)

    async def run(
        self,
        delivery: Delivery,
        failures: int,
        first_failed_at: float | None,
        *,
        outages: int = 0,
        crashes: int = 0,
    ) -> Step:
        """Handle once. `failures` earlier ones, of them `outages` for a dependency that did not answer, happened since
        `first_failed_at` (seconds of `time.time`).

        `crashes`: how often the process crashed while it handled the message; after `max_crashes` it is given up.
        """
        event = delivery.event
        is_given_up = crashes >= self._max_crashes
        started = time.perf_counter()
        with processing(event, self._queue, self._tracing):
            try:
                if is_given_up:
                    return await self._give_up(delivery, crashes)
                await self._handler(delivery)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises decides what follows
                mark_failed(current_span(), error)
                elapsed_s = time.time() - first_failed_at if first_failed_at is not None else 0.0
                return self._after_failure(delivery, error, failures + 1, elapsed_s, outages)
            finally:
                self._seconds.observe(time.perf_counter() - started)
            self._outcomes["handled"].inc()
            return None

    @property
    def takes_batches(self) -> bool:
        """Whether the handler can be given several deliveries at once."""
        return isinstance(self._handler, BatchHandler)

    async def run_batch(self, deliveries: Sequence[Delivery]) -> bool:
        """Handle all of them at once; False when that failed, and each is to be run alone."""
        assert isinstance(self._handler, BatchHandler)
        started = time.perf_counter()
        try:
            with use_trace(tracing=self._tracing):
                await self._handler.handle_batch(deliveries)
        except Exception as error:  # noqa: BLE001 - each is handled alone then, and the failing one is treated as such
            self._logger.info(
                "a batch failed, handling its messages one by one",
                queue=self._queue,
                count=len(deliveries),
                error=reason_of(error),
            )
            return False
        each_s = (time.perf_counter() - started) / len(deliveries)
        for _ in deliveries:
            self._seconds.observe(each_s)
        self._outcomes["handled"].inc(len(deliveries))
        return True

    async def _give_up(self, delivery: Delivery, crashes: int) -> DeadLetterCause:
        reason = f"the process crashed {crashes} times while it handled this message"
        if isinstance(self._handler, GivingUpHandler):
            await self._handler.give_up(delivery, reason)
        self._outcomes[GIVEN_UP].inc()
        self._logger.error(
            "message dead-lettered: the process crashed while handling it",
            queue=self._queue,
            message_id=str(delivery.event.message_id),
            type=delivery.event.type,
            crashes=crashes,
        )
        return DeadLetterCause(reason=reason, traceback="", attempts=delivery.attempt - 1)

    def _after_failure(
        self, delivery: Delivery, error: Exception, failures: int, elapsed_s: float, outages: int
    ) -> Step:
        failure = classify(error)
        step = next_step(self._policy, failure, failures, elapsed_s, outages=outages)
        facts = {
            "queue": self._queue,
            "message_id": str(delivery.event.message_id),
            "type": delivery.event.type,
            "attempt": delivery.attempt,
            "failure": failure.value,
            "error": reason_of(error),
        }
        if isinstance(step, Retry):
            self._outcomes["retried"].inc()
            self._logger.warning("message failed, retrying", delay_s=step.delay_s, **facts)
            return step
        self._outcomes[failure.value].inc()
        trace = "".join(traceback.format_exception(error))
        if failure is Failure.BUG:
            self._logger.error("message dead-lettered: the handler has a bug", exc_info=error, **facts)
        else:
            self._logger.warning("message dead-lettered", because=step.because, **facts)
        return DeadLetterCause(
            reason=f"{step.because}: {reason_of(error)}"[:MAX_REASON_CHARS],
            traceback=trace[-MAX_TRACEBACK_CHARS:],
            attempts=delivery.attempt,
        )


def reason_of(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
