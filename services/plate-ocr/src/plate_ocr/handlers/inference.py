"""Runs the engine: on a thread of its own, behind a bounded queue, in micro-batches."""

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

from kit.errors import FieldError, Invalid, Unavailable
from kit.health import CheckResult
from kit.logging import Logger
from kit.memory import return_large_blocks, sparing_memory
from kit.threads import thread_pool
from kit.tracing import record_span, span
from plate_ocr.domain.admission import Decision, Purpose, admit, next_index
from plate_ocr.domain.engines import ModelError, PlateEngine, SkipPlate
from plate_ocr.domain.values import Picture, PictureReading
from plate_ocr.metrics import PlateOcrMetrics
from plate_ocr.settings import InferenceSettings

QUEUE_FULL = "queue_full"
LARGE_PICTURES_BYTES = 12_000_000
"""Of a batch, decoded: 4 million pixels."""


class PictureDropped(Unavailable):
    """A snapshot or video frame was dropped because the queue was full. The caller should not retry it."""

    default_code = "dropped"


class RegionUnknown(Invalid):
    """The engine has no grammar for a region that the caller names."""

    default_code = "region_unknown"


@dataclass(slots=True)
class _Job:
    picture: Picture
    purpose: Purpose
    regions: tuple[str, ...]
    skip: SkipPlate | None
    done: asyncio.Future[PictureReading]
    queued_at: float = field(default_factory=time.perf_counter)
    started_at: float = 0.0


class InferenceWorker:
    """A resource of the service: `start` begins to load the engine and returns, `ready` says whether it is loaded.

    `warm_up`: a picture that is read once after loading, so that memory, GPU kernels and TensorRT engines are set up
    before the first real picture; None for none. `is_lazy`: the engine is loaded at the first picture, which waits for
    it. `niceness`: of the engine's thread.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        open_engine: Callable[[], PlateEngine],
        logger: Logger,
        metrics: PlateOcrMetrics,
        warm_up: Picture | None = None,
        *,
        is_lazy: bool = False,
        niceness: int = 0,
    ) -> None:
        self._settings = settings
        self._open_engine = open_engine
        self._logger = logger
        self._metrics = metrics
        self._warm_up = warm_up
        self._is_lazy = is_lazy
        self._thread = thread_pool("inference", 1, niceness=niceness)
        self._queue: list[_Job] = []
        # Jobs that wait for a place in the queue; their callers bound them (bus handlers, stream windows).
        self._overflow: list[_Job] = []
        self._has_jobs = asyncio.Event()
        self._engine: PlateEngine | None = None
        self._load_error = ""
        self._load_done = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def has_vehicle_detector(self) -> bool:
        """Whether the engine detects vehicles."""
        return self._engine is not None and self._engine.has_vehicle_detector

    @property
    def queue_length(self) -> int:
        """Pictures in the queue."""
        return len(self._queue)

    @property
    def engine_name(self) -> str:
        """Empty while the engine is loading."""
        return self._engine.name if self._engine is not None else ""

    async def start(self) -> None:
        """Begin to load the engine; until it is there, frames wait and calls are refused."""
        if not self._is_lazy:
            self._begin()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._run(), name="plate-ocr:inference")

    async def stop(self) -> None:
        """Stop the thread; jobs that still wait are refused."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for job in (*self._queue, *self._overflow):
            self._reject(job)
        self._queue, self._overflow = [], []
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def ready(self) -> CheckResult:
        """Whether pictures can be read."""
        if self._engine is not None:
            return CheckResult(ok=True, detail=self._engine.name)
        if self._is_lazy and self._task is None:
            return CheckResult(ok=True, detail="loaded at the first call")
        return CheckResult(ok=False, detail=self._load_error or "loading")

    def check_place(self, purpose: Purpose, *, can_wait: bool) -> None:
        """Before a picture is decoded: refuse it where `read` would refuse it now.

        Raises:
            Unavailable: the queue is full and the caller does not wait.
        """
        waiting = [one.purpose for one in self._queue if not one.done.done()]
        capacity = self._settings.queue_size
        if admit(waiting, purpose, capacity=capacity, can_wait=can_wait).decision is Decision.REFUSE:
            raise self._queue_full()

    def _queue_full(self) -> Unavailable:
        self._metrics.refused_pictures.inc()
        return Unavailable(
            f"the queue is full: {self._settings.queue_size} pictures wait",
            code=QUEUE_FULL,
            retry_after_s=self._settings.retry_after_s,
        )

    async def read(
        self,
        picture: Picture,
        *,
        can_wait: bool,
        purpose: Purpose = Purpose.CALL,
        regions: tuple[str, ...] = (),
        skip: SkipPlate | None = None,
    ) -> PictureReading:
        """Read one picture, in a batch with others that arrive at the same time.

        `can_wait`: the caller waits for the engine to load and for a place in the queue, however long.
        `purpose`: entries and exits are read first; from a full queue the oldest snapshot or video frame is dropped.
        `regions`: those that the plates may come from, none for any. `skip`: which plates need no reading.

        Raises:
            RegionUnknown: the engine has no such region.
            PictureDropped: a snapshot or video frame that the full queue had no place for.
            Unavailable: the engine is not loaded, or the queue is full and the caller does not wait.
        """
        if self._is_lazy and self._task is None:
            self._begin()
        if (can_wait or self._is_lazy) and not self._load_error:
            await self._load_done.wait()
        if self._engine is None:
            raise Unavailable(
                f"the plate engine is not loaded: {self._load_error or 'loading'}",
                code="engine_missing",
                retry_after_s=self._settings.retry_after_s,
            )
        if unknown := sorted(set(regions) - self._engine.known_regions):
            raise RegionUnknown(
                f"There is no grammar for {', '.join(unknown)}.",
                errors=(FieldError("regions", f"no grammar for {', '.join(unknown)}"),),
            )
        job = _Job(picture, purpose, regions, skip, asyncio.get_running_loop().create_future())
        with span("inference"):
            self._admit(job, can_wait=can_wait)
            reading = await job.done
            _record_spans(job, reading)
        for stage, elapsed_ms in _stage_times(reading):
            self._metrics.stage_seconds.labels(stage).observe(elapsed_ms / 1000)
        self._metrics.stage_seconds.labels("whole").observe(time.perf_counter() - job.queued_at)
        return reading

    def _admit(self, job: _Job, *, can_wait: bool) -> None:
        # Cancelled jobs take no place, and no other job is dropped because of them.
        self._queue = [one for one in self._queue if not one.done.done()]
        self._refill_queue()
        purposes = [one.purpose for one in self._queue]
        admission = admit(purposes, job.purpose, capacity=self._settings.queue_size, can_wait=can_wait)
        if admission.drop_index is not None:
            self._drop(self._queue.pop(admission.drop_index))
        match admission.decision:
            case Decision.ENQUEUE:
                self._queue.append(job)
                self._has_jobs.set()
            case Decision.WAIT:
                self._overflow.append(job)
            case Decision.DROP:
                self._drop(job)
            case Decision.REFUSE:
                raise self._queue_full()
        self._metrics.queued_pictures.set(len(self._queue))

    def _drop(self, job: _Job) -> None:
        self._metrics.dropped_pictures.labels(job.purpose.value).inc()
        job.done.set_exception(
            PictureDropped(
                f"{self._settings.queue_size} pictures waited, and this {job.purpose.value} frame was the oldest"
                " that may be dropped"
            )
        )

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._engine = await loop.run_in_executor(self._thread, self._load)
        except Exception as error:
            # An engine's own code may raise anything; the service stays up and readiness says why it cannot read.
            self._load_error = str(error) or type(error).__name__
            self._logger.warning(
                "engine_load_failed", reason=self._load_error, exc_info=not isinstance(error, ModelError)
            )
            self._load_done.set()
            return
        self._logger.info("engine_ready", engine=self._engine.name)
        self._load_done.set()
        while True:
            batch = await self._next_batch()
            self._metrics.batch_pictures.observe(len(batch))
            now = time.perf_counter()
            for job in batch:
                job.started_at = now
                self._metrics.stage_seconds.labels("queue").observe(now - job.queued_at)
            await self._read_batch(self._engine, batch)

    def _load(self) -> PlateEngine:
        return_large_blocks()
        engine = self._open_engine()
        if self._warm_up is not None:
            engine.read([self._warm_up])
        return engine

    def _reject(self, job: _Job) -> None:
        if not job.done.done():
            job.done.set_exception(
                Unavailable("plate-ocr is stopping", retry_after_s=self._settings.retry_after_s)
            )

    async def _next_batch(self) -> list[_Job]:
        """At least one job."""
        batch: list[_Job] = []
        try:
            await self._fill(batch)
        except asyncio.CancelledError:
            for job in batch:
                self._reject(job)
            raise
        self._metrics.queued_pictures.set(len(self._queue))
        return batch

    async def _fill(self, batch: list[_Job]) -> None:
        """Add jobs until the batch is full, or `max_batch_wait_ms` have passed since the first."""
        deadline = 0.0
        while len(batch) < self._settings.max_batch_pictures:
            if (job := self._pop()) is not None:
                deadline = deadline or time.perf_counter() + self._settings.max_batch_wait_ms / 1000
                batch.append(job)
                continue
            self._has_jobs.clear()
            if not batch:
                await self._has_jobs.wait()
                continue
            left_s = deadline - time.perf_counter()
            if left_s <= 0:
                return
            try:
                async with asyncio.timeout(left_s):
                    await self._has_jobs.wait()
            except TimeoutError:
                return

    def _pop(self) -> _Job | None:
        """The job to read next, cancelled ones left out; None when the queue is empty."""
        while self._queue:
            job = self._queue.pop(next_index([one.purpose for one in self._queue]))
            self._refill_queue()
            if not job.done.done():
                return job
        return None

    def _refill_queue(self) -> None:
        """Move jobs from the overflow to free places of the queue, in the order in which they would be read."""
        while self._overflow and len(self._queue) < self._settings.queue_size:
            self._queue.append(self._overflow.pop(next_index([one.purpose for one in self._overflow])))

    async def _read_batch(self, engine: PlateEngine, batch: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        try:
            readings = await loop.run_in_executor(
                self._thread,
                read_pictures,
                engine,
                [job.picture for job in batch],
                [job.regions for job in batch],
                [job.skip for job in batch],
            )
        except asyncio.CancelledError:
            for job in batch:
                self._reject(job)
            raise
        except Exception as error:
            if len(batch) > 1:
                # One picture of the batch is the cause: each is read by itself, so that only that one fails.
                for job in batch:
                    await self._read_batch(engine, [job])
                return
            self._logger.exception("picture_read_failed", shape=batch[0].picture.shape)
            if not batch[0].done.done():
                batch[0].done.set_exception(error)
            return
        for job, reading in zip(batch, readings, strict=True):
            if not job.done.done():
                job.done.set_result(reading)


def read_pictures(
    engine: PlateEngine,
    pictures: list[Picture],
    regions: list[tuple[str, ...]],
    skip: list[SkipPlate | None],
) -> list[PictureReading]:
    """As `PlateEngine.read`; while large pictures are in memory, the networks use as little of it as they can."""
    is_large = sum(picture.size for picture in pictures) >= LARGE_PICTURES_BYTES
    with sparing_memory() if is_large else nullcontext():
        return engine.read(pictures, regions, skip)


def _record_spans(job: _Job, reading: PictureReading) -> None:
    """Queue and stages as spans, one after the other: the thread measured how long each took, not when it began."""
    ago_s = time.perf_counter() - job.started_at
    record_span("queue", job.started_at - job.queued_at, ended_ago_s=ago_s)
    for stage, elapsed_ms in _stage_times(reading):
        ago_s = max(0.0, ago_s - elapsed_ms / 1000)
        record_span(stage, elapsed_ms / 1000, ended_ago_s=ago_s)


def _stage_times(reading: PictureReading) -> tuple[tuple[str, float], ...]:
    """Stage and milliseconds, as the engine measured them."""
    return (("detect", reading.detect_ms), ("recognize", reading.recognize_ms), *reading.stages)
