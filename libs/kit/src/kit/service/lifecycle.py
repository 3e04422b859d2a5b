"""Start and stop of one service: dependencies in order, readiness, background tasks, draining.

A dependency that is unavailable at the start does not end the process: the listeners open, readiness names what
is missing, requests get a 503, and the start continues in the background until everything is available.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from kit.bus import Bus, EventConsumer, EventSource
from kit.errors import ServiceFailed, StorageFull, Unavailable
from kit.health import CheckResult, Health
from kit.logging import Logger, lines_of
from kit.metrics import Metrics
from kit.tracing import NO_TRACING, Tracing, use_trace

# Waits between attempts of the start and between restarts of a background task: doubled each time, with jitter.
FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 15.0
# After a background task ran this long, its next crash is retried as if it were the first.
STABLE_AFTER_S = 60.0

STARTING = "the service is still starting"

Step = Callable[[], Awaitable[None]]


class Resource(Protocol):
    """What is opened before the service works and closed after: a database, a blob store, a bus, a model."""

    async def start(self) -> None:
        """Open it. After `Unavailable` or OSError it is tried again; any other error ends the process."""
        ...

    async def stop(self) -> None:
        """Close it; work in progress is finished first."""
        ...


class Lifecycle:
    """The parts of one service in the order in which they start; they stop in reverse.

    `resources` are opened first, then the bus unless it is shared, then the `startup_steps` run (migrations), then
    the consumers are attached and the `background_tasks` begin. A background task that crashes is restarted.
    `publishes`: the events that the service publishes, for the documentation and the check of both ends.
    """

    def __init__(self, name: str, version: str, logger: Logger, metrics: Metrics, health: Health) -> None:
        self.name = name
        self.version = version
        self.logger = logger
        self.metrics = metrics
        self.health = health
        self.tracing: Tracing = NO_TRACING
        self.resources: list[Resource] = []
        self.bus: Bus | None = None
        self.is_bus_shared = False
        self.startup_steps: list[tuple[str, Step]] = []
        self.consumers: list[EventConsumer[Any]] = []
        self.publishes: EventSource | None = None
        self.background_tasks: list[tuple[str, Step]] = []
        self._crashes = metrics.counter(
            "background_crashes_total", "background tasks that ended with an error", ("task",)
        )
        self._started: list[Resource] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._starting: asyncio.Task[None] | None = None
        self._start_obstacle = ""

    async def start(self) -> None:
        """Open the resources, run the startup steps, attach the consumers, run the background tasks.

        Returns when that is done, or as soon as a dependency turns out to be unavailable; the start then continues
        in the background, and `health` is ready when it is complete.

        Raises:
            ValueError: there are consumers and no bus.
            Exception: what a resource or step raised, when a retry would not help.
        """
        if self.consumers and self.bus is None:
            raise ValueError(f"{self.name} has consumers and no bus: call event_bus() in its wiring")
        self.health.is_draining = False
        self.health.refuse_calls(STARTING)
        self.health.add("startup", self._check_startup)
        obstacle_met = asyncio.Event()
        with lines_of(self.name):  # in every task of it
            self._starting = asyncio.create_task(self._start_all(obstacle_met), name=f"{self.name}:start")
        waiter = asyncio.create_task(obstacle_met.wait())
        await asyncio.wait({self._starting, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if self._starting.done() and self._starting.exception() is not None:
            with lines_of(self.name):
                await self._stop_resources()
            self._starting.result()

    async def stop(self) -> None:
        """Drain: become unready, end the background tasks, close the resources in reverse."""
        has_begun = self._starting is not None
        with lines_of(self.name):
            await self._stop_all()
        if has_begun:
            self.logger.info("service_stopped")

    async def _stop_all(self) -> None:
        self.health.is_draining = True
        starting = [self._starting] if self._starting is not None else []
        for task in (*starting, *self._tasks):
            task.cancel()
        await asyncio.gather(*starting, *self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._starting = None
        await self._stop_resources()
        await self.tracing.stop()

    @property
    def is_failed(self) -> bool:
        """Whether a start that continued in the background met an error that a retry does not help."""
        starting = self._starting
        return (
            starting is not None
            and starting.done()
            and not starting.cancelled()
            and starting.exception() is not None
        )

    async def _start_all(self, obstacle_met: asyncio.Event) -> None:
        # The bus last: its handlers use the other resources, and it must be the first to stop.
        own_bus: list[Resource] = [] if self.bus is None or self.is_bus_shared else [self.bus]
        try:
            for resource in (*self.resources, *own_bus):
                await self._retry(type(resource).__name__, resource.start, obstacle_met)
                self._started.append(resource)
            for name, step in self.startup_steps:
                await self._retry(name, step, obstacle_met)
            if self.bus is not None:
                with use_trace(tracing=self.tracing):  # which the bus uses for the handlers
                    for consumer in self.consumers:
                        await self.bus.consume(consumer.subscription(self.name), consumer.handler(self.name))
        except ServiceFailed as error:
            self._start_obstacle = f"failed to start: {error}"
            self.logger.error("service_start_failed", reason=str(error))  # noqa: TRY400 - a sentence, no bug
            raise
        except Exception as error:
            self._start_obstacle = f"failed to start: {type(error).__name__}: {error}"
            self.logger.exception("service_start_failed")
            raise
        for name, work in self.background_tasks:
            self._tasks.append(asyncio.create_task(self._supervise(name, work), name=f"{self.name}:{name}"))
        self._start_obstacle = ""
        self.health.accept_calls()
        self.logger.info("service_started", version=self.version)

    async def _retry(self, what: str, step: Step, obstacle_met: asyncio.Event) -> None:
        wait_s = FIRST_RETRY_S
        while True:
            try:
                await step()
            except (Unavailable, StorageFull, OSError) as error:
                self._start_obstacle = f"{what}: {error}"
                self.logger.warning("start_retried", waits_for=what, reason=str(error), retry_in_s=wait_s)
                obstacle_met.set()
                await asyncio.sleep(_jittered(wait_s))
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
            else:
                return

    async def _check_startup(self) -> CheckResult:
        reason = self.health.refusal_reason
        return CheckResult(ok=reason is None, detail=self._start_obstacle or reason or "")

    async def _supervise(self, name: str, work: Step) -> None:
        wait_s = FIRST_RETRY_S
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                with use_trace(tracing=self.tracing):
                    await work()
            except Exception:
                self._crashes.labels(name).inc()
                self.logger.exception("background_task_crashed", task=name)
            else:
                return
            wait_s = FIRST_RETRY_S if loop.time() - began >= STABLE_AFTER_S else wait_s
            await asyncio.sleep(_jittered(wait_s))
            wait_s = min(wait_s * 2, LONGEST_RETRY_S)

    async def _stop_resources(self) -> None:
        while self._started:
            resource = self._started.pop()
            try:
                await resource.stop()
            except Exception:
                # The others still have to be closed.
                self.logger.exception("resource_stop_failed", resource=type(resource).__name__)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, keeps no secret
