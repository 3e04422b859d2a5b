"""The inference worker: batches, back pressure, loading, faults; with an engine that only pretends to look."""

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
from plate_ocr.adapters.onnx import ModelMissing
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.domain.values import Box, Picture, PictureReading, PlateReading
from plate_ocr.settings import InferenceSettings
from plate_ocr.worker import QUEUE_FULL, InferenceWorker
from testkit.waiting import eventually

WAIT_S = 10


class Slow:
    """Answers with the picture's first pixel; waits for `go`; fails on 13."""

    name = "slow"
    has_vehicle_detector = False

    def __init__(self, *, is_open: bool = True) -> None:
        self.go = threading.Event()
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        if is_open:
            self.go.set()

    def read(self, pictures: Sequence[Picture]) -> list[PictureReading]:
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
async def running(open_engine: Callable[[], PlateEngine], **settings: Any) -> AsyncIterator[InferenceWorker]:
    worker = InferenceWorker(
        InferenceSettings(**settings), open_engine, structlog.get_logger(), Metrics("test")
    )
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def read(worker: InferenceWorker, number: int, *, waits: bool = True) -> str:
    return (await worker.read(picture(number), waits=waits)).plates[0].text


async def is_loaded(worker: InferenceWorker) -> None:
    async def ready() -> bool:
        return (await worker.ready()).ok

    await eventually(ready, message="loaded")


async def test_each_gets_its_own_answer_and_batches_form() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, max_batch=4) as worker:
        reads = [asyncio.create_task(read(worker, number)) for number in range(9)]
        await eventually(lambda: len(reads) == 9, message="asked")
        await asyncio.sleep(0)
        engine.go.set()
        assert await asyncio.gather(*reads) == [str(number) for number in range(9)]
    assert sorted(number for batch in engine.batches for number in batch) == list(range(9))
    assert max(map(len, engine.batches)) > 1
    assert all(len(batch) <= 4 for batch in engine.batches)
    assert all(name.startswith("inference") for name in engine.threads)


async def test_the_loop_runs_on_while_the_engine_works() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine) as worker:
        reading = asyncio.create_task(read(worker, 1))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not reading.done()
        engine.go.set()
        assert await reading == "1"


async def test_a_full_queue_refuses_who_does_not_wait() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, queue_size=2, max_batch=1, max_wait_ms=0, retry_after_s=7) as worker:
        await is_loaded(worker)
        waiting = [asyncio.create_task(read(worker, number)) for number in range(3)]

        await eventually(lambda: worker.waiting == 2, message="full")
        with pytest.raises(Unavailable) as refused:
            await read(worker, 9, waits=False)
        assert (refused.value.code, refused.value.retry_after_s) == (QUEUE_FULL, 7)
        patient = asyncio.create_task(read(worker, 5))
        engine.go.set()
        assert await patient == "5"
        assert await asyncio.gather(*waiting) == ["0", "1", "2"]


async def test_one_that_fails_fails_alone() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, max_batch=8) as worker:
        numbers = [11, 12, 13, 14]
        reads = [asyncio.create_task(read(worker, number)) for number in numbers]
        await asyncio.sleep(0)
        engine.go.set()
        found = await asyncio.gather(*reads, return_exceptions=True)
        assert [str(one) for one in found] == ["11", "12", "unlucky", "14"]
        assert await read(worker, 15) == "15"


async def test_frames_wait_for_the_engine_and_calls_are_told_to_come_back() -> None:
    opened = threading.Event()

    def load() -> PlateEngine:
        assert opened.wait(WAIT_S)
        return Slow()

    async with running(load) as worker:
        fact = await worker.ready()
        assert (fact.ok, fact.detail) == (False, "loading")
        with pytest.raises(Unavailable, match="loading"):
            await read(worker, 1, waits=False)
        frame = asyncio.create_task(read(worker, 2))
        opened.set()
        assert await frame == "2"
        fact = await worker.ready()
        assert (fact.ok, fact.detail) == (True, "slow")


@pytest.mark.parametrize(
    "error", [ModelMissing("no model at /models/x.onnx"), RuntimeError("no such operator")]
)
async def test_a_missing_model_is_a_fact_and_no_crash(error: Exception) -> None:
    def load() -> PlateEngine:
        raise error

    async with running(load) as worker:

        async def is_told() -> bool:
            return str(error) in (await worker.ready()).detail

        await eventually(is_told, message="told")
        assert not (await worker.ready()).ok
        for waits in (True, False):
            with pytest.raises(Unavailable, match=str(error)):
                await read(worker, 1, waits=waits)


async def test_who_waits_at_the_end_is_told() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, max_batch=1, max_wait_ms=0) as worker:
        await is_loaded(worker)
        reads = [asyncio.create_task(read(worker, number)) for number in range(3)]
        await eventually(lambda: worker.waiting == 2, message="two wait")
        engine.go.set()
        await worker.stop()
        found = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(one, Unavailable) or one in {"0", "1", "2"} for one in found)
    assert isinstance(found[-1], Unavailable)


async def test_a_caller_who_left_is_not_read_for() -> None:
    engine = Slow(is_open=False)
    async with running(lambda: engine, max_batch=1, max_wait_ms=0) as worker:
        await is_loaded(worker)
        first = asyncio.create_task(read(worker, 1))
        await eventually(lambda: worker.waiting == 0, message="the first is in hand")
        left = asyncio.create_task(read(worker, 2))
        await eventually(lambda: worker.waiting == 1, message="the second waits")
        left.cancel()
        engine.go.set()
        assert await first == "1"
        assert await read(worker, 3) == "3"
    assert [2] not in engine.batches
