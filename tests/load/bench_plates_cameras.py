"""How many cameras two cores can process: frames of many cameras through the service's inference worker."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench_plates_photographs import print_progress
from figures import Figure, percentile
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.settings.blocks import LogSettings
from plate_ocr.domain.admission import Purpose
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.domain.values import Picture
from plate_ocr.handlers.inference import InferenceWorker, PictureDropped
from plate_ocr.metrics import PlateOcrMetrics
from plate_ocr.settings import InferenceSettings

FRAMES_A_SECOND = 5
SECONDS = 6.0
MOST_CAMERAS = 64
LATENCY_GOAL_MS = 500


@dataclass(frozen=True)
class Trial:
    """`latencies_ms`: from the capture of a frame to its reading."""

    cameras: int
    latencies_ms: tuple[float, ...]
    dropped: int
    elapsed_s: float

    @property
    def p95_ms(self) -> float:
        return percentile(self.latencies_ms, 0.95)

    @property
    def keeps_up(self) -> bool:
        return not self.dropped and self.p95_ms <= LATENCY_GOAL_MS

    @property
    def frames_a_second(self) -> float:
        return len(self.latencies_ms) / self.elapsed_s


def cameras(engine: PlateEngine, frames: Sequence[Picture], seconds: float = SECONDS) -> list[Figure]:
    best, first = asyncio.run(_search(engine, frames, seconds))
    shown = best or first
    return [
        Figure("cameras at 5 frames a second", best.cameras if best else 0, "per 2 cores"),
        Figure("their latency p95", shown.p95_ms, "ms", goal=f"≤ {LATENCY_GOAL_MS}"),
        Figure("their frames", shown.frames_a_second, "a second"),
    ]


async def _search(
    engine: PlateEngine, frames: Sequence[Picture], seconds: float
) -> tuple[Trial | None, Trial]:
    """The trial with most cameras that keeps up, or None, and the trial with one camera."""
    worker = InferenceWorker(
        InferenceSettings(),
        lambda: engine,
        make_logger("bench", LogSettings(level="WARNING")),
        PlateOcrMetrics(Metrics("bench")),
        warm_up=frames[0],
    )
    await worker.start()
    try:
        first = await _trial(worker, frames, 1, seconds)
        if not first.keeps_up:
            return None, first
        best, too_many = first, MOST_CAMERAS + 1
        while too_many - best.cameras > 1:
            # Double the cameras until it does not keep up, then bisect.
            many = min(2 * best.cameras, (best.cameras + too_many) // 2)
            trial = await _trial(worker, frames, many, seconds)
            if trial.keeps_up:
                best = trial
            else:
                too_many = many
        return best, first
    finally:
        await worker.stop()


async def _trial(worker: InferenceWorker, frames: Sequence[Picture], cameras: int, seconds: float) -> Trial:
    started_s = time.perf_counter()
    outcomes = await asyncio.gather(
        *(_camera(worker, frames, number, cameras, seconds) for number in range(cameras))
    )
    elapsed_s = max(time.perf_counter() - started_s, seconds)
    every = list(itertools.chain.from_iterable(outcomes))
    latencies = tuple(one for one in every if one is not None)
    trial = Trial(cameras, latencies, len(every) - len(latencies), elapsed_s)
    print_progress(
        f"{cameras} cameras: p95 {trial.p95_ms:.0f} ms, {trial.dropped} of {len(every)} frames dropped"
    )
    return trial


async def _camera(
    worker: InferenceWorker, frames: Sequence[Picture], number: int, cameras: int, seconds: float
) -> list[float | None]:
    """Send frames at fixed times without waiting for readings, as a camera does. None: the frame was dropped."""
    interval_s = 1 / FRAMES_A_SECOND
    start = time.perf_counter() + interval_s * number / cameras
    sent = []
    for index in range(round(seconds * FRAMES_A_SECOND)):
        due_s = start + index * interval_s
        await asyncio.sleep(max(due_s - time.perf_counter(), 0))
        frame = frames[(index * cameras + number) % len(frames)]
        sent.append(asyncio.create_task(_latency_ms(worker, frame, due_s)))
    return await asyncio.gather(*sent)


async def _latency_ms(worker: InferenceWorker, frame: Picture, due_s: float) -> float | None:
    try:
        await worker.read(frame, can_wait=True, purpose=Purpose.VIDEO)
    except PictureDropped:
        return None
    return (time.perf_counter() - due_s) * 1000
