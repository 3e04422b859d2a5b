"""The one place where networks run: a thread of its own, a bounded queue, micro-batches."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from kit.errors import FieldError, Invalid, Unavailable
from kit.health import CheckResult
from kit.logging import Logger
from kit.metrics import Metrics
from plate_ocr.adapters.onnx import ModelMissing
from plate_ocr.domain.admission import Purpose, Verdict, admit, first
from plate_ocr.domain.engines import PlateEngine, Settled
from plate_ocr.domain.values import Picture, PictureReading
from plate_ocr.settings import InferenceSettings

QUEUE_FULL = "queue_full"
_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)


class PictureDropped(Unavailable):
    """The queue was full, and this snapshot or video frame made room for another. It is not to be tried again."""

    default_code = "dropped"


class RegionUnknown(Invalid):
    """Plates may come from there, says the caller, and the engine does not know it."""

    default_code = "region_unknown"


@dataclass(slots=True)
class _Job:
    picture: Picture
    purpose: Purpose
    regions: tuple[str, ...]
    settled: Settled | None
    done: asyncio.Future[PictureReading]
    queued_at: float = field(default_factory=time.perf_counter)


class InferenceWorker:
    """A resource of the service: `start` begins to load the engine and returns, `ready` tells how far it is."""

    def __init__(
        self,
        settings: InferenceSettings,
        open_engine: Callable[[], PlateEngine],
        logger: Logger,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._open_engine = open_engine
        self._logger = logger
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._queue: list[_Job] = []
        # Who waits for a place in the queue. Bounded by those who ask: the bus's handlers and the streams' windows.
        self._outside: list[_Job] = []
        self._arrived = asyncio.Event()
        self._engine: PlateEngine | None = None
        self._missing = ""
        self._loaded = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._batch_size = metrics.histogram(
            "batch_pictures", "pictures read in one go", buckets=(1, 2, 4, 8, 16, 32)
        )
        self._stage = metrics.histogram(
            "stage_seconds", "time of a stage for one picture", ("stage",), buckets=_SECONDS_BUCKETS
        )
        self._refused = metrics.counter("pictures_refused_total", "calls refused because the queue was full")
        self._dropped = metrics.counter(
            "pictures_dropped_total", "frames dropped because the queue was full", ("purpose",)
        )
        self._waiting = metrics.gauge("pictures_waiting", "pictures in the queue")

    def note_decoded(self, seconds: float) -> None:
        """Keep the time of the stage before this one."""
        self._stage.labels("decode").observe(seconds)

    @property
    def has_vehicle_detector(self) -> bool:
        """Whether the engine looks for vehicles at all."""
        return self._engine is not None and self._engine.has_vehicle_detector

    @property
    def waiting(self) -> int:
        """Pictures in the queue."""
        return len(self._queue)

    @property
    def engine_name(self) -> str:
        """Empty while it is loading."""
        return self._engine.name if self._engine is not None else ""

    async def start(self) -> None:
        """Begin to load; frames wait meanwhile, and readiness says so."""
        self._task = asyncio.create_task(self._run(), name="plate-ocr:inference")

    async def stop(self) -> None:
        """End the thread; what still waits is refused."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for job in (*self._queue, *self._outside):
            self._give_back(job)
        self._queue, self._outside = [], []
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def ready(self) -> CheckResult:
        """Whether pictures can be read."""
        if self._engine is not None:
            return CheckResult(ok=True, detail=self._engine.name)
        return CheckResult(ok=False, detail=self._missing or "loading")

    async def read(
        self,
        picture: Picture,
        *,
        waits: bool,
        purpose: Purpose = Purpose.CALL,
        regions: tuple[str, ...] = (),
        settled: Settled | None = None,
    ) -> PictureReading:
        """Read one picture, together with others that come at the same time.

        `waits`: for a place in the queue and for the engine, however long; a frame from the bus has time.
        `purpose`: entries and exits go first; in a full queue the oldest snapshot or video frame is dropped.
        `regions`: those that the plates may come from, none for any. `settled`: which plates need not be read.

        Raises:
            RegionUnknown: the engine has no such region.
            PictureDropped: a snapshot or video frame for which the full queue had no place.
            Unavailable: there is no engine (yet), or the queue is full and the caller does not wait.
        """
        if waits and not self._missing:
            await self._loaded.wait()
        if self._engine is None:
            raise Unavailable(
                f"the engine is not there: {self._missing or 'loading'}",
                code="engine_missing",
                retry_after_s=self._settings.retry_after_s,
            )
        if unknown := sorted(set(regions) - self._engine.known_regions):
            raise RegionUnknown(
                f"There is no grammar for {', '.join(unknown)}.",
                errors=(FieldError("regions", f"no grammar for {', '.join(unknown)}"),),
            )
        job = _Job(picture, purpose, regions, settled, asyncio.get_running_loop().create_future())
        self._admit(job, waits=waits)
        reading = await job.done
        for stage, milliseconds in _stages(reading):
            self._stage.labels(stage).observe(milliseconds / 1000)
        self._stage.labels("whole").observe(time.perf_counter() - job.queued_at)
        return reading

    def _admit(self, job: _Job, *, waits: bool) -> None:
        # Who has left takes no place, and nobody is dropped for its sake.
        self._queue = [one for one in self._queue if not one.done.done()]
        self._let_in()
        queue = [one.purpose for one in self._queue]
        admission = admit(queue, job.purpose, room=self._settings.queue_size, waits=waits)
        if admission.drop is not None:
            self._drop(self._queue.pop(admission.drop))
        match admission.verdict:
            case Verdict.ENTER:
                self._queue.append(job)
                self._arrived.set()
            case Verdict.WAIT:
                self._outside.append(job)
            case Verdict.DROP:
                self._drop(job)
            case Verdict.REFUSE:
                self._refused.inc()
                raise Unavailable(
                    f"{self._settings.queue_size} pictures wait already",
                    code=QUEUE_FULL,
                    retry_after_s=self._settings.retry_after_s,
                )
        self._waiting.set(len(self._queue))

    def _drop(self, job: _Job) -> None:
        self._dropped.labels(job.purpose.value).inc()
        job.done.set_exception(
            PictureDropped(
                f"{self._settings.queue_size} pictures waited, and this {job.purpose.value} frame was the oldest"
                " that may be dropped"
            )
        )

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._engine = await loop.run_in_executor(self._thread, self._open)
        except Exception as error:
            # Whatever an engine's own code raises: the service stays up and readiness tells why it cannot read.
            self._missing = str(error) or type(error).__name__
            self._logger.warning(
                "engine_missing", reason=self._missing, exc_info=not isinstance(error, ModelMissing)
            )
            self._loaded.set()
            return
        self._logger.info("engine_ready", engine=self._engine.name)
        self._loaded.set()
        while True:
            batch = await self._gather()
            self._batch_size.observe(len(batch))
            now = time.perf_counter()
            for job in batch:
                self._stage.labels("queue").observe(now - job.queued_at)
            await self._read_batch(self._engine, batch)

    def _open(self) -> PlateEngine:
        """The engine, and one picture read with it: what is set up at the first run (memory, kernels of a GPU,
        TensorRT's engines) is done before the first real picture comes.
        """
        engine = self._open_engine()
        if self._settings.is_warm_start:
            engine.read([_specimen()])
        return engine

    def _give_back(self, job: _Job) -> None:
        if not job.done.done():
            job.done.set_exception(
                Unavailable("the reader is stopping", retry_after_s=self._settings.retry_after_s)
            )

    async def _gather(self) -> list[_Job]:
        """The next batch, never empty."""
        batch: list[_Job] = []
        try:
            await self._fill(batch)
        except asyncio.CancelledError:
            for job in batch:
                self._give_back(job)
            raise
        self._waiting.set(len(self._queue))
        return batch

    async def _fill(self, batch: list[_Job]) -> None:
        """Who comes within `max_wait_ms` of the first joins it."""
        deadline = 0.0
        while len(batch) < self._settings.max_batch:
            if (job := self._take()) is not None:
                deadline = deadline or time.perf_counter() + self._settings.max_wait_ms / 1000
                batch.append(job)
                continue
            self._arrived.clear()
            if not batch:
                await self._arrived.wait()
                continue
            left_s = deadline - time.perf_counter()
            if left_s <= 0:
                return
            try:
                async with asyncio.timeout(left_s):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def _take(self) -> _Job | None:
        """Whose turn it is; who has left is passed over."""
        while self._queue:
            job = self._queue.pop(first([one.purpose for one in self._queue]))
            self._let_in()
            if not job.done.done():
                return job
        return None

    def _let_in(self) -> None:
        """Those outside take the free places, in the order in which they would be read."""
        while self._outside and len(self._queue) < self._settings.queue_size:
            self._queue.append(self._outside.pop(first([one.purpose for one in self._outside])))

    async def _read_batch(self, engine: PlateEngine, batch: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        try:
            readings = await loop.run_in_executor(
                self._thread,
                engine.read,
                [job.picture for job in batch],
                [job.regions for job in batch],
                [job.settled for job in batch],
            )
        except asyncio.CancelledError:
            for job in batch:
                self._give_back(job)
            raise
        except Exception as error:
            if len(batch) > 1:
                # One of them is the culprit: each by itself, so that it fails alone.
                for job in batch:
                    await self._read_batch(engine, [job])
                return
            self._logger.exception("picture_not_read", shape=batch[0].picture.shape)
            if not batch[0].done.done():
                batch[0].done.set_exception(error)
            return
        for job, reading in zip(batch, readings, strict=True):
            if not job.done.done():
                job.done.set_result(reading)


def _stages(reading: PictureReading) -> tuple[tuple[str, float], ...]:
    """What the engine tells of its time: stage and milliseconds."""
    return (("detect", reading.detect_ms), ("recognize", reading.recognize_ms), *reading.stages)


def _specimen() -> Picture:
    """A plate on grey, 1280 x 720: every network gets something to do."""
    picture = np.full((720, 1280, 3), 96, np.uint8)
    cv2.rectangle(picture, (520, 340), (760, 400), (245, 245, 245), cv2.FILLED)
    cv2.putText(picture, "D 71026", (540, 384), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (20, 20, 20), 4)
    return picture
