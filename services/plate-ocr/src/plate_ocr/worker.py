"""The one place where networks run: a thread of its own, a bounded queue, micro-batches."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kit.errors import Unavailable
from kit.health import Fact
from kit.logging import Logger
from kit.metrics import Metrics
from plate_ocr.adapters.onnx import ModelMissing
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.domain.values import Picture, PictureReading
from plate_ocr.settings import InferenceSettings

QUEUE_FULL = "queue_full"
_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)


@dataclass(slots=True)
class _Job:
    picture: Picture
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
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(settings.queue_size)
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
        return self._queue.qsize()

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
        while not self._queue.empty():
            self._give_back(self._queue.get_nowait())
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def ready(self) -> Fact:
        """Whether pictures can be read."""
        if self._engine is not None:
            return Fact(ok=True, detail=self._engine.name)
        return Fact(ok=False, detail=self._missing or "loading")

    async def read(self, picture: Picture, *, waits: bool) -> PictureReading:
        """Read one picture, together with others that come at the same time.

        `waits`: for a place in the queue and for the engine, however long; a frame from the bus has time.

        Raises:
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
        job = _Job(picture, asyncio.get_running_loop().create_future())
        if waits:
            await self._queue.put(job)
        else:
            self._put_or_refuse(job)
        self._waiting.set(self._queue.qsize())
        reading = await job.done
        self._stage.labels("detect").observe(reading.detect_ms / 1000)
        self._stage.labels("recognize").observe(reading.recognize_ms / 1000)
        self._stage.labels("whole").observe(time.perf_counter() - job.queued_at)
        return reading

    def _put_or_refuse(self, job: _Job) -> None:
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            self._refused.inc()
            raise Unavailable(
                f"{self._settings.queue_size} pictures wait already",
                code=QUEUE_FULL,
                retry_after_s=self._settings.retry_after_s,
            ) from None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._engine = await loop.run_in_executor(self._thread, self._open_engine)
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

    def _give_back(self, job: _Job) -> None:
        if not job.done.done():
            job.done.set_exception(
                Unavailable("the reader is stopping", retry_after_s=self._settings.retry_after_s)
            )

    async def _gather(self) -> list[_Job]:
        batch = [await self._queue.get()]
        deadline = time.perf_counter() + self._settings.max_wait_ms / 1000
        while len(batch) < self._settings.max_batch:
            if self._queue.empty():
                left_s = deadline - time.perf_counter()
                if left_s <= 0:
                    break
                try:
                    async with asyncio.timeout(left_s):
                        batch.append(await self._queue.get())
                except TimeoutError:
                    break
            else:
                batch.append(self._queue.get_nowait())
        self._waiting.set(self._queue.qsize())
        return [job for job in batch if not job.done.cancelled()]

    async def _read_batch(self, engine: PlateEngine, batch: list[_Job]) -> None:
        if not batch:
            return
        loop = asyncio.get_running_loop()
        try:
            readings = await loop.run_in_executor(self._thread, engine.read, [job.picture for job in batch])
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
