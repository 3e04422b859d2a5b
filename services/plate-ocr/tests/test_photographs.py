# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""Labelled photographs, where they are available: the engine's accuracy must not fall."""

import csv
import json
from pathlib import Path

import pytest

from plate_ocr.__main__ import document, read_file
from plate_ocr.handlers.plate_pipeline import PlatePipeline

from .conftest import SHARED_PLATES

pytestmark = pytest.mark.skipif(
    not SHARED_PLATES.is_dir(), reason="the labelled photographs are not available"
)


EMIRATES = {"Abu Dhabi": "ae-az", "Dubai": "ae-du", "Fujairah": "ae-fu"}


def folded(text: str) -> str:
    return "".join(c for c in text.upper() if c.isalnum()).replace("O", "0").replace("I", "1")


def score(engine: PlatePipeline, labels: list[Path]) -> tuple[float, float]:
    """Share of labels that are read, with O as 0 and I as 1, and other plates reported per picture."""
    right, others = 0, 0
    for label in labels:
        _, x, y, width, height, text = label.read_text().strip().split("\t")[:6]
        left, top, wide, high = int(x), int(y), int(width), int(height)
        shown = json.loads(json.dumps(document(read_file(engine, label.with_suffix(".jpg")))))
        at_label = []
        for plate in shown["plates"]:
            px, py, pw, ph = plate["box"]
            is_here = left <= px + pw / 2 <= left + wide and top <= py + ph / 2 <= top + high
            if is_here:
                at_label.append(plate)
            else:
                others += 1
        best = max(at_label, key=lambda plate: plate["confidence"], default=None)
        right += best is not None and folded(best["text"]) == folded(text)
    return right / len(labels), others / len(labels)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("region", "least_right"), [("us", 0.86), ("eu", 0.96), ("br", 0.96)])
def test_read(engine: PlatePipeline, region: str, least_right: float) -> None:
    labels = sorted((SHARED_PLATES / "openalpr" / region).glob("*.txt"))
    right, others = score(engine, labels)
    assert right >= least_right
    assert others <= 0.1


@pytest.mark.timeout(600)
def test_emirates_codes_and_numbers(engine: PlatePipeline) -> None:
    folder = SHARED_PLATES / "uae-crops"
    right = []
    with (folder / "labels.csv").open(newline="") as labels:
        for label in csv.DictReader(labels):
            plates = document(read_file(engine, folder / label["file"]))["plates"]
            best = max(plates, key=lambda plate: plate["confidence"], default=None)
            read = (best["region"], best["code"], best["number"]) if best else ()
            right.append(read == (EMIRATES[label["emirate"]], label["code"], label["number"]))
    assert sum(right) / len(right) >= 0.88
