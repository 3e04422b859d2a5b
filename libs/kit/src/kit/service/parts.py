"""Small parts that services add to their lifecycle: periodic jobs and thread pools."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from kit.errors import LookoutError
from kit.logging import Logger
from kit.metrics import Metrics
from kit.threads import thread_pool
from kit.tracing import Tracing, use_trace

Work = Callable[[], Awaitable[Any]]


class PeriodicJob:
    """Runs `work` at once and then every `interval_s`, with 10 % jitter, until cancelled.

    A run that fails is logged and counted, and the next one follows after the usual interval.
    """

    def __init__(
        self, name: str, interval_s: float, work: Work, logger: Logger, metrics: Metrics, tracing: Tracing
    ) -> None:
        self._name = name
        self._interval_s = interval_s
        self._work = work
        self._logger = logger
        self._tracing = tracing
        self._runs = metrics.counter(
            "periodic_job_runs_total", "runs of periodic jobs by result: ok, failed", ("job", "result")
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with use_trace(tracing=self._tracing):
                await self._run_once()
            jitter = random.uniform(0.9, 1.1)  # noqa: S311 - spreads the replicas' runs, keeps no secret
            await asyncio.sleep(self._interval_s * jitter)

    async def _run_once(self) -> None:
        result = "failed"
        try:
            await self._work()
        except (
            LookoutError
        ) as error:  # a dependency is unavailable; no traceback for what its own check reports
            self._logger.warning("periodic_job_failed", job=self._name, reason=str(error))
        except Exception:
            self._logger.exception("periodic_job_failed", job=self._name)
        else:
            result = "ok"
        self._runs.labels(self._name, result).inc()


class ThreadPool:
    """A thread pool for blocking work, closed with the service: running work is finished, waiting work dropped."""

    def __init__(self, name: str, threads: int, *, niceness: int = 0) -> None:
        self.executor = thread_pool(name, threads, niceness=niceness)

    async def start(self) -> None:
        """Nothing: threads start when there is work."""

    async def stop(self) -> None:
        """Wait for the running work without blocking the event loop."""
        await asyncio.to_thread(self.executor.shutdown, cancel_futures=True)
