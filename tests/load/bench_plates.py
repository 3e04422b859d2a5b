"""Plates: how many are read right on labelled photographs, and how long one picture takes.

Needs the labelled photographs (../shared/data/plates) and their scorer; without them only the drawn pictures are timed.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import tempfile
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np
from figures import Figure, median, percentile, publish

from all_in_one.pictures import ParkedCar, draw_scene
from plate_ocr.adapters.decoding import decode
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.domain.values import Picture
from plate_ocr.engine import SHIPPED, open_engine
from plate_ocr.handlers.read_pictures import Reader
from plate_ocr.reading import document, read_file
from plate_ocr.settings import InferenceSettings

SHARED = Path(__file__).parents[3] / "shared"
PHOTOGRAPHS = SHARED / "data" / "plates"
SCORER = SHARED / "tools" / "score-plates"
SETS = {"us": 0.60, "eu": 0.91, "br": 0.86}
"""Folded-exact share from which the first engine started; it must not fall below."""
ROUNDS = 20
MAX_BYTES, MAX_PIXELS = 12_582_912, 40_000_000


def main() -> None:
    figures, notes = measure()
    publish("plates", figures, notes)


def measure() -> tuple[list[Figure], list[str]]:
    began = time.perf_counter()
    engine = open_engine(SHIPPED, InferenceSettings())
    scene = drawn()
    engine.read([scene])
    first_read_s = time.perf_counter() - began
    figures = [Figure("start to first read", first_read_s, "s", goal="≤ 3")]
    notes = []
    if SCORER.is_file() and PHOTOGRAPHS.is_dir():
        scorer = load_scorer()
        for name, least in SETS.items():
            figures += score_folder(engine, scorer, name, least)
        figures += score_crops(engine, scorer)
    else:
        notes.append("no labelled photographs here: accuracy is not measured")
    figures += latency(engine, scene)
    figures.append(Figure("resident memory", peak_mb(), "MB", goal="≤ 900"))
    return figures, notes


def load_scorer() -> ModuleType:
    loader = SourceFileLoader("score_plates", str(SCORER))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def predictions(engine: PlateEngine, files: list[Path], scorer: ModuleType) -> dict[str, object]:
    """As the scorer reads them from what `plate-ocr read --json` prints."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as rows:
        for file in files:
            rows.write(json.dumps(document(read_file(engine, file))) + "\n")
        rows.flush()
        found: dict[str, object] = scorer.predictions(rows.name)
    return found


def score_folder(engine: PlateEngine, scorer: ModuleType, name: str, least: float) -> list[Figure]:
    folder = PHOTOGRAPHS / "openalpr" / name
    found = predictions(engine, sorted(folder.glob("*.jpg")), scorer)
    _, scored, _ = scorer.score_folder(folder, found)
    return [
        Figure(f"{name} folded-exact", scored["folded"], "share", goal=f"≥ {least:.2f}"),
        Figure(f"{name} exact", scored["exact"], "share"),
        Figure(f"{name} found", scored["found"], "share"),
        Figure(f"{name} extra plates", scored["extra"], "a picture"),
        Figure(f"{name} p50", scored["p50"], "ms", goal="≤ 360"),
        Figure(f"{name} p95", scored["p95"], "ms"),
    ]


def score_crops(engine: PlateEngine, scorer: ModuleType) -> list[Figure]:
    labels = PHOTOGRAPHS / "uae-crops" / "labels.csv"
    found = predictions(engine, sorted(labels.parent.glob("*.png")), scorer)
    _, scored, _ = scorer.score_csv(labels, found)
    return [
        Figure(f"uae {what}", scored[key], "share")
        for what, key in (
            ("number", "number"),
            ("code and number", "code_number"),
            ("emirate, code and number", "emirate_code_number"),
        )
    ]


def latency(engine: PlateEngine, scene: Picture) -> list[Figure]:
    """The whole engine on one 1280 x 720 picture, beside the detector's network alone."""
    assert isinstance(engine, Reader)
    whole, search, processor = [], [], []
    for _ in range(ROUNDS):
        began, worked = time.perf_counter(), time.process_time()
        (reading,) = engine.read([scene])
        whole.append((time.perf_counter() - began) * 1000)
        processor.append((time.process_time() - worked) * 1000)
        search.append(reading.detect_ms)
        assert reading.plates
    floor = median(search)
    return [
        Figure("1280x720 p50", median(whole), "ms", floor, median(whole) / floor),
        Figure("1280x720 p95", percentile(whole, 0.95), "ms"),
        Figure("1280x720 processor time", median(processor), "ms"),
    ]


def drawn() -> Picture:
    data = draw_scene({2: ParkedCar("D 71026")}, caption="NAD-P1-C95 2026-03-14 08:00:00")
    return np.ascontiguousarray(decode(data, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
