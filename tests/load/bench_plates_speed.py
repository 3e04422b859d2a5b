"""Time of the whole engine compared with its networks alone: single frames on the CPU, batches on a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bench_plates_photographs import print_progress
from figures import Figure, median, percentile
from plate_ocr.adapters.onnx import CPU, CUDA
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.domain.values import Picture
from plate_ocr.settings import InferenceSettings
from plate_ocr.wiring.engine import SHIPPED, open_engine

BATCHES = (1, 8, 32)
_WARM_UP = 6
_ROUNDS = 12


@dataclass(frozen=True)
class Network:
    """`tensor`: the input that the engine gave to the network, one picture or one row."""

    session: ort.InferenceSession
    tensor: NDArray[np.float32]

    @property
    def input(self) -> str:
        name: str = self.session.get_inputs()[0].name
        return name

    def run(self) -> None:
        self.session.run(None, {self.input: self.tensor})


def one_frame(engine: PlateEngine, frames: Sequence[Picture]) -> list[Figure]:
    """Time the whole engine and its two networks alone, alternately, on 1280 x 720 pictures."""
    networks = prepared(engine, frames[:_WARM_UP])
    whole, bare, processor = [], [], []
    for frame in frames:
        started_s, cpu_started_s = time.perf_counter(), time.process_time()
        engine.read([frame])
        whole.append(_ms_since(started_s))
        processor.append((time.process_time() - cpu_started_s) * 1000)
        started_s = time.perf_counter()
        for network in networks:
            network.run()
        bare.append(_ms_since(started_s))
    print_progress(f"1280x720: {len(frames)} frames")
    p50, p95, floor_p50, floor_p95 = (
        median(whole),
        percentile(whole, 0.95),
        median(bare),
        percentile(bare, 0.95),
    )
    return [
        Figure("1280x720 p50", p50, "ms", floor_p50, p50 / floor_p50, goal="≤ 60"),
        Figure("1280x720 p95", p95, "ms", floor_p95, p95 / floor_p95, goal="≤ 120"),
        Figure("1280x720 processor time", median(processor), "ms"),
    ]


def on_gpu(frames: Sequence[Picture]) -> tuple[list[Figure], list[str]]:
    """Frames a second on an NVIDIA GPU, or a note if there is none."""
    if CUDA not in ort.get_available_providers():
        return [], [f"no GPU: this ONNX Runtime supports only {', '.join(ort.get_available_providers())}"]
    engine = open_engine(SHIPPED, InferenceSettings(providers=(CUDA, CPU)))
    if not _runs_on_gpu(networks := prepared(engine, frames[:_WARM_UP])):
        return [], ["no GPU: ONNX Runtime supports CUDA, but no device is available"]
    figures = []
    for batch in BATCHES:
        figures.append(_batched(engine, frames, networks, batch, device="cuda"))
        print_progress(f"GPU, batch {batch}: {figures[-1].value:.0f} frames a second")
    return figures, []


def prepared(engine: PlateEngine, frames: Sequence[Picture]) -> tuple[Network, Network]:
    """The engine's detector and recognizer with the inputs that it gives them. Warms the engine up.

    The recognizer's input is the row of median width, the detector's the picture at the size of the first pass.

    Raises:
        RuntimeError: no plate was found in any frame.
    """
    detectors, recognizers = [], []
    for frame in frames:
        with _recorded_runs() as runs:
            engine.read([frame])
        detectors.append(runs[0])
        recognizers += [one for one in runs if one.session is not runs[0].session]
    if not recognizers:
        raise RuntimeError("no plate was found in any frame, so the recognizer cannot be timed")
    recognizers.sort(key=lambda one: one.tensor.shape[3])
    return detectors[0], recognizers[len(recognizers) // 2]


@contextmanager
def _recorded_runs() -> Iterator[list[Network]]:
    """The networks run in the block, in order, so that the engine's input sizes are not repeated here."""
    runs: list[Network] = []
    run = ort.InferenceSession.run

    def record(session: ort.InferenceSession, names: Any, feed: dict[str, Any], *rest: Any) -> Any:
        (tensor,) = feed.values()
        runs.append(Network(session, np.ascontiguousarray(tensor[:1])))
        return run(session, names, feed, *rest)

    with mock.patch.object(ort.InferenceSession, "run", record):
        yield runs


def _batched(
    engine: PlateEngine, frames: Sequence[Picture], networks: Sequence[Network], batch: int, *, device: str
) -> Figure:
    pictures = [frames[index % len(frames)] for index in range(batch)]
    resident = [_resident(network, batch, device) for network in networks]
    engine.read(pictures)
    whole, bare = [], []
    for _ in range(_ROUNDS):
        started_s = time.perf_counter()
        engine.read(pictures)
        whole.append(time.perf_counter() - started_s)
        started_s = time.perf_counter()
        for session, binding in resident:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        bare.append(time.perf_counter() - started_s)
    value, floor = batch / median(whole), batch / median(bare)
    return Figure(f"GPU, detect + read, batch {batch}", value, "frames/s", floor, value / floor)


def _resident(network: Network, batch: int, device: str) -> tuple[ort.InferenceSession, Any]:
    """The network bound to a tensor that stays on the device, after one run."""
    tensor = np.repeat(network.tensor, batch, axis=0)
    binding = network.session.io_binding()
    binding.bind_ortvalue_input(network.input, ort.OrtValue.ortvalue_from_numpy(tensor, device, 0))
    for output in network.session.get_outputs():
        binding.bind_output(output.name, device)
    network.session.run_with_iobinding(binding)
    return network.session, binding


def _runs_on_gpu(networks: Sequence[Network]) -> bool:
    return all(network.session.get_providers()[0] == CUDA for network in networks)


def _ms_since(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1000
