"""Plate reading: accuracy on labelled photographs, calibration of the confidence, speed.

Needs the labelled photographs (../shared/data/plates) and their scorer; without them only speed is measured, on a
drawn picture. Takes minutes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import bench_plates_calibration as calibration
import bench_plates_photographs as photographs
from all_in_one.pictures import ParkedCar, draw_scene
from bench_plates_calibration import Pair
from bench_plates_cameras import cameras
from bench_plates_photographs import Row, print_progress, with_progress
from bench_plates_speed import on_gpu, one_frame
from bench_plates_tracks import DEGRADATIONS, tracks
from figures import Figure, publish
from plate_ocr.__main__ import document, read_file
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.domain.values import Picture
from plate_ocr.settings import InferenceSettings
from plate_ocr.wiring.engine import SHIPPED, open_engine

CORES = 2
GOALS = {"eu": (0.97, 0.03), "us": (0.90, 0.10), "br": (0.97, 0.05)}
"""By set: folded-exact at least, extra plates a picture at most."""
CROP_GOALS = (
    ("number", "number", 0.98),
    ("code and number", "code_number", 0.93),
    ("emirate, code and number", "emirate_code_number", 0.90),
)


def main() -> None:
    figures, notes = measure()
    publish("plates", figures, notes)


def measure() -> tuple[list[Figure], list[str]]:
    load = os.getloadavg()[0]
    notes = [
        f"{CORES} cores used; load average {load:.1f} at the start: other programs slow down every measurement"
    ]
    with two_cores():
        figures = [start()]
        engine = open_engine(SHIPPED, InferenceSettings())
        if photographs.are_available():
            scorer = photographs.load_scorer()
            found, more_notes = accuracy(engine, scorer)
            figures, notes = figures + found, notes + more_notes
            # Measured before the benchmark's frames are loaded, which a service would not have in memory.
            figures.append(Figure("resident memory", peak_mb(), "MB", goal="≤ 900"))
            frames = photographs.frames()
            figures += tracks(engine, scorer.fold)
            notes += DEGRADATIONS
        else:
            notes.append("no labelled photographs found: accuracy was not measured")
            frames = [drawn()]
        figures += one_frame(engine, frames)
        figures += cameras(engine, frames)
        figures.append(Figure("resident memory after the cameras", peak_mb(), "MB"))
    found, more_notes = on_gpu(frames)
    return figures + found, notes + more_notes


@contextmanager
def two_cores() -> Iterator[None]:
    """Threads that are started in the block run on two cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start() -> Figure:
    """Time from the start of a separate process to the plates of one picture: interpreter, imports and networks."""
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(scene())
        file.flush()
        started_s = time.perf_counter()
        command = [sys.executable, "-m", "plate_ocr", "read", "--json", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        elapsed_s = time.perf_counter() - started_s
    print_progress(f"start to first read: {elapsed_s:.1f} s")
    return Figure("start to first read", elapsed_s, "s", goal="≤ 3")


def accuracy(engine: PlateEngine, scorer: ModuleType) -> tuple[list[Figure], list[str]]:
    """Accuracy by set, and the calibration over all sets."""
    figures: list[Figure] = []
    notes: list[str] = []
    pairs: list[Pair] = []
    for name in photographs.SETS:
        folder = photographs.FOLDER / "openalpr" / name
        found = predictions(engine, sorted(folder.glob("*.jpg")), scorer, name)
        n, scored, misses = scorer.score_folder(folder, found)
        figures += folder_figures(name, scored)
        notes.append(f"{name}: {n - len(misses)} of {n} folded-exact; missed: {' '.join(misses) or 'none'}")
        for one in photographs.photographs(name):
            at = photographs.plates_at_label(found[one.file.name], one.box) if one.file.name in found else []
            pairs += confidences(at, one.text, scorer)
    labels = photographs.CROPS
    found = predictions(engine, sorted(labels.parent.glob("*.png")), scorer, "uae-crops")
    n, scored, misses = scorer.score_csv(labels, found)
    figures += [
        Figure(f"uae {what}", scored[key], "share", goal=f"≥ {least:.2f}") for what, key, least in CROP_GOALS
    ]
    notes.append(f"uae-crops: {n - len(misses)} of {n} whole; missed: {', '.join(misses) or 'none'}")
    for file, text in photographs.crops():
        pairs += confidences(found[file]["plates"] if file in found else [], text, scorer)
    calibration.check()
    table = calibration.reliability(pairs)
    figures.append(
        Figure("expected calibration error", calibration.calibration_error(table), "share", goal="≤ 0.05")
    )
    return figures, notes + calibration.lines(table)


def predictions(engine: PlateEngine, files: list[Path], scorer: ModuleType, what: str) -> dict[str, Row]:
    """The predictions as the scorer reads them from the output of `plate-ocr read --json`."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as rows:
        for file in with_progress(files, what):
            rows.write(json.dumps(document(read_file(engine, file))) + "\n")
        rows.flush()
        found: dict[str, Row] = scorer.predictions(rows.name)
    return found


def folder_figures(name: str, scored: dict[str, float]) -> list[Figure]:
    least, most_extra = GOALS[name]
    return [
        Figure(f"{name} folded-exact", scored["folded"], "share", goal=f"≥ {least:.2f}"),
        Figure(f"{name} exact", scored["exact"], "share"),
        Figure(f"{name} found", scored["found"], "share"),
        Figure(f"{name} extra plates", scored["extra"], "a picture", goal=f"≤ {most_extra:.2f}"),
        Figure(f"{name} p50", scored["p50"], "ms"),
        Figure(f"{name} p95", scored["p95"], "ms"),
    ]


def confidences(plates: list[Row], text: str, scorer: ModuleType) -> list[Pair]:
    """The confidence of the plate with the highest one, and whether its text was right; empty if none was read."""
    if not plates:
        return []
    top = max(plates, key=lambda plate: float(plate["confidence"]))
    return [(float(top["confidence"]), scorer.fold(top["text"]) == scorer.fold(text))]


def scene() -> bytes:
    return draw_scene({2: ParkedCar("D 71026")}, caption="NAD-P1-C95 2026-03-14 08:00:00")


def drawn() -> Picture:
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(scene())
        file.flush()
        return photographs.open_picture(Path(file.name))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
