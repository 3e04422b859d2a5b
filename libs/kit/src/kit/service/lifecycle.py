"""A service's life: start its parts in order, serve, say when it is ready, drain, stop.

A dependency that is away at the start does not end the process: the listeners open, readiness says what is
missing, calls get a 503, and the start goes on in the background until everything is there.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from starlette.types import ASGIApp

from kit.bus import Bus, EventConsumer, EventSource
from kit.clock import Clock
from kit.errors import StorageFull, Unavailable
from kit.health import CheckResult, Health
from kit.logging import Logger
from kit.metrics import Metrics
from kit.settings import ServiceSettings
from kit.tracing import NO_TRACING, Tracing, use_trace

# How patient the start and the background tasks are with what fails: doubling waits, with jitter.
FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 15.0
# A task that ran this long before it crashed starts again at once, as if it were its first crash.
STEADY_S = 60.0

STARTING = "the service is still starting"


class Resource(Protocol):
    """What is opened before the service works and closed after: a database, a blob store, a bus, a model."""

    async def start(self) -> None:
        """Open it. `Unavailable` or OSError: tried again later; anything else ends the process."""
        ...

    async def stop(self) -> None:
        """Close it; work in hand is finished first."""
        ...


@dataclass(kw_only=True)
class Service:
    """All parts of one service, put together by its `wiring.build`.

    `resources` start in order and stop in reverse. A bus of the service's own stands among them, as the last:
    its handlers use the others; a bus that is shared with other services is started by who made it. `migrate`
    brings the schema up to date and is repeated until the database is there; consumers and background tasks
    begin after it. `background` tasks run until the service stops; one that crashes is started again.
    """

    name: str
    version: str
    settings: ServiceSettings
    logger: Logger
    metrics: Metrics
    health: Health
    clock: Clock
    app: ASGIApp
    resources: list[Resource] = field(default_factory=list)
    migrate: Callable[[], Awaitable[None]] | None = None
    bus: Bus | None = None
    consumers: Sequence[EventConsumer[Any]] = ()
    publishes: EventSource | None = None
    background: list[tuple[str, Callable[[], Awaitable[None]]]] = field(default_factory=list)
    register_grpc: Callable[[grpc.aio.Server], None] | None = None
    tracing: Tracing = NO_TRACING

    def __post_init__(self) -> None:
        if self.consumers and self.bus is None:
            raise ValueError(f"{self.name} has consumers and no bus")
        self._crashes = self.metrics.counter(
            "background_crashes_total", "background tasks that ended with an error", ("task",)
        )
        self._started: list[Resource] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._starting: asyncio.Task[None] | None = None
        self._last_obstacle = ""

    async def start(self) -> None:
        """Open the resources, migrate, attach the consumers, run the background tasks.

        Returns when that is done, or as soon as a dependency turns out to be away; the start then goes on by
        itself, and `health` tells when it is through.

        Raises:
            Exception: what a resource or the migration raised, when waiting would not mend it.
        """
        self.health.is_draining = False
        self.health.refuse_calls(STARTING)
        self.health.add("startup", self._startup)
        obstacle_met = asyncio.Event()
        self._starting = asyncio.create_task(self._start_all(obstacle_met), name=f"{self.name}:start")
        waiter = asyncio.create_task(obstacle_met.wait())
        await asyncio.wait({self._starting, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if self._starting.done() and self._starting.exception() is not None:
            await self._stop_resources()
            self._starting.result()

    async def stop(self) -> None:
        """Drain: turn unready, end the background tasks, close the resources in reverse."""
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
        """Whether a start that went on in the background met an error that waiting does not mend."""
        starting = self._starting
        return (
            starting is not None
            and starting.done()
            and not starting.cancelled()
            and starting.exception() is not None
        )

    async def _start_all(self, obstacle_met: asyncio.Event) -> None:
        try:
            for resource in self.resources:
                await self._persist(type(resource).__name__, resource.start, obstacle_met)
                self._started.append(resource)
            if self.migrate is not None:
                await self._persist("migrations", self.migrate, obstacle_met)
            if self.bus is not None:
                with use_trace(tracing=self.tracing):  # which the bus takes over for what the handlers do
                    for consumer in self.consumers:
                        await self.bus.consume(consumer.subscription(self.name), consumer.handler(self.name))
        except Exception as error:
            self._last_obstacle = f"failed to start: {type(error).__name__}: {error}"
            self.logger.exception("service_start_failed")
            raise
        for name, work in self.background:
            self._tasks.append(asyncio.create_task(self._supervise(name, work), name=f"{self.name}:{name}"))
        self._last_obstacle = ""
        self.health.accept_calls()
        self.logger.info("service_started", version=self.version, mode=self.settings.mode)

    async def _persist(
        self, what: str, step: Callable[[], Awaitable[None]], obstacle_met: asyncio.Event
    ) -> None:
        wait_s = FIRST_RETRY_S
        while True:
            try:
                await step()
            except (Unavailable, StorageFull, OSError) as error:
                self._last_obstacle = f"{what}: {error}"
                self.logger.warning("start_waits", waits_for=what, reason=str(error), retry_in_s=wait_s)
                obstacle_met.set()
                await asyncio.sleep(_jittered(wait_s))
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
            else:
                return

    async def _startup(self) -> CheckResult:
        held = self.health.refusal_reason
        return CheckResult(ok=held is None, detail=self._last_obstacle or held or "")

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
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
            wait_s = FIRST_RETRY_S if loop.time() - began >= STEADY_S else wait_s
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
