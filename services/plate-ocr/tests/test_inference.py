"""The inference worker: batches, back pressure, loading, errors; with a fake engine."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import structlog

from kit.errors import Unavailable
from kit.metrics import Metrics
from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.engines import ModelError, PlateEngine, SkipPlate
from plate_ocr.domain.values import Box, Picture, PictureReading, PlateReading
from plate_ocr.handlers.inference import QUEUE_FULL, InferenceWorker, PictureDropped
from plate_ocr.metrics import PlateOcrMetrics
from plate_ocr.settings import InferenceSettings
from testkit.waiting import eventually

WAIT_S = 10
ENTRY, EXIT, SNAPSHOT, VIDEO = Purpose.ENTRY, Purpose.EXIT, Purpose.SNAPSHOT, Purpose.VIDEO


class Slow:
    """Answers with the picture's first pixel; waits for `go`; fails on 13."""

    name = "slow"
    has_vehicle_detector = False
    known_regions = frozenset({"ae", "de"})

    def __init__(self, *, is_open: bool = True) -> None:
        self.go = threading.Event()
        self.asked = threading.Event()
        self.batches: list[list[int]] = []
        self.skip: list[SkipPlate | None] = []
        self.threads: set[str] = set()
        if is_open:
            self.go.set()

    def read(
        self,
        pictures: Sequence[Picture],
        regions: Sequence[tuple[str, ...]] = (),
        skip: Sequence[SkipPlate | None] = (),
    ) -> list[PictureReading]:
        self.skip += skip
        self.asked.set()
        assert self.go.wait(WAIT_S)
        numbers = [int(picture[0, 0, 0]) for picture in pictures]
        self.batches.append(numbers)
        self.threads.add(threading.current_thread().name)
        if 13 in numbers:
            raise RuntimeError("unlucky")
        return [
            PictureReading((PlateReading(str(n), str(n), "", "", str(n), 1.0, (), Box(0, 0, 1, 1)),))
            for n in numbers
        ]


def picture(number: int) -> Picture:
    return np.full((2, 2, 3), number, np.uint8)


@asynccontextmanager
async def running(
    open_engine: Callable[[], PlateEngine],
    metrics: Metrics | None = None,
    warm_up: Picture | None = None,
    **settings: Any,
) -> AsyncIterator[InferenceWorker]:
    worker = InferenceWorker(
        InferenceSettings(**settings),
        open_engine,
        structlog.get_logger(),
        PlateOcrMetrics(metrics or Metrics("test")),
        warm_up,
    )
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def read(
    worker: InferenceWorker, number: int, *, can_wait: bool = True, purpose: Purpose = Purpose.CALL
) -> str:
    return (await worker.read(picture(number), can_wait=can_wait, purpose=purpose)).plates[0].text


class Queue:
    """Reads that wait behind one that is being read: number n is the n-th to arrive."""

    def __init__(self, worker: InferenceWorker) -> None:
        self.worker = worker
        self.reads: list[asyncio.Task[str]] = []

    async def add(self, *purposes: Purpose) -> None:
        for purpose in purposes:
            self.reads.append(
                asyncio.create_task(read(self.worker, len(self.reads), purpose=purpose), name=purpose.value)
            )
            await asyncio.sleep(0)

    async def answers(self) -> list[str]:
        found = await asyncio.gather(*self.reads, return_exceptions=True)
        return ["dropped" if isinstance(one, PictureDropped) else str(one) for one in found]


@asynccontextmanager
async def busy(engine: Slow, **settings: Any) -> AsyncIterator[Queue]:
    """A worker that reads one picture at a time, and is busy with the first."""
    async with running(lambda: engine, max_batch_pictures=1, max_batch_wait_ms=0, **settings) as worker:
        await is_loaded(worker)
        queue = Queue(worker)
        await queue.add(Purpose.CALL)
        await eventually(lambda: worker.queue_length == 0, message="the first is being read")
        yield queue


async def is_loaded(worker: InferenceWorker) -> None:
    async def ready() -> bool:
        return (await worker.ready()).ok

    await eventually(ready, message="loaded")


async def test_each_caller_gets_its_own_answer_from_a_batch() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, max_batch_pictures=4) as worker:
        reads = [asyncio.create_task(read(worker, number)) for number in range(9)]
        await eventually(lambda: len(reads) == 9, message="asked")
        await asyncio.sleep(0)
        engine.go.set()
        assert await asyncio.gather(*reads) == [str(number) for number in range(9)]
    assert sorted(number for batch in engine.batches for number in batch) == list(range(9))
    assert max(map(len, engine.batches)) > 1
    assert all(len(batch) <= 4 for batch in engine.batches)
    assert all(name.startswith("inference") for name in engine.threads)


async def test_the_event_loop_is_not_blocked_while_the_engine_works() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine) as worker:
        reading = asyncio.create_task(read(worker, 1))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not reading.done()
        engine.go.set()
        assert await reading == "1"


async def test_a_full_queue_refuses_a_caller_that_does_not_wait() -> None:
    engine = Slow(is_open=False)
    async with running(
        lambda: engine, queue_size=2, max_batch_pictures=1, max_batch_wait_ms=0, retry_after_s=7
    ) as worker:
        await is_loaded(worker)
        waiting = [asyncio.create_task(read(worker, number)) for number in range(3)]

        await eventually(lambda: worker.queue_length == 2, message="full")
        with pytest.raises(Unavailable) as refused:
            await read(worker, 9, can_wait=False)
        assert (refused.value.code, refused.value.retry_after_s) == (QUEUE_FULL, 7)
        patient = asyncio.create_task(read(worker, 5))
        engine.go.set()
        assert await patient == "5"
        assert await asyncio.gather(*waiting) == ["0", "1", "2"]


async def test_one_bad_picture_of_a_batch_fails_alone() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, max_batch_pictures=8) as worker:
        numbers = [11, 12, 13, 14]
        reads = [asyncio.create_task(read(worker, number)) for number in numbers]
        await asyncio.sleep(0)
        engine.go.set()
        found = await asyncio.gather(*reads, return_exceptions=True)
        assert [str(one) for one in found] == ["11", "12", "unlucky", "14"]
        assert await read(worker, 15) == "15"


async def test_frames_wait_for_the_engine_and_calls_are_refused() -> None:
    opened = threading.Event()

    def load() -> PlateEngine:
        assert opened.wait(WAIT_S)
        return Slow()

    async with running(load) as worker:
        fact = await worker.ready()
        assert (fact.ok, fact.detail) == (False, "loading")
        with pytest.raises(Unavailable, match="loading"):
            await read(worker, 1, can_wait=False)
        frame = asyncio.create_task(read(worker, 2))
        opened.set()
        assert await frame == "2"
        fact = await worker.ready()
        assert (fact.ok, fact.detail) == (True, "slow")


@pytest.mark.parametrize(
    "error", [ModelError("no model at /models/x.onnx"), RuntimeError("no such operator")]
)
async def test_readiness_reports_a_missing_model_and_the_worker_stays_up(error: Exception) -> None:
    def load() -> PlateEngine:
        raise error

    async with running(load) as worker:

        async def is_reported() -> bool:
            return str(error) in (await worker.ready()).detail

        await eventually(is_reported, message="reported")
        assert not (await worker.ready()).ok
        for can_wait in (True, False):
            with pytest.raises(Unavailable, match=str(error)):
                await read(worker, 1, can_wait=can_wait)


async def test_callers_that_wait_when_the_worker_stops_are_refused() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, max_batch_pictures=1, max_batch_wait_ms=0) as worker:
        await is_loaded(worker)
        reads = [asyncio.create_task(read(worker, number)) for number in range(3)]
        await eventually(lambda: worker.queue_length == 2, message="two wait")
        engine.go.set()
        await worker.stop()
        found = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(one, Unavailable) or one in {"0", "1", "2"} for one in found)
    assert isinstance(found[-1], Unavailable)


async def test_a_cancelled_picture_is_not_read() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, max_batch_pictures=1, max_batch_wait_ms=0) as worker:
        await is_loaded(worker)
        first = asyncio.create_task(read(worker, 1))
        await eventually(lambda: worker.queue_length == 0, message="the first is being read")
        left = asyncio.create_task(read(worker, 2))
        await eventually(lambda: worker.queue_length == 1, message="the second can_wait")
        left.cancel()
        engine.go.set()
        assert await first == "1"
        assert await read(worker, 3) == "3"
    assert [2] not in engine.batches


async def test_entries_and_exits_are_read_first() -> None:
    engine = Slow(is_open=False)
    async with busy(engine) as queue:
        await queue.add(SNAPSHOT, VIDEO, EXIT, Purpose.CALL, ENTRY)
        engine.go.set()
        await queue.answers()
    assert engine.batches == [[0], [3], [5], [1], [2], [4]]


async def test_a_full_queue_drops_the_oldest_snapshots_and_videos_and_counts_them() -> None:
    engine, metrics = Slow(is_open=False), Metrics("test")
    async with busy(engine, queue_size=3, metrics=metrics) as queue:
        await queue.add(SNAPSHOT, ENTRY, VIDEO)  # full
        await queue.add(SNAPSHOT)  # takes the place of 1
        await queue.add(EXIT)  # takes the place of 3
        await queue.add(ENTRY)  # takes the place of 4
        await queue.add(VIDEO)  # nothing is droppable: dropped itself
        engine.go.set()
        assert await queue.answers() == ["0", "dropped", "2", "dropped", "dropped", "5", "6", "dropped"]
    shown = metrics.render().decode()
    assert 'pictures_dropped_total{purpose="snapshot"} 2.0' in shown
    assert 'pictures_dropped_total{purpose="video"} 2.0' in shown
    assert 'purpose="entry"' not in shown


async def test_entries_wait_outside_a_full_queue_and_none_is_lost() -> None:
    engine = Slow(is_open=False)
    async with busy(engine, queue_size=2) as queue:
        await queue.add(*[ENTRY, EXIT] * 5)
        assert queue.worker.queue_length == 2
        engine.go.set()
        assert await queue.answers() == [str(number) for number in range(11)]
    assert engine.batches == [[number] for number in range(11)]


async def test_a_dropped_picture_raises_picture_dropped() -> None:
    engine = Slow(is_open=False)
    async with busy(engine, queue_size=1) as queue:
        await queue.add(ENTRY)
        with pytest.raises(PictureDropped, match="1 pictures waited, and this video frame") as dropped:
            await read(queue.worker, 9, purpose=VIDEO)
        assert dropped.value.code == "dropped"
        engine.go.set()
        await queue.answers()


async def test_a_cancelled_picture_frees_its_place_and_none_is_dropped_for_it() -> None:
    engine = Slow(is_open=False)
    async with busy(engine, queue_size=2) as queue:
        await queue.add(SNAPSHOT, VIDEO)
        queue.reads[2].cancel()
        await queue.add(ENTRY)
        engine.go.set()
        assert await queue.answers() == ["0", "1", "", "3"]


async def test_the_engine_gets_the_skip_function_of_each_picture() -> None:
    def known(_: Picture, __: Box) -> bool:
        return True

    engine = Slow()
    async with running(lambda: engine) as worker:
        await asyncio.gather(
            worker.read(picture(1), can_wait=True, skip=known), worker.read(picture(2), can_wait=True)
        )
    assert sorted(engine.skip, key=bool) == [None, known]


async def test_the_engine_reads_the_warm_up_picture_first() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, warm_up=picture(0)) as worker:
        await eventually(engine.asked.is_set, message="it reads")
        assert (await worker.ready()).detail == "loading"
        engine.go.set()
        await is_loaded(worker)
        assert len(engine.batches) == 1


async def test_an_engine_that_fails_on_the_warm_up_picture_is_not_ready() -> None:
    class Broken(Slow):
        def read(
            self,
            pictures: Sequence[Picture],
            regions: Sequence[tuple[str, ...]] = (),
            skip: Sequence[SkipPlate | None] = (),
        ) -> list[PictureReading]:
            raise RuntimeError("no memory on the GPU")

    async with running(Broken, warm_up=picture(0)) as worker:

        async def is_reported() -> bool:
            return (await worker.ready()).detail == "no memory on the GPU"

        await eventually(is_reported, message="reported")
        with pytest.raises(Unavailable, match="no memory on the GPU"):
            await read(worker, 1)
